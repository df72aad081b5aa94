use std::future::poll_fn;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;

/// What a live connection has been told from outside. A later one outranks an earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// End at the next good moment: HTTP after the current requests, a relay when its sides end by themselves.
    Drain,
    /// End now: the time for draining is over.
    Cut,
    /// End now: an operator asked for it.
    Kill,
}

impl Order {
    /// The name in traces.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Cut => "cut",
            Self::Kill => "kill",
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Drain => 1,
            Self::Cut => 2,
            Self::Kill => 3,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Drain),
            2 => Some(Self::Cut),
            3 => Some(Self::Kill),
            _ => None,
        }
    }
}

/// The line by which one connection's task is told to end.
///
/// Any thread may pull; one task at a time may wait.
#[derive(Debug, Default)]
pub struct Leash {
    order: AtomicU8,
    waiter: AtomicWaker,
}

impl Leash {
    /// Gives an order, and wakes the connection's task. A lower order than the one already given changes nothing.
    pub fn pull(&self, order: Order) {
        if self.order.fetch_max(order.code(), Ordering::AcqRel) < order.code() {
            self.waiter.wake();
        }
    }

    /// The highest order given so far.
    #[must_use]
    pub fn order(&self) -> Option<Order> {
        Order::from_code(self.order.load(Ordering::Acquire))
    }

    /// Ready with the order given once it outranks `seen`.
    ///
    /// Only the task that polled last is woken.
    pub fn poll_order(&self, context: &mut Context<'_>, seen: Option<Order>) -> Poll<Order> {
        if let Some(order) = self.above(seen) {
            return Poll::Ready(order);
        }
        self.waiter.register(context.waker());
        match self.above(seen) {
            Some(order) => Poll::Ready(order),
            None => Poll::Pending,
        }
    }

    /// Waits for an order that outranks `seen`.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn order_above(&self, seen: Option<Order>) -> Order {
        poll_fn(|context| self.poll_order(context, seen)).await
    }

    /// Waits until the connection has to end at once: [`Order::Cut`] or [`Order::Kill`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn end(&self) -> Order {
        self.order_above(Some(Order::Drain)).await
    }

    fn above(&self, seen: Option<Order>) -> Option<Order> {
        self.order().filter(|order| Some(*order) > seen)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn an_order_reaches_a_waiter_and_only_a_higher_one_replaces_it() {
        let leash = Arc::new(Leash::default());
        let waiting = tokio::spawn({
            let leash = Arc::clone(&leash);
            async move { leash.end().await }
        });
        leash.pull(Order::Drain);
        assert_eq!(leash.order_above(None).await, Order::Drain);
        leash.pull(Order::Kill);
        leash.pull(Order::Cut);
        assert_eq!(leash.order(), Some(Order::Kill));
        assert_eq!(leash.end().await, Order::Kill);
        waiting.abort();
    }
}
