use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Generation;
use crate::handler::Site;
use crate::net::ListenAddress;

/// The generation that runs now. Swapping it is all that a reload does to the connections to come.
#[derive(Debug)]
pub struct Current(ArcSwap<Generation>);

impl Current {
    /// Begins with the first generation.
    #[must_use]
    pub fn new(first: Generation) -> Self {
        Self(ArcSwap::from_pointee(first))
    }

    /// The generation that runs now.
    #[must_use]
    pub fn load(&self) -> Arc<Generation> {
        self.0.load_full()
    }

    /// What is served at a listening address now; `None` when it is no longer listened on.
    #[must_use]
    pub fn site(&self, address: ListenAddress) -> Option<Arc<Site>> {
        self.0.load().sites.get(&address).cloned()
    }

    /// Takes over from the generation before.
    pub fn replace(&self, next: Generation) {
        self.0.store(Arc::new(next));
    }
}
