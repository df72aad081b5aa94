use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What the users of one name share, kept for as long as there is one: series of a route or target that a reload has taken
/// away go with the last connection that uses it, and one that came back before goes on where it was.
#[derive(Debug)]
pub(super) struct Users<T>(Mutex<HashMap<Arc<str>, Shared<T>>>);

#[derive(Debug)]
struct Shared<T> {
    users: usize,
    value: Arc<T>,
}

impl<T> Default for Users<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Default> Users<T> {
    /// One more user.
    pub(super) fn enter(&self, name: &Arc<str>) -> Arc<T> {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shared =
            names.entry(Arc::clone(name)).or_insert_with(|| Shared { users: 0, value: Arc::new(T::default()) });
        shared.users = shared.users.saturating_add(1);
        Arc::clone(&shared.value)
    }

    /// One less. After the last, `remove` is done before anybody can be the first again.
    pub(super) fn leave(&self, name: &Arc<str>, remove: impl FnOnce(&T)) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(shared) = names.get_mut(name) else { return };
        shared.users = shared.users.saturating_sub(1);
        if shared.users == 0
            && let Some(shared) = names.remove(name)
        {
            remove(&shared.value);
        }
    }
}
