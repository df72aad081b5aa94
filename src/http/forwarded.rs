use std::fmt::Write;
use std::net::IpAddr;

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};

use super::forward::Scheme;
use super::host::Host;

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(super) const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// What is ours to say.
const OURS: [HeaderName; 6] =
    [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PREFIX, FORWARDED];

/// What else proxies say of a client; from one that is not trusted it is a lie until proven otherwise.
const OTHERS: [HeaderName; 2] = [HeaderName::from_static("x-forwarded-server"), HeaderName::from_static("x-real-ip")];

/// Tells the target who the client is (RFC 7239, and its older cousins).
///
/// What the peer says of those before it is kept, and added to, only if it is `trusted`.
pub(super) fn tell(headers: &mut HeaderMap, client: IpAddr, scheme: Scheme, host: &Host, port: u16, trusted: bool) {
    if !trusted {
        for name in OURS.iter().chain(&OTHERS) {
            headers.remove(name);
        }
    }
    remove_disguised(headers);
    let host = host.authority().map(|authority| authority.as_str());
    // A PROXY header may say that the client is not known; there is no word for that here, unlike in RFC 7239 section 6.2.
    if !client.is_unspecified() {
        append(headers, &X_FORWARDED_FOR, &client.to_string());
    }
    let scheme = match scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    if !headers.contains_key(&X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    }
    if !headers.contains_key(&X_FORWARDED_HOST)
        && let Some(value) = host.and_then(|host| HeaderValue::from_str(host).ok())
    {
        headers.insert(X_FORWARDED_HOST, value);
    }
    if !headers.contains_key(&X_FORWARDED_PORT) {
        headers.insert(X_FORWARDED_PORT, HeaderValue::from(port));
    }
    append(headers, &FORWARDED, &element(client, scheme, host));
}

/// Tells the target which prefix was taken off the path, behind those that a trusted proxy has taken off.
pub(super) fn tell_prefix(headers: &mut HeaderMap, prefix: &str) {
    append(headers, &X_FORWARDED_PREFIX, prefix);
}

/// Removes what only a head may say of a client.
pub(super) fn remove_claims(trailers: &mut HeaderMap) {
    for name in OURS.iter().chain(&OTHERS) {
        trailers.remove(name);
    }
    remove_disguised(trailers);
}

/// Removes fields that a CGI-like target cannot tell from those that we set: it reads `_` and `-` as the same.
fn remove_disguised(headers: &mut HeaderMap) {
    let is_ours = |name: &str| {
        let plain = name.replace('_', "-");
        let known = ["host", "content-length", "transfer-encoding", "forwarded", "x-request-id", "x-real-ip"];
        plain.starts_with("x-forwarded-") || known.contains(&plain.as_str())
    };
    let disguised: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().contains('_') && is_ours(name.as_str())).cloned().collect();
    for name in disguised {
        headers.remove(name);
    }
}

/// One element of `Forwarded`.
fn element(client: IpAddr, scheme: &str, host: Option<&str>) -> String {
    let mut text = String::with_capacity(64);
    // Writing to a String cannot fail.
    let _ = match client {
        client if client.is_unspecified() => write!(text, "for=unknown"),
        IpAddr::V4(client) => write!(text, "for={client}"),
        IpAddr::V6(client) => write!(text, "for=\"[{client}]\""),
    };
    if let Some(host) = host {
        let is_token = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        let _ = if is_token { write!(text, ";host={host}") } else { write!(text, ";host=\"{host}\"") };
    }
    let _ = write!(text, ";proto={scheme}");
    text
}

/// Adds an element to a list-valued field, as one line.
fn append(headers: &mut HeaderMap, name: &HeaderName, element: &str) {
    let mut list = Vec::new();
    for value in headers.get_all(name) {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(element.as_bytes());
    if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(list)) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn told(fields: &[(&'static str, &'static str)], client: &str, host: &str, trusted: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let request = Request::builder().header("host", host).body(()).unwrap();
        tell(&mut headers, client.parse().unwrap(), Scheme::Https, &Host::of(&request).unwrap(), 8443, trusted);
        tell_prefix(&mut headers, "/api");
        headers
    }

    const CLAIMS: [(&str, &str); 10] = [
        ("x-forwarded-port", "1"),
        ("x-forwarded-prefix", "/before"),
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-for", "7.7.7.7"),
        ("x-forwarded-proto", "ftp"),
        ("x-forwarded-host", "evil"),
        ("x-real-ip", "6.6.6.6"),
        ("forwarded", "for=6.6.6.6"),
        ("x_forwarded_for", "6.6.6.6"),
        ("content_length", "5"),
    ];

    #[test]
    fn a_stranger_is_not_believed() {
        let headers = told(&CLAIMS, "10.0.0.9", "a.test:80", false);
        assert_eq!(headers["x-forwarded-for"], "10.0.0.9");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-host"], "a.test:80");
        assert_eq!(headers["forwarded"], "for=10.0.0.9;host=\"a.test:80\";proto=https");
        assert_eq!(headers["x-forwarded-port"], "8443");
        assert_eq!(headers["x-forwarded-prefix"], "/api");
        assert_eq!(headers.len(), 6);
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_added_to() {
        let headers = told(&CLAIMS, "2001:db8::1", "a.test", true);
        assert_eq!(headers["x-forwarded-for"], "6.6.6.6, 7.7.7.7, 2001:db8::1");
        assert_eq!(headers["x-forwarded-proto"], "ftp");
        assert_eq!(headers["x-forwarded-host"], "evil");
        assert_eq!(headers["x-forwarded-port"], "1");
        assert_eq!(headers["x-forwarded-prefix"], "/before, /api");
        assert_eq!(headers["x-real-ip"], "6.6.6.6");
        assert_eq!(headers["forwarded"], "for=6.6.6.6, for=\"[2001:db8::1]\";host=a.test;proto=https");
        assert!(!headers.contains_key("x_forwarded_for") && !headers.contains_key("content_length"));
    }
}
