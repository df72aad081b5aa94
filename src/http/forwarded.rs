use bytes::{Bytes, BytesMut};
use http::header::{FORWARDED, HeaderName, HeaderValue};

use super::codec::encode;
use super::forward::Scheme;
use super::host::Host;
use crate::head::{Headers, RequestParts};

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

/// What a target is told of a client: the same for all of its requests for one host.
#[derive(Debug)]
pub(super) struct Introduction {
    /// What it was made for.
    pub(super) host: Host,
    /// The client's address; none if nobody knows it.
    address: Option<HeaderValue>,
    /// What it speaks with us.
    scheme: HeaderValue,
    /// The host that it asks for.
    authority: Option<HeaderValue>,
    /// The port that it came to.
    port: HeaderValue,
    /// All of it, as RFC 7239 has it.
    element: Option<HeaderValue>,
    /// The fields of one of whom nothing is said before.
    lines: Bytes,
}

impl Introduction {
    /// Of a client at `address`, which is none if nobody knows it, that has come to `port` and asks for `host`.
    pub(super) fn new(address: Option<&str>, scheme: Scheme, host: &Host, port: u16) -> Self {
        let scheme = match scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        let authority = host.authority().map(|authority| authority.as_str());
        let element = element(address, scheme, authority);
        let mut introduction = Self {
            host: host.clone(),
            lines: Bytes::new(),
            address: address.and_then(|address| HeaderValue::from_str(address).ok()),
            scheme: HeaderValue::from_static(scheme),
            authority: authority.and_then(|authority| HeaderValue::from_str(authority).ok()),
            port: HeaderValue::from(port),
            element: HeaderValue::try_from(element).ok(),
        };
        let mut headers = Headers::new();
        tell(&mut headers, &introduction, false);
        let mut lines = BytesMut::new();
        encode::fields(&mut lines, headers.iter(), |_| false);
        introduction.lines = lines.freeze();
        introduction
    }
}

/// [`tell`], as lines if `as_lines` and if the peer says nothing of those before it that would be kept: who has to look at
/// the fields, or to change them, cannot take lines.
pub(super) fn introduce(parts: &mut RequestParts, told: &Introduction, trusted: bool, as_lines: bool) {
    if as_lines && !(trusted && parts.headers.keys().any(is_claim)) {
        remove_claims(&mut parts.headers, trusted);
        parts.lines = told.lines.clone();
    } else {
        tell(&mut parts.headers, told, trusted);
    }
}

/// Tells the target who the client is (RFC 7239, and its older cousins).
///
/// What the peer says of those before it is kept, and added to, only if it is `trusted`.
pub(super) fn tell(headers: &mut Headers, told: &Introduction, trusted: bool) {
    remove_claims(headers, trusted);
    // A PROXY header may say that the client is not known; there is no word for that here, unlike in RFC 7239 section 6.2.
    if let Some(address) = &told.address {
        append(headers, X_FORWARDED_FOR, address);
    }
    headers.insert_if_absent(X_FORWARDED_PROTO, || told.scheme.clone());
    if let Some(authority) = &told.authority {
        headers.insert_if_absent(X_FORWARDED_HOST, || authority.clone());
    }
    headers.insert_if_absent(X_FORWARDED_PORT, || told.port.clone());
    if let Some(element) = &told.element {
        append(headers, FORWARDED, element);
    }
}

/// Tells the target which prefix was taken off the path, behind those that a trusted proxy has taken off.
pub(super) fn tell_prefix(headers: &mut Headers, prefix: &str) {
    if let Ok(prefix) = HeaderValue::from_str(prefix) {
        append(headers, X_FORWARDED_PREFIX, &prefix);
    }
}

/// Removes what only a head may say of a client, from trailers.
pub(super) fn forbid_claims(trailers: &mut Headers) {
    remove_claims(trailers, false);
}

/// Removes what a client says of itself, but for what is `trusted`, and what a target could take for it.
fn remove_claims(headers: &mut Headers, trusted: bool) {
    headers.remove_where(|name| is_disguised(name.as_str()) || (!trusted && is_claim(name)));
}

/// Whether the field says something of a client.
fn is_claim(name: &HeaderName) -> bool {
    OURS.contains(name) || OTHERS.contains(name)
}

/// Whether a CGI-like target cannot tell the field from one that we set: it reads `_` and `-` as the same.
fn is_disguised(name: &str) -> bool {
    if !name.contains('_') {
        return false;
    }
    let plain = name.replace('_', "-");
    let known = ["host", "content-length", "transfer-encoding", "forwarded", "x-request-id", "x-real-ip"];
    plain.starts_with("x-forwarded-") || known.contains(&plain.as_str())
}

/// One element of `Forwarded`.
fn element(client: Option<&str>, scheme: &str, host: Option<&str>) -> String {
    let mut text = String::with_capacity(96);
    let mut write = |parts: &[&str]| parts.iter().for_each(|part| text.push_str(part));
    match client {
        None => write(&["for=unknown"]),
        // Only in IPv6 addresses.
        Some(client) if client.contains(':') => write(&["for=\"[", client, "]\""]),
        Some(client) => write(&["for=", client]),
    }
    if let Some(host) = host {
        let is_token = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        if is_token {
            write(&[";host=", host]);
        } else {
            write(&[";host=\"", host, "\""]);
        }
    }
    write(&[";proto=", scheme]);
    text
}

/// Adds an element to a list-valued field, as one line.
fn append(headers: &mut Headers, name: HeaderName, element: &HeaderValue) {
    if !headers.contains_key(&name) {
        headers.append(name, element.clone());
        return;
    }
    let said: Vec<&[u8]> = headers.get_all(&name).chain([element]).map(HeaderValue::as_bytes).collect();
    if let Ok(value) = HeaderValue::from_bytes(&said.join(&b", "[..])) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Request};

    use super::*;
    use crate::http::codec::fields_of;

    fn told(fields: &[(&'static str, &'static str)], client: &str, host: &str, trusted: bool) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let request = Request::builder().header("host", host).body(()).unwrap();
        let host = Host::of(&request.into()).unwrap();
        tell(&mut headers, &Introduction::new(Some(client), Scheme::Https, &host, 8443), trusted);
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
    fn what_is_the_same_for_all_requests_is_told_in_lines_unless_there_is_something_to_keep() {
        let host = Host::of(&Request::builder().header("host", "a.test").body(()).unwrap().into()).unwrap();
        for client in [Some("10.0.0.9"), Some("2001:db8::1"), None] {
            let introduction = Introduction::new(client, Scheme::Http, &host, 8080);
            for (claimed, trusted, as_lines) in [
                (false, false, true),
                (false, true, true),
                (true, false, true),
                (true, true, true),
                (true, false, false),
            ] {
                let request = Request::builder().header("host", "a.test").body(()).unwrap();
                let mut parts = RequestParts::from(request.into_parts().0);
                for (name, value) in CLAIMS.iter().filter(|_| claimed) {
                    parts.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
                }
                let mut told = parts.headers.clone();
                tell(&mut told, &introduction, trusted);
                introduce(&mut parts, &introduction, trusted, as_lines);
                assert_eq!(parts.lines.is_empty(), !as_lines || (claimed && trusted));
                let mut all = HeaderMap::from(parts.headers);
                all.extend(fields_of(&parts.lines).unwrap());
                assert_eq!(all, HeaderMap::from(told), "{client:?} {claimed} {trusted} {as_lines}");
            }
        }
    }

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
