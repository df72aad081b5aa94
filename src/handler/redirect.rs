use http::header::LOCATION;
use http::uri::PathAndQuery;
use http::{HeaderValue, Response, StatusCode, Uri};

use crate::http::{Body, Exchange, answer};
use crate::outcome::{Cause, Outcome, Party, Phase};

/// Sends clients elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The pieces of the new location, in order.
    pub to: Vec<RedirectPiece>,
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
}

/// A piece of a redirect's location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectPiece {
    /// Itself.
    Literal(Box<str>),
    /// The request's host, without port.
    Host,
    /// The request's path.
    Path,
    /// The request's path and query.
    PathAndQuery,
}

impl Redirect {
    /// Answers a request with its new location.
    #[must_use]
    pub fn answer(&self, uri: &Uri, exchange: Exchange) -> Response<Body> {
        let location = self.location(uri, exchange.host().as_str());
        let Some(location) = location.and_then(|location| HeaderValue::try_from(location).ok()) else {
            let malformed = Outcome::new(Phase::Serve, Party::Client, Cause::RequestMalformed);
            return answer::failure(malformed, exchange);
        };
        let mut response = answer::whole(self.status, "", exchange);
        response.headers_mut().insert(LOCATION, location);
        response
    }

    /// The location; `None` when it needs a host and the request names none.
    fn location(&self, uri: &Uri, host: Option<&str>) -> Option<String> {
        let mut location = String::new();
        for piece in &self.to {
            match piece {
                RedirectPiece::Literal(text) => location.push_str(text),
                RedirectPiece::Host => location.push_str(host?),
                RedirectPiece::Path => push_path(&mut location, uri.path()),
                RedirectPiece::PathAndQuery => {
                    push_path(&mut location, uri.path_and_query().map_or("/", PathAndQuery::as_str));
                }
            }
        }
        Some(location)
    }
}

/// A location that begins with two slashes (or with `/\`, which browsers take for the same) names a host: a request's path
/// must not choose it (CWE-601).
fn push_path(location: &mut String, path: &str) {
    // `OPTIONS *` asks for no path in particular.
    let path = if path == "*" { "/" } else { path };
    if location.is_empty() {
        location.push('/');
        location.push_str(path.trim_start_matches(['/', '\\']));
    } else {
        location.push_str(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirect(to: Vec<RedirectPiece>) -> Redirect {
        Redirect { to, status: StatusCode::PERMANENT_REDIRECT }
    }

    #[test]
    fn placeholders_are_the_requests_own() {
        let uri = Uri::from_static("http://ignored.example/a/b?c=d");
        let to =
            redirect(vec![RedirectPiece::Literal("https://".into()), RedirectPiece::Host, RedirectPiece::PathAndQuery]);
        assert_eq!(to.location(&uri, Some("shop.example")).as_deref(), Some("https://shop.example/a/b?c=d"));
        assert_eq!(to.location(&uri, None), None);
        let path = redirect(vec![RedirectPiece::Literal("/new".into()), RedirectPiece::Path]);
        assert_eq!(path.location(&uri, None).as_deref(), Some("/new/a/b"));
    }

    #[test]
    fn a_path_cannot_choose_the_host_that_the_client_is_sent_to() {
        let to = redirect(vec![RedirectPiece::PathAndQuery]);
        for path in ["//evil.example/x", "///evil.example/x", "/%5Cevil.example", "/plain"] {
            let uri: Uri = path.parse().unwrap();
            let location = to.location(&uri, None).unwrap();
            assert!(location.starts_with('/') && !location.starts_with("//"), "{location}");
        }
    }
}
