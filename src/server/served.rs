use std::sync::{Arc, Mutex, PoisonError};

use crate::handler::Site;

/// What was last served at an address that one worker listens on: who is queued when a reload takes the address away is still
/// served so.
///
/// A reload that keeps the address puts the new state here, so that an address to which nobody comes does not keep the old
/// one, with the routes and targets that only it had.
#[derive(Debug)]
pub(super) struct Served(Mutex<Arc<Site>>);

impl Served {
    pub(super) fn new(site: Arc<Site>) -> Self {
        Self(Mutex::new(site))
    }

    pub(super) fn last(&self) -> Arc<Site> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn renew(&self, site: Arc<Site>) {
        let before = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), site);
        // Outside of the lock: it may be the last of a whole generation.
        drop(before);
    }
}
