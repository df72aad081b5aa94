use std::sync::atomic::{AtomicU64, Ordering};

/// The payload bytes of one connection, as they are moved.
///
/// One task writes, anyone may read: so a plain load and store replace the locked addition.
#[derive(Debug, Default)]
pub struct Traffic {
    inward: AtomicU64,
    outward: AtomicU64,
}

impl Traffic {
    /// Counts bytes from the client that the next side has taken.
    pub fn add_in(&self, bytes: u64) {
        add(&self.inward, bytes);
    }

    /// Counts bytes that the client has taken.
    pub fn add_out(&self, bytes: u64) {
        add(&self.outward, bytes);
    }

    /// Takes back what was counted by [`Traffic::add_in`] and will be counted again.
    pub fn retract_in(&self, bytes: u64) {
        self.inward.store(self.inward.load(Ordering::Relaxed).wrapping_sub(bytes), Ordering::Relaxed);
    }

    /// Bytes from the client so far.
    #[must_use]
    pub fn bytes_in(&self) -> u64 {
        self.inward.load(Ordering::Relaxed)
    }

    /// Bytes to the client so far.
    #[must_use]
    pub fn bytes_out(&self) -> u64 {
        self.outward.load(Ordering::Relaxed)
    }
}

fn add(counter: &AtomicU64, bytes: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(bytes), Ordering::Relaxed);
}
