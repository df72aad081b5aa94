use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;

use super::suspects::{Finding, Key};
use crate::connection::{ConnectionId, Registry};
use crate::net::{Ends, Owner, open_descriptors, owner_of, sys};
use crate::telemetry::LeakKind;
use crate::upstream::lookups_running;

/// The port of name servers. The system's library asks them by TCP where an answer is long, and those sockets are its own.
const DNS_PORT: u16 = 53;

/// The TCP sockets that nobody has claimed, by inode: those that this process was born with, for instance.
pub(super) fn unclaimed() -> io::Result<HashSet<u64>> {
    let sockets = open_descriptors()?.into_iter().filter(|number| owner_of(*number).is_none());
    Ok(sockets.filter(|number| sys::is_tcp(*number)).filter_map(sys::socket_inode).collect())
}

/// The sockets that nothing alive owns.
///
/// Of a socket that is claimed only the ledger is asked; the kernel is asked for its list of descriptors, and about those
/// that nobody has claimed, which are few.
///
/// # Errors
/// The system's, when it has no list of descriptors.
pub(super) fn look(registry: &Registry, known: &HashSet<u64>) -> io::Result<Vec<Finding>> {
    let finding = |number: RawFd| match owner_of(number) {
        None => unowned(number, known),
        Some(Owner::Client(id)) => of_nobody(registry, number, id, "client"),
        Some(Owner::Target(id)) => of_nobody(registry, number, id, "target"),
        Some(Owner::Waiting | Owner::Pool | Owner::Listener | Owner::Operator) => None,
    };
    Ok(open_descriptors()?.into_iter().filter_map(finding).collect())
}

fn unowned(number: RawFd, known: &HashSet<u64>) -> Option<Finding> {
    let inode = sys::socket_inode(number).filter(|inode| !known.contains(inode))?;
    if !sys::is_tcp(number) {
        return None;
    }
    let ends = Ends::of(number);
    if ends.far.is_some_and(|far| far.port() == DNS_PORT) && lookups_running() > 0 {
        return None;
    }
    Some(told(number, inode, ends, "is owned by nobody"))
}

/// A socket whose connection has ended.
fn of_nobody(registry: &Registry, number: RawFd, id: u64, side: &str) -> Option<Finding> {
    if registry.find(ConnectionId(id)).is_some() {
        return None;
    }
    let inode = sys::socket_inode(number)?;
    let what = format!("is the {side}'s side of connection {id}, which has ended");
    Some(told(number, inode, Ends::of(number), &what))
}

fn told(number: RawFd, inode: u64, ends: Ends, what: &str) -> Finding {
    let end = |end: Option<SocketAddr>| end.map_or_else(|| "-".to_owned(), |end| end.to_string());
    let what =
        format!("the socket {} -> {} (descriptor {number}, inode {inode}) {what}", end(ends.near), end(ends.far));
    Finding { kind: LeakKind::Socket, key: Key::Socket(inode, number), what }
}
