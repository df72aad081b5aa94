use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{ClientAddress, ListenAddress, sys};

/// How many descriptors one part of the ledger is for; parts are made when a descriptor of theirs is first claimed.
const PART: usize = 4_096;

/// How many parts there may be: for 4 million descriptors. A process that has more does without the ledger for those.
const PARTS: usize = 1_024;

/// Who has claimed each TCP socket of this process, by descriptor: as the kernel has one table of descriptors for a process,
/// we have one of their owners, so that the two can be compared.
///
/// A claim is two stores and its end is one exchange, without a lock.
static LEDGER: [OnceLock<Box<[Entry]>>; PARTS] = [const { OnceLock::new() }; PARTS];

/// The number of the last claim, never given twice: a descriptor that is used again is another socket.
static SERIAL: AtomicU64 = AtomicU64::new(0);

#[derive(Debug, Default)]
struct Entry {
    /// 0 if nobody has claimed it.
    serial: AtomicU64,
    owner: AtomicU64,
}

/// What a socket is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Accepted, waiting for a place.
    Waiting,
    /// The client's side of the connection with this number.
    Client(u64),
    /// The target's side of the connection with this number.
    Target(u64),
    /// A connection to a target that requests of many clients may use.
    Pool,
    /// It is listened on.
    Listener,
    /// An operator's.
    Operator,
}

impl Owner {
    const fn code(self) -> u64 {
        match self {
            Self::Waiting => 0,
            Self::Client(connection) => connection << 3 | 1,
            Self::Target(connection) => connection << 3 | 2,
            Self::Pool => 3,
            Self::Listener => 4,
            Self::Operator => 5,
        }
    }

    const fn from_code(code: u64) -> Self {
        match code & 7 {
            1 => Self::Client(code >> 3),
            2 => Self::Target(code >> 3),
            3 => Self::Pool,
            4 => Self::Listener,
            5 => Self::Operator,
            _ => Self::Waiting,
        }
    }
}

/// Whoever keeps a socket says so for as long as this lives. To be dropped right after the socket.
#[derive(Debug)]
pub struct Claim(SocketId);

/// A socket of this process, told from all that had its descriptor before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SocketId {
    /// Its descriptor.
    pub descriptor: RawFd,
    serial: u64,
}

impl Claim {
    /// Claims a socket.
    #[must_use]
    pub fn new(socket: &impl AsFd, owner: Owner) -> Self {
        let descriptor = socket.as_fd().as_raw_fd();
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(entry) = entry(descriptor, true) {
            entry.owner.store(owner.code(), Ordering::Release);
            entry.serial.store(serial, Ordering::Release);
        }
        Self(SocketId { descriptor, serial })
    }

    /// Which socket it is.
    #[must_use]
    pub fn socket(&self) -> SocketId {
        self.0
    }

    /// Says what the socket is there for from now on.
    pub fn assign(&self, owner: Owner) {
        if let Some(entry) = entry(self.0.descriptor, false)
            && entry.serial.load(Ordering::Acquire) == self.0.serial
        {
            entry.owner.store(owner.code(), Ordering::Release);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(entry) = entry(self.0.descriptor, false) {
            // Another thread may have the descriptor by now, for a socket of its own, and have claimed it.
            let _ = entry.serial.compare_exchange(self.0.serial, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
    }
}

impl SocketId {
    /// Our end of the socket, whose other end is `peer`; none if it has been closed, or is not connected any more.
    ///
    /// No two sockets that live at a time have the same two ends, so the other end tells it from one that has come to its
    /// descriptor since.
    #[must_use]
    pub fn near_end(self, peer: ClientAddress) -> Option<ListenAddress> {
        let near = sys::near_end(self.descriptor)?;
        let is_it = sys::far_end(self.descriptor).is_some_and(|far| ClientAddress::new(far) == peer);
        is_it.then(|| ListenAddress::new(near))
    }

    /// Whether the claim of it stands.
    #[must_use]
    pub fn is_claimed(self) -> bool {
        entry(self.descriptor, false).is_some_and(|entry| entry.serial.load(Ordering::Acquire) == self.serial)
    }
}

/// Who has claimed the socket of this descriptor, if anybody has.
#[must_use]
pub fn owner_of(descriptor: RawFd) -> Option<Owner> {
    let entry = entry(descriptor, false)?;
    if entry.serial.load(Ordering::Acquire) == 0 {
        return None;
    }
    Some(Owner::from_code(entry.owner.load(Ordering::Acquire)))
}

/// How many sockets are claimed for the pools.
#[must_use]
pub fn pooled_sockets() -> usize {
    let entries = LEDGER.iter().filter_map(OnceLock::get).flat_map(|part| part.iter());
    let claimed = entries.filter(|entry| entry.serial.load(Ordering::Acquire) != 0);
    claimed.filter(|entry| entry.owner.load(Ordering::Acquire) == Owner::Pool.code()).count()
}

fn entry(descriptor: RawFd, make: bool) -> Option<&'static Entry> {
    let number = usize::try_from(descriptor).ok()?;
    let part = LEDGER.get(number / PART)?;
    let part = match part.get() {
        Some(part) => part,
        None if make => part.get_or_init(|| (0..PART).map(|_| Entry::default()).collect()),
        None => return None,
    };
    part.get(number % PART)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_claim_stands_until_it_is_dropped_and_is_no_others() {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let claim = Claim::new(&first, Owner::Waiting);
        let socket = claim.socket();
        assert!(socket.is_claimed());
        assert_eq!(owner_of(socket.descriptor), Some(Owner::Waiting));
        for owner in [Owner::Client(7), Owner::Target(7), Owner::Pool, Owner::Listener, Owner::Operator, Owner::Waiting]
        {
            claim.assign(owner);
            assert_eq!(owner_of(socket.descriptor), Some(owner));
        }
        // As if the descriptor had been closed, and opened and claimed by another thread, before the claim was given up.
        let next = Claim::new(&first, Owner::Pool);
        claim.assign(Owner::Operator);
        assert!(!socket.is_claimed());
        drop(claim);
        assert_eq!((owner_of(socket.descriptor), next.socket().is_claimed()), (Some(Owner::Pool), true));
        drop(next);
        assert_eq!(owner_of(socket.descriptor), None);
    }

    #[test]
    fn a_descriptor_beyond_the_ledger_has_no_owner() {
        assert_eq!(owner_of(-1), None);
        assert_eq!(owner_of(RawFd::MAX), None);
    }
}
