use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A descriptor for nothing that is kept, so that operators are answered when clients have taken all others: it is given up
/// for an operator's connection, and taken back when that has ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Reserve(Arc<Mutex<Option<File>>>);

impl Reserve {
    /// Takes a descriptor, unless there is one; if none is to be had, the next call tries again.
    pub(super) fn refill(&self) {
        let mut kept = self.kept();
        if kept.is_none() {
            *kept = File::open("/dev/null").ok();
        }
    }

    /// Frees the descriptor. Gives whether there was one.
    pub(super) fn give_up(&self) -> bool {
        self.kept().take().is_some()
    }

    fn kept(&self) -> MutexGuard<'_, Option<File>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_once_until_it_is_given_up() {
        let reserve = Reserve::default();
        assert!(!reserve.give_up());
        reserve.refill();
        reserve.clone().refill();
        assert!(reserve.give_up());
        assert!(!reserve.give_up());
    }
}
