use http::header::{CONNECTION, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};

use crate::head::Headers;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Fields that `Connection` cannot take from a message: it is framed, routed and attributed by them, and a client must
/// not be able to strip what a proxy before us has said of it.
const KEPT: [&str; 12] = [
    "host",
    "content-length",
    "content-type",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-request-id",
    "trailer",
    "via",
];

/// Removes what concerns one connection only (RFC 9110 section 7.6.1).
pub(super) fn remove(headers: &mut Headers) {
    // What most say names a field that goes anyway.
    if !headers.get_all(CONNECTION).all(|value| value.as_bytes().eq_ignore_ascii_case(b"keep-alive")) {
        let named: Vec<HeaderName> = tokens(headers, &CONNECTION)
            .filter(|token| !KEPT.iter().any(|kept| token.eq_ignore_ascii_case(kept)))
            .filter_map(|token| token.parse().ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    headers.remove_where(|name| {
        [CONNECTION, TE, TRANSFER_ENCODING, UPGRADE].contains(name) || [KEEP_ALIVE, PROXY_CONNECTION].contains(name)
    });
}

/// Whether the list-valued field has the token, in any case.
pub(super) fn has_token(headers: &Headers, name: &HeaderName, wanted: &str) -> bool {
    let has = |value: &str| value.split(',').any(|token| token.trim().eq_ignore_ascii_case(wanted));
    headers.get_all(name).any(|value| value.to_str().is_ok_and(has))
}

/// The upgrade that a message asks for or agrees to, if it does so in earnest (RFC 9110 section 7.8).
///
/// One to another HTTP, or to TLS, is none: inside the tunnel the client would reach the target past every rule of ours.
pub(super) fn upgrade(headers: &Headers) -> Option<HeaderValue> {
    let mut fields = headers.get_all(UPGRADE);
    let field = fields.next()?;
    let is_http = |token: &str| {
        let name = token.split('/').next().unwrap_or(token).trim();
        ["h2c", "h2", "http", "tls"].iter().any(|other| name.eq_ignore_ascii_case(other))
    };
    let sound = fields.next().is_none() && field.to_str().is_ok() && !tokens(headers, &UPGRADE).any(is_http);
    if sound && has_token(headers, &CONNECTION, "upgrade") { Some(field.clone()) } else { None }
}

pub(super) fn tokens<'a>(headers: &'a Headers, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> Headers {
        let field =
            |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        let mut headers = Headers::new();
        for (name, value) in fields.iter().map(field) {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn what_concerns_one_connection_goes_and_the_rest_stays() {
        let mut all = headers(&[
            ("connection", "close, X-One"),
            ("connection", "x-two,, host, X-Forwarded-For, Via, x-forwarded-port"),
            ("via", "1.1 a"),
            ("x-forwarded-port", "443"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x-three", "3"),
            ("host", "a"),
            ("x-forwarded-for", "1.2.3.4"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("trailer", "x"),
        ]);
        remove(&mut all);
        let mut left: Vec<&str> = all.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["host", "trailer", "via", "x-forwarded-for", "x-forwarded-port", "x-three"]);
    }

    #[test]
    fn what_is_named_goes_whatever_it_is_called() {
        for named in ["close", "keep-alive", "Keep-Alive", "x-one"] {
            let mut all = headers(&[("connection", named), (named, "1"), ("x-two", "2")]);
            remove(&mut all);
            assert!(all.keys().eq(["x-two"]), "{named}: {all:?}");
        }
    }

    #[test]
    fn an_upgrade_needs_both_fields() {
        assert!(upgrade(&headers(&[("upgrade", "websocket")])).is_none());
        assert!(upgrade(&headers(&[("connection", "upgrade")])).is_none());
        assert!(upgrade(&headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")])).is_some());
    }

    #[test]
    fn an_upgrade_that_would_hide_requests_from_us_is_none() {
        for protocol in ["h2c", "H2C", "websocket, h2c", "HTTP/2.0", "TLS/1.0"] {
            assert!(upgrade(&headers(&[("connection", "upgrade"), ("upgrade", protocol)])).is_none(), "{protocol}");
        }
        let twice = headers(&[("connection", "upgrade"), ("upgrade", "websocket"), ("upgrade", "h2c")]);
        assert!(upgrade(&twice).is_none());
    }
}
