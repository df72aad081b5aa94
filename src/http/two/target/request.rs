use h2::ext::Protocol;
use http::header::{CONNECTION, EXPECT, HOST, SEC_WEBSOCKET_KEY, UPGRADE};
use http::uri::{Authority, Scheme};
use http::{Method, Request, Uri, Version};

use crate::head::RequestParts;
use crate::http::codec::fields_of;

/// The head of a request as HTTP/2 has it (RFC 9113 section 8.3.1), out of the one that an HTTP/1.1 target would get.
///
/// An upgrade is not passed on: HTTP/2 has none (section 8.2.2). Nor is `Expect`: a stream's body waits for its window.
/// `extended`: a WebSocket's handshake becomes an extended `CONNECT` (RFC 8441 section 5).
pub(super) fn head(parts: &RequestParts, scheme: &Scheme, extended: bool) -> Option<Request<()>> {
    let mut headers = parts.headers.clone();
    let host = headers.remove(HOST)?;
    for name in [CONNECTION, UPGRADE, EXPECT] {
        headers.remove(name);
    }
    if extended {
        headers.remove(SEC_WEBSOCKET_KEY);
    }
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(scheme.clone());
    uri.authority = Some(Authority::try_from(host.as_bytes()).ok()?);
    uri.path_and_query = parts.uri.path_and_query().cloned();
    let mut request = Request::new(());
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = Uri::from_parts(uri).ok()?;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = headers.into();
    request.headers_mut().extend(fields_of(&parts.lines).ok()?);
    if extended {
        *request.method_mut() = Method::CONNECT;
        request.extensions_mut().insert(Protocol::from_static("websocket"));
    }
    Some(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &str, uri: &str, fields: &[(&str, &str)]) -> Option<Request<()>> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        head(&request.body(()).unwrap().into_parts().0.into(), &Scheme::HTTP, false)
    }

    #[test]
    fn the_host_becomes_the_authority_and_what_concerns_a_connection_goes() {
        let fields = [
            ("host", "a.test:81"),
            ("connection", "te"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("expect", "100-continue"),
            ("x-one", "1"),
        ];
        let request = of("POST", "/a?b", &fields).unwrap();
        assert_eq!(request.uri().to_string(), "http://a.test:81/a?b");
        let mut left: Vec<&str> = request.headers().keys().map(http::HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["te", "x-one"]);
        assert_eq!(of("OPTIONS", "*", &[("host", "a.test")]).unwrap().uri().path(), "*");
        assert!(of("GET", "/", &[]).is_none());
    }
}
