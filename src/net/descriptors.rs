use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU64, Ordering};

use super::sys;

/// The limit of open files as it was when it was last asked for; 0 before that.
///
/// It can be changed from outside at any time (prlimit(1)), and to ask for it with each descriptor would be two system calls
/// for each connection. So it is asked for anew once a second, and whenever this one says that a descriptor is one of the
/// last: a higher limit holds at once, a lower one after a second.
static LIMIT: AtomicU64 = AtomicU64::new(0);

/// How many descriptors are kept from clients, so that operators are answered and files are read when clients have taken
/// all others; an eighth of the limit where that is less.
pub const DESCRIPTORS_KEPT: u64 = 64;

/// Whether clients have taken all descriptors that are theirs to take, as the number of one of theirs shows: the system
/// gives the lowest that is free (open(2)).
pub fn is_last_for_clients(descriptor: &impl AsFd) -> bool {
    is_last_of_limit(number(descriptor))
}

/// Asks anew for the limit of open files; to be done about once a second.
pub fn refresh_descriptor_limit() {
    // Without an answer the last one holds.
    let _ = refreshed();
}

fn refreshed() -> io::Result<u64> {
    let limit = sys::descriptor_limit()?;
    LIMIT.store(limit, Ordering::Relaxed);
    Ok(limit)
}

fn is_last_of_limit(number: u64) -> bool {
    is_last(number, LIMIT.load(Ordering::Relaxed)) && refreshed().is_ok_and(|limit| is_last(number, limit))
}

fn number(descriptor: &impl AsFd) -> u64 {
    u64::try_from(descriptor.as_fd().as_raw_fd()).unwrap_or(0)
}

fn is_last(number: u64, limit: u64) -> bool {
    number >= limit - DESCRIPTORS_KEPT.min(limit / 8)
}

/// How far from the last ones a client's descriptor has to be for the next to be taken without a look: more than the others
/// of the process can take in between.
const NEAR: u64 = 32;

/// Whether the last descriptors for clients are so near that the next has to be looked at before it is taken.
pub fn is_near_last_for_clients(descriptor: &impl AsFd) -> bool {
    is_last_of_limit(number(descriptor) + NEAR)
}

/// Whether a client's descriptor could be had now.
///
/// # Errors
/// The system's, when not even a kept one is left.
pub fn is_free_for_clients(any: &impl AsFd) -> io::Result<bool> {
    Ok(!is_last_for_clients(&any.as_fd().try_clone_to_owned()?))
}

/// What one client needs: a descriptor of its own, and one to its target.
const CLIENT_NEEDS: u64 = 2;

/// What the process opens for a moment at any time: what the system says of it, for metrics and the look for leaks, and an
/// operator's connection.
const PASSING: u64 = 2;

/// The limit of open files is so low that nobody could be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the limit of open files is {limit}, and {own} are taken before the first client comes: nobody could be served; raise it to \
     {needed} at least, and by two for each client more (LimitNOFILE= in the unit, `ulimit -n`)"
)]
pub struct TooFewDescriptors {
    limit: u64,
    own: u64,
    needed: u64,
}

/// Whether one client at least could be served, beside all that the process has open now.
///
/// # Errors
/// How many descriptors there are, and how many there would have to be.
pub fn room_for_a_client() -> Result<(), TooFewDescriptors> {
    // Without an answer there is nothing to compare with.
    let Ok(limit) = sys::descriptor_limit() else { return Ok(()) };
    // The system gives the lowest that is free, and those below it are open.
    let own = match io::stderr().as_fd().try_clone_to_owned() {
        Ok(next) => u64::try_from(next.as_raw_fd()).unwrap_or(0),
        Err(_) => limit,
    };
    let needed = needed(own);
    if limit < needed { Err(TooFewDescriptors { limit, own, needed }) } else { Ok(()) }
}

/// What to do about an error that is a want of descriptors, in words for the operator.
pub fn descriptor_advice(error: &io::Error) -> Option<String> {
    match (error.raw_os_error()?, sys::descriptor_limit()) {
        (libc::EMFILE, Ok(limit)) => {
            Some(format!("the limit of open files is {limit}: raise it (LimitNOFILE= in the unit, `ulimit -n`)"))
        }
        (libc::ENFILE, _) => Some("the whole system has no more (fs.file-max)".into()),
        _ => None,
    }
}

/// The lowest limit that leaves a client its descriptors, with `own` of the process and those that are kept.
fn needed(own: u64) -> u64 {
    let least = own.saturating_add(CLIENT_NEEDS + PASSING);
    let suffices = |limit: &u64| !is_last(least.saturating_sub(1), *limit);
    (least..).find(suffices).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_last_descriptors_are_not_for_clients() {
        assert!(!is_last(20_000 - DESCRIPTORS_KEPT - 1, 20_000));
        assert!(is_last(20_000 - DESCRIPTORS_KEPT, 20_000));
        // Where there are few, an eighth is kept.
        assert!(!is_last(69, 80));
        assert!(is_last(70, 80));
        // A limit that was lowered below what is open.
        assert!(is_last(500, 80));
        assert!(is_last(0, 0));
        // 8 of its own, 2 for a moment, 2 of the client, 1 that is kept.
        assert_eq!((needed(8), needed(16), needed(1000)), (13, 22, 1068));
        room_for_a_client().unwrap();
        // A limit that has been raised is seen by the first who would be one of the last, and one that has been lowered at the
        // next look.
        let limit = sys::descriptor_limit().unwrap();
        for before in [0, 80] {
            LIMIT.store(before, Ordering::Relaxed);
            assert!(!is_last_of_limit(75));
            assert_eq!(LIMIT.load(Ordering::Relaxed), limit);
        }
        LIMIT.store(u64::MAX, Ordering::Relaxed);
        assert!(!is_last_of_limit(limit));
        refresh_descriptor_limit();
        assert!(is_last_of_limit(limit));
        assert!(is_free_for_clients(&fs::File::open("/dev/null").unwrap()).unwrap());
    }
}
