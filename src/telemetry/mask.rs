use std::borrow::Cow;

/// What is written in the place of a value that is not for the log.
const MASK: &str = "***";

/// Which values of a query are kept out of the access log: passwords and tokens do not belong into a file that many read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum QueryMask {
    /// None.
    #[default]
    Nothing,
    /// Those of these parameters, in lower case.
    Names(Vec<Box<str>>),
    /// Every one.
    All,
}

impl QueryMask {
    /// A path with its query, or a whole URI, as it may be written.
    ///
    /// Names are compared decoded and in any case, since a target may do both. Parameters are parted by `&`, and to some
    /// targets by `;` too: a secret behind either is masked as far as the next `&`. So is a fragment.
    #[must_use]
    pub fn apply<'a>(&self, uri: &'a str) -> Cow<'a, str> {
        let Some((path, query)) = uri.split_once(['?', '#']).filter(|_| *self != Self::Nothing) else {
            return Cow::Borrowed(uri);
        };
        let mut masked = String::with_capacity(uri.len());
        masked.push_str(path);
        // The one byte between the two.
        masked.push_str(uri.get(path.len()..path.len().saturating_add(1)).unwrap_or_default());
        let mut changed = false;
        for (index, pair) in query.split('&').enumerate() {
            if index > 0 {
                masked.push('&');
            }
            let kept = self.kept(pair);
            masked.push_str(kept);
            if kept.len() < pair.len() {
                masked.push_str(MASK);
                changed = true;
            }
        }
        if changed { Cow::Owned(masked) } else { Cow::Borrowed(uri) }
    }

    /// How much of what stands between two `&` may be written.
    fn kept<'p>(&self, pair: &'p str) -> &'p str {
        let names = match self {
            Self::Nothing => return pair,
            // A parameter without a value may be one itself.
            Self::All => {
                let end = pair.find('=').map_or(0, |equals| equals.saturating_add(1));
                return pair.get(..end).unwrap_or_default();
            }
            Self::Names(names) => names,
        };
        let mut start = 0_usize;
        for part in pair.split([';', '?', '#']) {
            let name = part.split('=').next().unwrap_or_default();
            if name.len() < part.len() && names.iter().any(|secret| decoded(name) == **secret) {
                let end = start.saturating_add(name.len()).saturating_add(1);
                return pair.get(..end).unwrap_or_default();
            }
            start = start.saturating_add(part.len()).saturating_add(1);
        }
        pair
    }
}

/// A parameter's name as a target reads it, in lower case; `token[]` is `token`.
fn decoded(name: &str) -> String {
    let mut text = Vec::with_capacity(name.len());
    let mut bytes = name.bytes();
    while let Some(byte) = bytes.next() {
        let mut rest = bytes.clone();
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (byte, digit(rest.next()), digit(rest.next())) {
            (b'%', Some(high), Some(low)) => {
                text.push(high << 4 | low);
                bytes = rest;
            }
            _ => text.push(byte),
        }
    }
    let text = String::from_utf8_lossy(&text).trim().to_ascii_lowercase();
    text.split('[').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn named_values_are_masked_however_the_name_is_written() {
        let mask = QueryMask::Names(vec!["token".into(), "key".into()]);
        for (uri, expected) in [
            ("/a", "/a"),
            ("/token=1", "/token=1"),
            ("/a?b=c&d", "/a?b=c&d"),
            ("/a?token=s3cret", "/a?token=***"),
            ("/a?b=1&TOKEN=s3cret&c=2&key=s3cret", "/a?b=1&TOKEN=***&c=2&key=***"),
            ("/a?%74oken=s3cret", "/a?%74oken=***"),
            ("/a?%2574oken=x", "/a?%2574oken=x"),
            ("/a?token[]=s3cret&token%5B0%5D=s3cret", "/a?token[]=***&token%5B0%5D=***"),
            ("/a?b=1;token=s3cret;s3cret&c=2", "/a?b=1;token=***&c=2"),
            ("/a?token=s3cret;s3cret=s3cret", "/a?token=***"),
            ("/a?x?token=s3cret", "/a?x?token=***"),
            ("/a?tokens=x&token&=y", "/a?tokens=x&token&=y"),
            ("/a?token=", "/a?token="),
            ("https://a.test/?token=s3cret#x", "https://a.test/?token=***"),
            ("/a#token=s3cret", "/a#token=***"),
            ("/a?%&%zz=1&key=s3cret", "/a?%&%zz=1&key=***"),
        ] {
            assert_eq!(mask.apply(uri), expected, "{uri}");
        }
    }

    #[test]
    fn all_leaves_only_names() {
        for (uri, expected) in
            [("/a", "/a"), ("/a?s3cret", "/a?***"), ("/a?b=s3cret&c=&d", "/a?b=***&c=&***"), ("/a?", "/a?")]
        {
            assert_eq!(QueryMask::All.apply(uri), expected, "{uri}");
        }
        assert_eq!(QueryMask::Nothing.apply("/a?b=c"), "/a?b=c");
    }

    proptest! {
        #[test]
        fn a_secret_never_gets_through(before in "[a-z=&;%?#]{0,12}", after in "[a-z=;%?#]{0,8}") {
            let mask = QueryMask::Names(vec!["token".into()]);
            for separator in ["&", ";"] {
                let uri = format!("/a?{before}{separator}token=S3CRET{after}&b=c");
                prop_assert!(!mask.apply(&uri).contains("S3CRET"), "{}", uri);
                prop_assert!(!QueryMask::All.apply(&uri).contains("S3CRET"), "{}", uri);
            }
        }

        #[test]
        fn any_text_is_masked_or_left(uri in any::<String>()) {
            let _ = QueryMask::All.apply(&uri);
            let _ = QueryMask::Names(vec!["a".into()]).apply(&uri);
        }
    }
}
