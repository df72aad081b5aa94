use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::outcome::{Cause, Outcome};

/// What the requests of one client connection have come to, for the one who serves it.
#[derive(Debug, Default)]
pub(super) struct Activity {
    live: AtomicUsize,
    answered: AtomicBool,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    /// The connection cannot go on after this.
    fatal: Option<Outcome>,
    /// Why the connection is being ended, from the moment that it is.
    ending: Option<Outcome>,
}

impl Activity {
    /// How many requests are being served.
    pub(super) fn live(&self) -> usize {
        self.live.load(Ordering::Acquire)
    }

    /// Whether a request has ended well.
    pub(super) fn answered(&self) -> bool {
        self.answered.load(Ordering::Acquire)
    }

    pub(super) fn opened(&self) {
        self.live.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn closed(&self, outcome: Outcome) {
        if outcome.cause == Cause::Finished {
            self.answered.store(true, Ordering::Release);
        }
        self.live.fetch_sub(1, Ordering::AcqRel);
    }

    /// Notes what ends the connection with the request; the first counts.
    pub(super) fn set_fatal(&self, outcome: Outcome) {
        self.notes().fatal.get_or_insert(outcome);
    }

    pub(super) fn fatal(&self) -> Option<Outcome> {
        self.notes().fatal
    }

    /// Notes why the connection is being ended, for the requests that end with it.
    pub(super) fn set_ending(&self, outcome: Outcome) {
        self.notes().ending.get_or_insert(outcome);
    }

    pub(super) fn ending(&self) -> Option<Outcome> {
        self.notes().ending
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        // Each note is set in one step, so it is right whatever panicked beside it.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
