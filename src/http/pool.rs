use std::sync::Arc;
use std::time::Duration;

/// Idle connections of one kind to one target that a worker keeps.
pub const IDLE_PER_KEY_MAX: usize = 64;

/// Idle connections to all targets that a worker keeps.
pub const IDLE_MAX: usize = 1024;

/// The idle connections to targets of one worker.
#[derive(Debug, Default)]
pub struct Pool {}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// How many connections are idle.
    #[must_use]
    pub fn idle(&self) -> usize {
        0
    }

    /// Drops the connections that have been idle for longer than their routes allow; to be called each second.
    pub fn sweep(&self) {}

    /// Drops every idle connection, and those in use as soon as their requests end.
    pub fn close(&self) {}
}

/// A target's connection in the use of one request.
#[derive(Debug)]
pub(super) struct Lease {}

impl Lease {
    /// Gives the connection to the next request, if it can take one.
    pub(super) fn give_back(self) {}
}

#[expect(dead_code, reason = "until the pool is filled")]
type Unused = Duration;
