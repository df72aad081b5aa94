use std::fmt;

/// A value that is never shown: `Debug` and `Display` print dots.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

/// What is shown in place of a secret; always the same length, so that it tells nothing.
pub(super) const DOTS: &str = "••••••••";

impl<T> Secret<T> {
    /// Hides a value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself; the caller must not print it.
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(DOTS)
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(DOTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_dots_and_is_still_there() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?} {secret}"), format!("{DOTS} {DOTS}"));
        assert_eq!(*secret.reveal(), "hunter2");
    }
}
