use std::collections::HashMap;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::allowance::Allowance;
use super::suspects::{Finding, Key};
use crate::connection::Connection;
use crate::drain::Order;
use crate::net::{ListenAddress, Owner, open_descriptors, owner_of, sys};
use crate::telemetry::LeakKind;

/// What a time may be exceeded by before that is a leak: timers fire late on a machine that has too much to do, or that was
/// stopped.
const LATE: Duration = Duration::from_secs(10);

/// What is known of the live connections from the passes before.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<u64, Seen>);

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Its socket in the kernel, when it was first seen.
    inode: Option<u64>,
    /// What it had moved, and since when no more.
    moved: u64,
    /// What the kernel had for its client and its target: a slow peer takes of that long before there is room for more.
    queued: usize,
    quiet_since: Instant,
    /// Since when it has been told to end at once.
    ending_since: Option<Instant>,
}

impl Known {
    /// The connections whose socket is gone, and those that are in their state for longer than any timeout lets them.
    pub(super) fn look(
        &mut self,
        live: &[Arc<Connection>],
        allowances: &HashMap<ListenAddress, Allowance>,
        now: Instant,
    ) -> Vec<Finding> {
        let before = std::mem::take(&mut self.0);
        self.0.reserve(live.len());
        let mut found = Vec::new();
        let targets = targets();
        for connection in live {
            let id = connection.id().0;
            let inode = connection.socket().and_then(|socket| sys::socket_inode(socket.descriptor));
            let seen = renewed(connection, before.get(&id), inode, targets.get(&id), now);
            if !has_socket(connection, seen, inode) {
                found.push(finding(
                    LeakKind::Guard,
                    Key::Connection(id),
                    connection,
                    "is live, and its socket is gone",
                ));
            }
            if let Some(allowance) = allowances.get(&connection.listener())
                && let Some((key, what)) = overdue(connection, allowance, seen, now)
            {
                found.push(finding(LeakKind::State, key, connection, &what));
            }
            self.0.insert(id, seen);
        }
        found
    }
}

/// The sockets to targets of each connection, by its number; empty if the system has no list of descriptors.
fn targets() -> HashMap<u64, Vec<RawFd>> {
    let mut targets = HashMap::<u64, Vec<RawFd>>::new();
    for descriptor in open_descriptors().unwrap_or_default() {
        if let Some(Owner::Target(id)) = owner_of(descriptor) {
            targets.entry(id).or_default().push(descriptor);
        }
    }
    targets
}

fn renewed(
    connection: &Connection,
    before: Option<&Seen>,
    inode: Option<u64>,
    targets: Option<&Vec<RawFd>>,
    now: Instant,
) -> Seen {
    let sockets =
        connection.socket().map(|socket| socket.descriptor).into_iter().chain(targets.into_iter().flatten().copied());
    let queued = sockets.filter_map(|socket| sys::unsent_bytes_of(socket).ok()).fold(0, usize::wrapping_add);
    let moved = connection.traffic().bytes_in().wrapping_add(connection.traffic().bytes_out());
    let ending = connection.leash().order() > Some(Order::Drain);
    let Some(before) = before else {
        return Seen { inode, moved, queued, quiet_since: now, ending_since: ending.then_some(now) };
    };
    Seen {
        inode: before.inode.or(inode),
        moved,
        queued,
        quiet_since: if (before.moved, before.queued) == (moved, queued) { before.quiet_since } else { now },
        ending_since: ending.then(|| before.ending_since.unwrap_or(now)),
    }
}

/// Whether the claim of its socket stands, and the kernel still has that socket under its descriptor.
fn has_socket(connection: &Connection, seen: Seen, inode: Option<u64>) -> bool {
    // One that was never told of a socket has none to lose.
    connection.socket().is_none_or(|socket| socket.is_claimed() && inode.is_some() && inode == seen.inode)
}

fn overdue(connection: &Connection, allowance: &Allowance, seen: Seen, now: Instant) -> Option<(Key, String)> {
    let id = connection.id().0;
    let (state, stage) = connection.stage(now);
    let late = |time: Duration, limit: Duration| time > limit.saturating_add(LATE);
    let key = |what: &'static str| Key::Stage(id, what);
    if let Some(since) = seen.ending_since
        && late(now.saturating_duration_since(since), allowance.ending())
    {
        return Some((key("told to end"), format!("was told to end at once, and is still {}", state.as_str())));
    }
    if let Some(lifetime) = allowance.lifetime()
        && late(now.saturating_duration_since(connection.opened()), lifetime)
    {
        return Some((key("lifetime"), format!("lives for longer than timeouts.max_lifetime ({lifetime:?}) lets it")));
    }
    match allowance.stage(state) {
        Some(limit) if late(stage, limit) => {
            let what =
                format!("is {} for {} s, longer than its timeouts let it ({limit:?})", state.as_str(), stage.as_secs());
            Some((key(state.as_str()), what))
        }
        Some(_) => None,
        None => {
            let limit = allowance.quiet(state);
            // What has just come into its state had other times before.
            let quiet = now.saturating_duration_since(seen.quiet_since).min(stage);
            late(quiet, limit).then(|| {
                let quiet = quiet.as_secs();
                let what = format!(
                    "is {} without a byte for {quiet} s, longer than its timeouts let it ({limit:?})",
                    state.as_str()
                );
                (key(state.as_str()), what)
            })
        }
    }
}

fn finding(kind: LeakKind, key: Key, connection: &Connection, what: &str) -> Finding {
    let (id, client, listener, route) =
        (connection.id().0, connection.client(), connection.listener(), connection.route_name());
    let what = format!("connection {id} of {client} to {listener} (route {route}) {what}");
    Finding { kind, key, what }
}
