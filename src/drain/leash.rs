use std::future::poll_fn;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Waker};

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

/// What one task has heard of its leash, which it asks again and again.
#[derive(Debug, Default)]
pub struct Hearing {
    seen: Option<Order>,
    /// Who is woken by the next order.
    waits: Option<Waker>,
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

    /// Ready with the order given once it outranks what was heard before. To ask while there is none costs a look.
    ///
    /// No other task may wait for the same leash between two polls, or nobody is woken.
    pub fn poll_heard(&self, context: &mut Context<'_>, hearing: &mut Hearing) -> Poll<Order> {
        let waits = hearing.waits.as_ref().is_some_and(|waits| waits.will_wake(context.waker()));
        if waits && self.above(hearing.seen).is_none() {
            return Poll::Pending;
        }
        let news = self.poll_order(context, hearing.seen);
        match news {
            // Whoever is woken does not wait any more.
            Poll::Ready(order) => *hearing = Hearing { seen: Some(order), waits: None },
            Poll::Pending => hearing.waits = Some(context.waker().clone()),
        }
        news
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
    async fn who_asks_again_and_again_hears_each_order_once_and_is_woken_by_each() {
        let leash = Arc::new(Leash::default());
        let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
        let waiting = tokio::spawn({
            let leash = Arc::clone(&leash);
            let mut hearing = Hearing::default();
            poll_fn(move |context| {
                // As a task that has much else to do, which asks at each of its turns, and more than once.
                for _ in 0..3 {
                    while let Poll::Ready(order) = leash.poll_heard(context, &mut hearing) {
                        told.send(order).unwrap();
                    }
                }
                if hearing.seen == Some(Order::Kill) { Poll::Ready(()) } else { Poll::Pending }
            })
        });
        tokio::task::yield_now().await;
        for order in [Order::Drain, Order::Cut, Order::Kill] {
            leash.pull(order);
            leash.pull(Order::Drain);
            assert_eq!(tells.recv().await, Some(order));
        }
        waiting.await.unwrap();
        assert_eq!(tells.recv().await, None);
    }

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
