use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use http::StatusCode;

use super::hop;
use crate::head::Headers;
use crate::outcome::Outcome;

/// Answers before the final one that may wait for the client; a target that sends more of them at once loses them.
const INTERIM_MAX: usize = 16;

/// What a request and its answer have come to; written by those who move them.
#[derive(Debug, Default)]
pub(super) struct Progress {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    /// What of the answer's body was not written to the client's socket when its stream or connection ended.
    unsent: AtomicU64,
    fault: OnceLock<Outcome>,
    sent: AtomicBool,
    /// The client was gone before the head of its answer was sent.
    missed: AtomicBool,
    starving: AtomicBool,
    /// There are answers before the final one that the client has not had.
    hinted: AtomicBool,
    interim: Mutex<Vec<(StatusCode, Headers)>>,
}

impl Progress {
    /// Keeps an answer that comes before the final one (RFC 9110 section 15.2) for the client.
    pub(super) fn add_interim(&self, status: StatusCode, mut headers: Headers) {
        hop::remove(&mut headers);
        let mut interim = self.interim();
        if interim.len() < INTERIM_MAX {
            interim.push((status, headers));
        }
        self.hinted.store(true, Ordering::Release);
    }

    pub(super) fn take_interim(&self) -> Vec<(StatusCode, Headers)> {
        // A look first: most have none, and are asked more than once.
        if self.hinted.load(Ordering::Acquire) && self.hinted.swap(false, Ordering::AcqRel) {
            std::mem::take(&mut *self.interim())
        } else {
            Vec::new()
        }
    }

    fn interim(&self) -> MutexGuard<'_, Vec<(StatusCode, Headers)>> {
        // Each change is whole before the next can panic.
        self.interim.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whether the request's body waits for its client.
    pub(super) fn set_starving(&self, starving: bool) {
        self.starving.store(starving, Ordering::Release);
    }

    pub(super) fn starving(&self) -> bool {
        self.starving.load(Ordering::Acquire)
    }

    /// Notes that all of the request's body has been handed on.
    pub(super) fn set_sent(&self) {
        self.sent.store(true, Ordering::Release);
    }

    pub(super) fn sent(&self) -> bool {
        self.sent.load(Ordering::Acquire)
    }

    /// Notes that the client was gone before the head of its answer was sent.
    pub(super) fn set_missed(&self) {
        self.missed.store(true, Ordering::Release);
    }

    pub(super) fn missed(&self) -> bool {
        self.missed.load(Ordering::Acquire)
    }

    pub(super) fn add_in(&self, bytes: u64) {
        self.bytes_in.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn add_out(&self, bytes: u64) {
        self.bytes_out.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn bytes_out(&self) -> u64 {
        self.bytes_out.load(Ordering::Relaxed)
    }

    pub(super) fn bytes_in(&self) -> u64 {
        self.bytes_in.load(Ordering::Relaxed)
    }

    /// Notes how many bytes of the answer's body are not written to the client's socket, and never will be.
    pub(super) fn set_unsent(&self, bytes: u64) {
        self.unsent.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn unsent(&self) -> u64 {
        self.unsent.load(Ordering::Relaxed)
    }

    pub(super) fn set_fault(&self, fault: Outcome) {
        let _first_counts = self.fault.set(fault);
    }

    pub(super) fn fault(&self) -> Option<Outcome> {
        self.fault.get().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_interim_answer_above_what_is_kept_is_dropped() {
        let progress = Progress::default();
        for _ in 0..=INTERIM_MAX {
            progress.add_interim(StatusCode::EARLY_HINTS, Headers::new());
        }
        assert_eq!(progress.take_interim().len(), INTERIM_MAX);
        assert_eq!(progress.take_interim().len(), 0);
    }
}
