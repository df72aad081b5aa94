use http::Version;
use http::header::{HeaderValue, InvalidHeaderValue, VIA};

use super::hop;
use crate::head::Headers;

/// How often our name may stand in a request's `Via`. Proxies of one name may stand behind each other; a request that has
/// come through them more often than any sensible chain is long goes in circles.
pub const VIA_SELF_MAX: usize = 8;

/// How we are named in `Via` (RFC 9110 section 7.6.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    name: Box<str>,
    http10: HeaderValue,
    http11: HeaderValue,
    http2: HeaderValue,
}

impl Via {
    /// The elements of a proxy of that pseudonym.
    ///
    /// # Errors
    /// The name has a character that no header has.
    pub fn new(name: &str) -> Result<Self, InvalidHeaderValue> {
        let element = |version| HeaderValue::try_from(format!("{version} {name}"));
        Ok(Self { name: name.into(), http10: element("1.0")?, http11: element("1.1")?, http2: element("2.0")? })
    }

    /// Adds us behind those that the message has come through.
    pub(super) fn add(&self, headers: &mut Headers, received: Version) {
        let element = if received == Version::HTTP_2 {
            &self.http2
        } else if received == Version::HTTP_10 {
            &self.http10
        } else {
            &self.http11
        };
        headers.append(VIA, element.clone());
    }

    /// Whether a request has come through us more often than may be.
    pub(super) fn is_loop(&self, headers: &Headers) -> bool {
        if !headers.contains_key(VIA) {
            return false;
        }
        let is_us = |element: &&str| {
            element.split_ascii_whitespace().nth(1).is_some_and(|by| by.eq_ignore_ascii_case(&self.name))
        };
        hop::tokens(headers, &VIA).filter(is_us).nth(VIA_SELF_MAX.saturating_sub(1)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_are_named_with_the_version_that_came() {
        let via = Via::new("edge").unwrap();
        let mut headers = Headers::new();
        headers.insert(VIA, HeaderValue::from_static("1.1 before"));
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            via.add(&mut headers, version);
        }
        let all: Vec<_> = headers.get_all(VIA).collect();
        assert_eq!(all, ["1.1 before", "1.0 edge", "1.1 edge", "2.0 edge"]);
        assert!(Via::new("a\nb").is_err());
    }

    #[test]
    fn a_request_goes_in_circles_when_it_has_come_once_more_than_it_may() {
        let via = Via::new("edge").unwrap();
        let mut headers = Headers::new();
        headers.insert(VIA, HeaderValue::from_static("1.1 other, HTTP/1.1 EDGE (x), edge, 1.1 edges"));
        for _ in 1..VIA_SELF_MAX - 1 {
            via.add(&mut headers, Version::HTTP_11);
            assert!(!via.is_loop(&headers));
        }
        via.add(&mut headers, Version::HTTP_2);
        assert!(via.is_loop(&headers));
    }
}
