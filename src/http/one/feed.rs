use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::http::incoming::IncomingError;
use crate::http::parcel::{Parcel, Takes};

/// Makes the two ends of a request's body: the one who reads the client's stream gives pieces by the [`Feeder`] when the
/// one who has the [`Feed`] wants them. `left` is the body's length, if it is known.
pub(super) fn feed(left: Option<u64>) -> (Feeder, Feed) {
    let slot = Arc::new(Mutex::new(Slot { left, ..Slot::default() }));
    (Feeder(Arc::clone(&slot)), Feed(slot))
}

#[derive(Debug, Default)]
struct Slot {
    parcel: Option<Parcel>,
    end: Option<Result<(), IncomingError>>,
    left: Option<u64>,
    wanted: Option<Takes>,
    dropped: bool,
    waker: Option<Waker>,
}

/// The end that gives.
#[derive(Debug)]
pub(super) struct Feeder(Arc<Mutex<Slot>>);

/// The end that takes.
#[derive(Debug)]
pub(in crate::http) struct Feed(Arc<Mutex<Slot>>);

impl Feeder {
    /// What the other end takes, if it waits for a piece.
    pub(super) fn wanted(&self) -> Option<Takes> {
        lock(&self.0).wanted
    }

    /// Whether nobody will ever take another piece.
    pub(super) fn is_dropped(&self) -> bool {
        lock(&self.0).dropped
    }

    /// Gives the piece that was wanted; `left` is what comes after it, if that is known. Whoever waits is woken, unless it
    /// is the task that gives: that goes on by itself.
    pub(super) fn put(&self, parcel: Parcel, left: Option<u64>, giver: &Waker) {
        let mut slot = lock(&self.0);
        slot.parcel = Some(parcel);
        slot.left = left;
        if left == Some(0) {
            slot.end = Some(Ok(()));
        }
        slot.wake(Some(giver));
    }

    /// Says that there is no more.
    pub(super) fn end(&self, result: Result<(), IncomingError>) {
        let mut slot = lock(&self.0);
        slot.end.get_or_insert(result);
        slot.wake(None);
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.end(Err(IncomingError::ClosedEarly));
    }
}

impl Feed {
    pub(in crate::http) fn poll_parcel(
        &mut self,
        context: &mut Context<'_>,
        takes: Takes,
    ) -> Poll<Option<Result<Parcel, IncomingError>>> {
        let mut slot = lock(&self.0);
        if let Some(parcel) = slot.parcel.take() {
            return Poll::Ready(Some(Ok(parcel)));
        }
        match slot.end {
            Some(Ok(())) => Poll::Ready(None),
            Some(Err(error)) => {
                // Said once; a body that has failed is over.
                slot.end = Some(Ok(()));
                Poll::Ready(Some(Err(error)))
            }
            None => {
                slot.wanted = Some(takes);
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(in crate::http) fn is_end(&self) -> bool {
        let slot = lock(&self.0);
        slot.parcel.is_none() && slot.end == Some(Ok(()))
    }

    /// What is still to come, if that is known.
    pub(in crate::http) fn left(&self) -> Option<u64> {
        let slot = lock(&self.0);
        let waiting = slot.parcel.as_ref().map_or(0, |parcel| parcel.len() as u64);
        slot.left.map(|left| left.saturating_add(waiting))
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        lock(&self.0).dropped = true;
    }
}

impl Slot {
    fn wake(&mut self, giver: Option<&Waker>) {
        self.wanted = None;
        if let Some(waker) = self.waker.take()
            && !giver.is_some_and(|giver| giver.will_wake(&waker))
        {
            waker.wake();
        }
    }
}

fn lock(slot: &Mutex<Slot>) -> MutexGuard<'_, Slot> {
    // Each change is whole before the next can panic.
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}
