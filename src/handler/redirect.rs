use http::header::LOCATION;
use http::{HeaderValue, StatusCode};

use crate::head::Response;
use crate::http::{Body, Exchange, HeaderEdits, TlsNames, answer};
use crate::name::{Placeholder, Template};
use crate::outcome::{Cause, Outcome, Party, Phase};

/// Sends clients elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The new location.
    pub to: Template,
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
}

impl Redirect {
    /// Answers a request with its new location.
    #[must_use]
    pub fn answer(&self, exchange: Exchange, tls: TlsNames<'_>, edits: &HeaderEdits) -> Response<Body> {
        let location = location(&self.to, |placeholder, out| {
            exchange.write(placeholder, tls, out);
            placeholder != Placeholder::Host || exchange.host().as_str().is_some()
        });
        let Some(location) = location.and_then(|location| HeaderValue::try_from(location).ok()) else {
            let malformed = Outcome::new(Phase::Serve, Party::Client, Cause::RequestMalformed);
            return answer::failure(malformed, exchange);
        };
        answer::whole_with(self.status, "", exchange, |headers, exchange| {
            headers.insert(LOCATION, location);
            edits.apply(headers, exchange, tls);
        })
    }
}

/// The location; `None` when it needs what the request does not say, or would leave to the request's path what host it
/// names.
fn location(to: &Template, mut value: impl FnMut(Placeholder, &mut String) -> bool) -> Option<String> {
    let mut known = true;
    let location = to.expand(|placeholder, out| known &= value(placeholder, out));
    let elsewhere = location.starts_with("//") || location.starts_with("/\\");
    if known && !elsewhere { Some(location) } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn located(to: &str, host: Option<&str>, path: &str) -> Option<String> {
        let allowed = [Placeholder::Host, Placeholder::Path, Placeholder::PathAndQuery, Placeholder::Route];
        location(&Template::parse(to, &allowed).unwrap(), |placeholder, out| {
            out.push_str(match placeholder {
                Placeholder::Host => host.unwrap_or_default(),
                Placeholder::Route => "shop",
                _ => path,
            });
            placeholder != Placeholder::Host || host.is_some()
        })
    }

    #[test]
    fn placeholders_are_the_requests_own() {
        let to = "https://{host}{path_and_query}";
        assert_eq!(located(to, Some("shop.example"), "/a/b?c=d").as_deref(), Some("https://shop.example/a/b?c=d"));
        assert_eq!(located(to, None, "/"), None);
        assert_eq!(located("/{route}{path}", None, "/a/b").as_deref(), Some("/shop/a/b"));
    }

    proptest! {
        #[test]
        fn no_path_chooses_the_host(path in "/[/\\\\@:.%a-z0-9?#]{0,20}") {
            for to in ["/new{path}", "https://shop.example{path}", "https://{host}{path}", "{path}"] {
                if let Some(location) = located(to, Some("shop.example"), &path) {
                    let here = location.starts_with("https://shop.example/")
                        || (location.starts_with('/') && !location.starts_with("//") && !location.starts_with("/\\"));
                    prop_assert!(here, "{}", location);
                }
            }
        }
    }
}
