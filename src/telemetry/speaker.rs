use std::cell::Cell;

thread_local! {
    /// The connection whose task is being polled; numbers begin with 1.
    static SPEAKING: Cell<u64> = const { Cell::new(0) };
}

/// Whose doing it is when something is logged: a line that does not say its connection has it from here, lines of libraries
/// too. A span for each connection would do the same for some microseconds more of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Speaker(u64);

impl Speaker {
    /// The connection of that number.
    #[must_use]
    pub fn of(connection: u64) -> Self {
        Self(connection)
    }

    /// The one for whom this thread is acting, to be taken along into a task of its own.
    #[must_use]
    pub fn current() -> Self {
        Self(SPEAKING.get())
    }

    /// Its number; `None` where nobody's connection is served.
    #[must_use]
    pub fn connection(self) -> Option<u64> {
        (self.0 != 0).then_some(self.0)
    }

    /// Acts for it: polls one of its tasks once.
    pub fn during<T>(self, act: impl FnOnce() -> T) -> T {
        // Given back also when the task panics, or the next one would speak in its name.
        let _before = Before(SPEAKING.replace(self.0));
        act()
    }
}

struct Before(u64);

impl Drop for Before {
    fn drop(&mut self) {
        SPEAKING.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_speaker_is_known_while_it_acts_and_not_after_whatever_happens() {
        assert_eq!(Speaker::current().connection(), None);
        Speaker::of(7).during(|| {
            assert_eq!(Speaker::current().connection(), Some(7));
            Speaker::of(8).during(|| assert_eq!(Speaker::current(), Speaker::of(8)));
            assert_eq!(Speaker::current(), Speaker::of(7));
            let panicked = std::panic::catch_unwind(|| Speaker::of(9).during(|| panic!("as a fault of ours would")));
            assert!(panicked.is_err());
            assert_eq!(Speaker::current(), Speaker::of(7));
        });
        assert_eq!(Speaker::current(), Speaker::default());
    }
}
