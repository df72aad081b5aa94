use std::fmt;

use super::host::{HostName, InvalidHostName};

/// Which host names a route or a certificate stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// `shop.example.com`: this name and no other.
    Exact(HostName),
    /// `*.example.com`: exactly one label in front of the name; not the name itself (RFC 9525 section 6.3).
    OneLabel(HostName),
    /// `**.example.com`: one label or more in front of the name; not the name itself.
    AnyLabels(HostName),
}

/// Why a text is not a host pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHostPattern {
    /// A star elsewhere than as the whole first label.
    #[error("a star may only be the whole first label, as in *.example.com or **.example.com")]
    Star,
    /// The rest is no host name.
    #[error(transparent)]
    Name(#[from] InvalidHostName),
}

impl HostPattern {
    /// Reads `name`, `*.name` or `**.name`.
    ///
    /// # Errors
    /// What is wrong with the text; its writer is to blame.
    pub fn parse(text: &str) -> Result<Self, InvalidHostPattern> {
        let (build, name): (fn(HostName) -> Self, &str) = if let Some(rest) = text.strip_prefix("**.") {
            (Self::AnyLabels, rest)
        } else if let Some(rest) = text.strip_prefix("*.") {
            (Self::OneLabel, rest)
        } else {
            (Self::Exact, text)
        };
        if name.contains('*') {
            return Err(InvalidHostPattern::Star);
        }
        Ok(build(HostName::parse(name)?))
    }

    /// Whether `host` is one of the names.
    #[must_use]
    pub fn matches(&self, host: &HostName) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::OneLabel(name) => host.parent() == Some(name.as_str()),
            Self::AnyLabels(name) => {
                host.as_str().strip_suffix(name.as_str()).is_some_and(|front| front.len() > 1 && front.ends_with('.'))
            }
        }
    }

    /// The name without its stars.
    #[must_use]
    pub fn name(&self) -> &HostName {
        match self {
            Self::Exact(name) | Self::OneLabel(name) | Self::AnyLabels(name) => name,
        }
    }

    /// Whether every name of `other` is also one of this pattern.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Exact(name)) => self.matches(name),
            (Self::Exact(_), Self::OneLabel(_) | Self::AnyLabels(_)) | (Self::OneLabel(_), Self::AnyLabels(_)) => false,
            (Self::OneLabel(name), Self::OneLabel(inner)) => name == inner,
            (Self::AnyLabels(name), Self::OneLabel(inner) | Self::AnyLabels(inner)) => {
                name == inner || self.matches(inner)
            }
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => write!(formatter, "{name}"),
            Self::OneLabel(name) => write!(formatter, "*.{name}"),
            Self::AnyLabels(name) => write!(formatter, "**.{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, host: &str) -> bool {
        HostPattern::parse(pattern).unwrap().matches(&HostName::parse(host).unwrap())
    }

    #[test]
    fn one_star_is_one_label_and_two_stars_are_one_or_more_and_neither_is_the_apex() {
        assert!(matches("*.example.com", "a.example.com"));
        assert!(!matches("*.example.com", "a.b.example.com"));
        assert!(!matches("*.example.com", "example.com"));
        assert!(matches("**.example.com", "a.example.com"));
        assert!(matches("**.example.com", "a.b.example.com"));
        assert!(!matches("**.example.com", "example.com"));
        assert!(!matches("**.example.com", "evilexample.com"));
        assert!(!matches("*.example.com", "a.evilexample.com"));
    }

    #[test]
    fn a_star_elsewhere_is_refused() {
        for text in ["a*.example.com", "*", "**", "*.*.com", "example.*", "***.com"] {
            assert_eq!(HostPattern::parse(text), Err(InvalidHostPattern::Star), "{text}");
        }
    }

    #[test]
    fn covering_is_containing_every_name() {
        let covers = |a: &str, b: &str| HostPattern::parse(a).unwrap().covers(&HostPattern::parse(b).unwrap());
        assert!(covers("*.a.com", "x.a.com"));
        assert!(covers("**.a.com", "*.a.com"));
        assert!(covers("**.a.com", "**.b.a.com"));
        assert!(covers("**.a.com", "*.b.a.com"));
        assert!(!covers("*.a.com", "**.a.com"));
        assert!(!covers("*.a.com", "*.b.a.com"));
        assert!(!covers("x.a.com", "*.a.com"));
    }
}
