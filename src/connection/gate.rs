use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// How many connections the process takes at once: `server.max_connections`.
#[derive(Debug)]
pub struct Gate {
    limit: AtomicUsize,
    live: AtomicUsize,
    left: Notify,
}

/// A connection's place under the process's limit; given back when dropped.
#[derive(Debug)]
pub struct Place(Arc<Gate>);

impl Gate {
    /// A gate that lets `limit` in.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit: AtomicUsize::new(limit), live: AtomicUsize::new(0), left: Notify::new() }
    }

    /// Changes the limit; those who are in stay in.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Release);
        self.left.notify_waiters();
    }

    /// The limit.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Acquire)
    }

    /// How many are in.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Acquire)
    }

    /// A place, if one is free now.
    #[must_use]
    pub fn try_enter(self: &Arc<Self>) -> Option<Place> {
        let limit = self.limit();
        let entered =
            self.live.fetch_update(Ordering::AcqRel, Ordering::Acquire, |live| (live < limit).then_some(live + 1));
        entered.is_ok().then(|| Place(Arc::clone(self)))
    }

    /// Waits for a place.
    ///
    /// # Cancel safety
    /// Cancel safe: a place is taken only when it is returned.
    pub async fn enter(self: &Arc<Self>) -> Place {
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            // Enabled before the try, so that a place given back between the two is not missed.
            left.as_mut().enable();
            if let Some(place) = self.try_enter() {
                return place;
            }
            left.await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::AcqRel);
        // All waiters, not one: a woken waiter may have been cancelled, and its wake-up must not be lost with it.
        self.0.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_gate_lets_in_up_to_its_limit_and_the_next_when_one_leaves() {
        let gate = Arc::new(Gate::new(2));
        let first = gate.enter().await;
        let _second = gate.enter().await;
        assert!(gate.try_enter().is_none());
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        let third = waiting.await.unwrap();
        assert_eq!(gate.live(), 2);
        gate.set_limit(1);
        drop(third);
        assert!(gate.try_enter().is_none());
    }
}
