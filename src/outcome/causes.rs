use std::error::Error;

/// An error and what it comes from, in one line: the one place where a chain of errors is joined, since the `Display` of each
/// says its own level only.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Level(&'static str, #[source] Option<Box<Level>>);

    #[test]
    fn every_level_is_there_once_and_in_order() {
        let error = Level("outer", Some(Box::new(Level("middle", Some(Box::new(Level("inner", None)))))));
        assert_eq!(with_causes(&error), "outer: middle: inner");
        assert_eq!(with_causes(&Level("alone", None)), "alone");
    }
}
