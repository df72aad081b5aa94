use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::net::ListenAddress;

/// The first rest after an error of ours; it doubles up to [`REST_MAX`].
///
/// Descriptors come back at the pace of ending connections: 10 ms is shorter than any of them is missed for.
const REST_MIN: Duration = Duration::from_millis(10);

/// The longest rest after an error of ours.
const REST_MAX: Duration = Duration::from_secs(1);

/// How often it is said at most that something of ours has run out: clients that come and go at the limit must not fill
/// the log.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// What the process has run out of, and what the log has been told of it: all accept loops of all workers meet it at once,
/// and it is said once.
#[derive(Debug, Default)]
pub(super) struct Shortage(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    short: Option<Instant>,
    full: Option<Instant>,
    /// The log has been told of a spell that is not over.
    told: bool,
}

/// Resting while something of ours has run out: longer each time, said once, and said again when it is over.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) address: ListenAddress,
    next: Option<Duration>,
    shortage: Arc<Shortage>,
}

impl Rest {
    pub(super) fn new(address: ListenAddress, shortage: &Arc<Shortage>) -> Self {
        Self { address, next: None, shortage: Arc::clone(shortage) }
    }

    pub(super) async fn take(&mut self, error: &io::Error) {
        if self.next.is_none() && self.shortage.begins() {
            tracing::warn!(
                %error, address = %self.address,
                "cannot accept connections for now: raise the limit of open files (LimitNOFILE=) or lower server.max_connections"
            );
        }
        let rest = self.next.unwrap_or(REST_MIN);
        self.next = Some((rest * 2).min(REST_MAX));
        tokio::time::sleep(rest).await;
    }

    /// A connection was accepted with room to spare.
    pub(super) fn over(&mut self) {
        if self.next.take().is_some() && self.shortage.ends() {
            tracing::info!(address = %self.address, "accepting connections again");
        }
    }

    pub(super) fn complain_of_full(&mut self, limit: usize) {
        if self.shortage.is_full() {
            tracing::warn!(
                limit, address = %self.address,
                "as many connections as server.max_connections allows; new ones wait until one ends"
            );
        }
    }
}

impl Shortage {
    /// Whether a spell that begins is to be said.
    fn begins(&self) -> bool {
        let mut said = self.said();
        let due = is_due(&mut said.short);
        said.told |= due;
        due
    }

    /// Whether the end of a spell is to be said.
    fn ends(&self) -> bool {
        std::mem::take(&mut self.said().told)
    }

    /// Whether it is to be said that the process has all connections that it may have.
    fn is_full(&self) -> bool {
        is_due(&mut self.said().full)
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        // Each is set in one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether something may be said again, which then counts as said.
fn is_due(said: &mut Option<Instant>) -> bool {
    let due = said.is_none_or(|said| said.elapsed() >= SAID_EVERY);
    if due {
        *said = Some(Instant::now());
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rests() -> [Rest; 2] {
        let shortage = Arc::default();
        [1, 2].map(|port| Rest::new(ListenAddress::new(([127, 0, 0, 1], port).into()), &shortage))
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_doubles_up_to_its_longest_and_starts_anew_after_a_success() {
        let error = io::Error::from_raw_os_error(libc::EMFILE);
        let [mut rest, _] = rests();
        let begin = Instant::now();
        for _ in 0..3 {
            rest.take(&error).await;
        }
        assert_eq!(begin.elapsed(), REST_MIN * 7);
        for _ in 0..10 {
            rest.take(&error).await;
        }
        assert_eq!(rest.next, Some(REST_MAX));
        rest.over();
        assert_eq!(rest.next, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_spell_is_said_once_however_many_meet_it_and_the_next_after_a_minute() {
        let error = io::Error::from_raw_os_error(libc::EMFILE);
        let told = |rest: &Rest| rest.shortage.said().told;
        let [mut one, mut other] = rests();
        one.take(&error).await;
        assert!(told(&one) && !other.shortage.begins(), "the other has nothing to add");
        other.take(&error).await;
        assert!(one.shortage.is_full() && !other.shortage.is_full());
        other.over();
        assert!(!told(&one));
        // The next spell comes too soon to be said anew, and the one after a minute does not.
        one.over();
        one.take(&error).await;
        assert!(!told(&one));
        one.over();
        tokio::time::advance(SAID_EVERY).await;
        one.take(&error).await;
        assert!(told(&one));
    }
}
