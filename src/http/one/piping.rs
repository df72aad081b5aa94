use crate::net::pipe;

/// What a read has to bring for what follows to be worth a pipe, if it is like it, as in the relay: smaller ones are copied for
/// less than the calls more cost that a pipe may need.
const LARGE_READ: usize = 8 * 1024;

/// How much has to be left of a body for a pipe to be worth it (measured: `docs/performance.md`).
const LEFT_LEAST: u64 = 64 * 1024;

/// Whether what comes from a stream next is worth a pipe.
#[derive(Debug)]
pub(super) struct Piping {
    /// How much has to come in large reads before the next attempt.
    wait: usize,
}

impl Piping {
    pub(super) const fn new() -> Self {
        Self { wait: LARGE_READ }
    }

    /// So much has come at once.
    pub(super) const fn has_come(&mut self, bytes: usize) {
        self.wait = match self.wait {
            usize::MAX => usize::MAX,
            wait if bytes >= LARGE_READ => wait.saturating_sub(bytes),
            _ => LARGE_READ,
        };
    }

    /// There was no pipe to be had. There may be one later.
    pub(super) const fn had_none(&mut self) {
        self.wait = pipe::SIZE;
    }

    /// The system does not do it with this stream.
    pub(super) const fn was_refused(&mut self) {
        self.wait = usize::MAX;
    }

    /// Whether the next part of a body, of which so much is left, is to come through a pipe.
    pub(super) const fn is_worth_it(&self, left: u64) -> bool {
        self.wait == 0 && left >= LEFT_LEAST
    }
}
