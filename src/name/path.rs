use std::fmt;

/// Which request paths a route stands for: `match.path`.
///
/// A text that ends in `/` is a prefix on a segment boundary; any other is exact; `{id}` is one segment, a final
/// `{*rest}` is the rest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPattern {
    text: Box<str>,
}

/// Why a text is not a path pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPathPattern {
    /// It does not begin with a slash.
    #[error("a path begins with /")]
    Relative,
}

impl PathPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with the text; its writer is to blame.
    pub fn parse(text: &str) -> Result<Self, InvalidPathPattern> {
        if !text.starts_with('/') {
            return Err(InvalidPathPattern::Relative);
        }
        Ok(Self { text: text.into() })
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}
