use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Count, Counted};

/// Everybody in the process who keeps descriptors that can be done without: as the kernel has one table of descriptors for a
/// process, we have one list of those who are asked when it is full.
static KEEPERS: Mutex<Vec<UnboundedSender<Counted>>> = Mutex::new(Vec::new());

/// Somebody who keeps descriptors that can be done without, such as idle connections, for as long as this lives.
#[derive(Debug)]
pub struct Keeper(UnboundedReceiver<Counted>);

/// That descriptors are wanted. To be dropped when those that can be done without are closed.
#[derive(Debug)]
pub struct Wanted {
    _askers: Vec<Counted>,
}

/// Keepers who have been asked.
#[derive(Debug)]
pub struct Asked(Arc<Count>);

impl Keeper {
    /// Somebody who is asked from now on.
    #[must_use]
    pub fn new() -> Self {
        let (keeper, asked) = unbounded_channel();
        KEEPERS.lock().unwrap_or_else(PoisonError::into_inner).push(keeper);
        Self(asked)
    }

    /// Waits until descriptors are wanted; all who have asked by then are answered at once.
    ///
    /// # Cancel safety
    /// Cancel safe: nobody who asks is passed over.
    pub async fn wanted(&mut self) -> Wanted {
        let first = self.0.recv().await;
        let others = std::iter::from_fn(|| self.0.try_recv().ok());
        Wanted { _askers: first.into_iter().chain(others).collect() }
    }
}

impl Default for Keeper {
    fn default() -> Self {
        Self::new()
    }
}

/// Asks everybody for the descriptors that can be done without.
pub fn ask_for_descriptors() -> Asked {
    let asked = Arc::new(Count::default());
    let mut keepers = KEEPERS.lock().unwrap_or_else(PoisonError::into_inner);
    // One who is gone keeps nothing.
    keepers.retain(|keeper| keeper.send(Counted::new(&asked)).is_ok());
    Asked(asked)
}

impl Asked {
    /// Waits until each has closed what can be done without, or is gone.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn answered(self) {
        self.0.none().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_asks_waits_for_all_keepers_but_for_those_who_are_gone() {
        let (mut first, second) = (Keeper::new(), Keeper::new());
        let (asked, again) = (ask_for_descriptors(), ask_for_descriptors());
        assert_eq!((asked.0.live(), again.0.live()), (2, 2));
        let wanted = first.wanted().await;
        drop(second);
        assert_eq!((asked.0.live(), again.0.live()), (1, 1), "both were heard at once, and not yet answered");
        drop(wanted);
        asked.answered().await;
        again.answered().await;
        drop(first);
        ask_for_descriptors().answered().await;
    }
}
