use std::fmt;

/// The longest host name in its textual form, without the final dot (RFC 1035 section 2.3.4: 255 octets on the wire).
pub const LENGTH_MAX: usize = 253;

/// The longest label of a host name (RFC 1035 section 2.3.4).
const LABEL_LENGTH_MAX: usize = 63;

/// A host name in the one form that is compared: ASCII, lower case, without a final dot.
///
/// Letters, digits, hyphens and underscores are allowed; underscores are not in RFC 1123, but they are in use.
/// An IP literal is not a host name (RFC 6066 section 3).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(Box<str>);

/// Why a text is not a host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHostName {
    /// Nothing is left of it.
    #[error("the name is empty")]
    Empty,
    /// It is longer than [`LENGTH_MAX`].
    #[error("the name is longer than {LENGTH_MAX} characters")]
    TooLong,
    /// Two dots in a row, or a dot in front.
    #[error("a label is empty")]
    EmptyLabel,
    /// A label is longer than 63 characters.
    #[error("a label is longer than {LABEL_LENGTH_MAX} characters")]
    LabelTooLong,
    /// A label begins or ends with a hyphen (RFC 1123 section 2.1).
    #[error("a label begins or ends with a hyphen")]
    Hyphen,
    /// A character outside of letters, digits, hyphen and underscore.
    #[error("a character is not a letter, digit, hyphen or underscore; write international names in their xn-- form")]
    Character,
    /// It is an IP address.
    #[error("an IP address is not a host name")]
    Address,
}

impl HostName {
    /// Reads a name as peers and operators write it: any case, one final dot allowed.
    ///
    /// # Errors
    /// The first rule that the text breaks; the text's writer is to blame.
    pub fn parse(text: &str) -> Result<Self, InvalidHostName> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(InvalidHostName::Empty);
        }
        if text.len() > LENGTH_MAX {
            return Err(InvalidHostName::TooLong);
        }
        let mut last = "";
        for label in text.split('.') {
            check_label(label)?;
            last = label;
        }
        // A name whose last label is a number can only be an IPv4 address (WHATWG URL, "ends in a number").
        if last.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidHostName::Address);
        }
        Ok(Self(text.to_ascii_lowercase().into_boxed_str()))
    }

    /// The name, lower case, without a final dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name without its first label, or `None` for a single label.
    #[must_use]
    pub fn parent(&self) -> Option<&str> {
        self.0.split_once('.').map(|(_, parent)| parent)
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn check_label(label: &str) -> Result<(), InvalidHostName> {
    if label.is_empty() {
        return Err(InvalidHostName::EmptyLabel);
    }
    if label.len() > LABEL_LENGTH_MAX {
        return Err(InvalidHostName::LabelTooLong);
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(InvalidHostName::Hyphen);
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !label.bytes().all(allowed) {
        return Err(InvalidHostName::Character);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_lower_case_and_without_its_final_dot() {
        assert_eq!(HostName::parse("Shop.Example.COM.").unwrap().as_str(), "shop.example.com");
        assert_eq!(HostName::parse("a_b").unwrap().as_str(), "a_b");
    }

    #[test]
    fn each_rule_refuses_what_breaks_it() {
        let long = format!("{}.com", "a".repeat(LABEL_LENGTH_MAX + 1));
        let cases = [
            ("", InvalidHostName::Empty),
            (".", InvalidHostName::Empty),
            ("a..b", InvalidHostName::EmptyLabel),
            ("a..", InvalidHostName::EmptyLabel),
            (".a", InvalidHostName::EmptyLabel),
            ("-a.b", InvalidHostName::Hyphen),
            ("a-.b", InvalidHostName::Hyphen),
            ("a b", InvalidHostName::Character),
            ("*.a", InvalidHostName::Character),
            ("caf\u{e9}.fr", InvalidHostName::Character),
            ("127.0.0.1", InvalidHostName::Address),
            ("[::1]", InvalidHostName::Character),
            (long.as_str(), InvalidHostName::LabelTooLong),
        ];
        for (text, fault) in cases {
            assert_eq!(HostName::parse(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn the_longest_name_is_taken_and_one_character_more_is_not() {
        let label = "a".repeat(LABEL_LENGTH_MAX);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(LENGTH_MAX - 3 * 64));
        assert_eq!(longest.len(), LENGTH_MAX);
        assert!(HostName::parse(&longest).is_ok());
        assert!(HostName::parse(&format!("{longest}.")).is_ok());
        assert_eq!(HostName::parse(&format!("{longest}a")), Err(InvalidHostName::TooLong));
    }
}
