use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::PathAndQuery;
use http::{Method, Uri, Version};

use super::answer::X_REQUEST_ID;
use super::exchange::Exchange;
use super::facts::TlsNames;
use super::forward::Forwarding;
use super::host::Host;
use super::request_id::RequestId;
use super::via::VIA_SELF_MAX;
use super::{forwarded, hop};
use crate::head::{Headers, Request, RequestParts};
use crate::name::{PathRewrite, Placeholder, Unrewritable};
use crate::upstream::Target;

/// Why a request is not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the request's body is longer than limits.max_request_body")]
    TooLarge,
    #[error("the request gives its length more than once, or not as a number")]
    Length,
    #[error("{0}")]
    Path(Unrewritable),
    #[error("a CONNECT has a body, which would be no part of its tunnel")]
    ConnectBody,
    #[error("the request has come through proxies of this name {VIA_SELF_MAX} times")]
    Looped,
}

/// Turns the head that a client sent into the head that a target gets, but for the Host. `upgrade` is the protocol that it
/// may change to.
///
/// # Errors
/// What the client's head says of its body is too much, or ambiguous.
pub(super) fn prepare(
    parts: &mut RequestParts,
    upgrade: Option<HeaderValue>,
    exchange: &mut Exchange,
    forwarding: &Forwarding<'_>,
) -> Result<(), Refusal> {
    check_length(&parts.headers, forwarding.max_request_body)?;
    let client = exchange.connection().client().ip();
    let trusted = forwarding.forwarded.trusted.contains(client);
    // HTTP/1.0 knows no 100 (RFC 9110 section 10.1.1).
    let awaits_continue = parts.version != Version::HTTP_10 && hop::has_token(&parts.headers, &EXPECT, "100-continue");
    let takes_trailers = hop::has_token(&parts.headers, &TE, "trailers");
    let via = forwarding.forwarded.via.as_ref();
    if via.is_some_and(|via| via.is_loop(&parts.headers)) {
        return Err(Refusal::Looped);
    }
    let received = parts.version;
    // The target's version, whatever the client's.
    parts.version = Version::HTTP_11;
    // That of `CONNECT` is a host with a port, and stays.
    if parts.method != Method::CONNECT && parts.uri.authority().is_some() {
        parts.uri = origin_form(&parts.uri);
    }
    if let Some(rewrite) = forwarding.rewrite.filter(|_| parts.method != Method::CONNECT) {
        parts.uri = rewritten(&parts.uri, rewrite, exchange, forwarding.tls)?;
    }
    let headers = &mut parts.headers;
    hop::remove(headers);
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    } else if takes_trailers {
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if !awaits_continue {
        headers.remove(EXPECT);
    }
    join_cookies(headers);
    // Whatever may take a field away, or change it, has to see it.
    let as_lines = forwarding.request_headers.is_empty() && forwarding.vouched.is_empty();
    forwarded::introduce(parts, &exchange.introduction(forwarding.scheme), trusted, as_lines);
    let headers = &mut parts.headers;
    if let Some(prefix) = forwarding.rewrite.and_then(PathRewrite::stripped) {
        forwarded::tell_prefix(headers, prefix);
    }
    if let Some(via) = via {
        via.add(headers, received);
    }
    if trusted && let Some(id) = headers.get(X_REQUEST_ID).and_then(RequestId::adopt) {
        exchange.set_id(id);
    }
    headers.insert(X_REQUEST_ID, exchange.id().header().clone());
    // After what the client could have had removed as hop-by-hop.
    for name in forwarding.vouched.keys() {
        headers.remove(name);
    }
    headers.extend(forwarding.vouched.iter());
    forwarding.request_headers.apply(headers, exchange, forwarding.tls);
    Ok(())
}

/// Says that there is no body where a target would expect one (RFC 9110 section 8.6); HTTP/2 clients need not say it.
pub(super) fn say_empty(parts: &mut RequestParts) {
    if [Method::POST, Method::PUT, Method::PATCH].contains(&parts.method) {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
}

/// Names the host for one target: the client's, or the target's own.
pub(super) fn set_host(headers: &mut Headers, exchange: &Exchange, preserve: bool, target: &Target) {
    let value = match exchange.host().authority() {
        // As the client has said it already, more often than not.
        Some(authority) if preserve && headers.get_all(HOST).eq([authority.as_str()]) => return,
        Some(authority) if preserve => HeaderValue::from_str(authority.as_str()),
        Some(_) | None => HeaderValue::from_str(&target.authority(exchange.connection().listener().port())),
    };
    if let Ok(value) = value {
        headers.insert(HOST, value);
    }
}

/// Whether sending it twice does what sending it once does (RFC 9110 section 9.2.2).
pub(super) fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE].contains(method)
}

/// The length that a head gives for its body, if it gives one in digits.
pub(super) fn said_length(headers: &Headers) -> Option<u64> {
    let digits = headers.get(CONTENT_LENGTH)?.to_str().ok()?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn check_length(headers: &Headers, limit: Option<u64>) -> Result<(), Refusal> {
    let mut lengths = headers.get_all(CONTENT_LENGTH);
    if lengths.next().is_none() {
        return Ok(());
    }
    if lengths.next().is_some() || headers.contains_key(TRANSFER_ENCODING) {
        return Err(Refusal::Length);
    }
    let length = said_length(headers).ok_or(Refusal::Length)?;
    if limit.is_some_and(|limit| length > limit) { Err(Refusal::TooLarge) } else { Ok(()) }
}

fn origin_form(uri: &Uri) -> Uri {
    // A path alone is always a whole URI (`*` included).
    let path = uri.path_and_query().cloned().map(Uri::from);
    // `http://a.test#x` leaves a path that is there and empty, which is no request target (RFC 9112 section 3.2.1).
    path.filter(|path| !path.path().is_empty()).unwrap_or_else(|| Uri::from(PathAndQuery::from_static("/")))
}

/// The request target with its path changed and its query as it was sent.
fn rewritten(uri: &Uri, rewrite: &PathRewrite, exchange: &Exchange, tls: TlsNames<'_>) -> Result<Uri, Refusal> {
    rewritten_by(uri, rewrite, |placeholder, out| exchange.write(placeholder, tls, out)).map_err(Refusal::Path)
}

/// The same, for one who has no exchange; `value` writes what the rewrite's placeholders stand for, but for `{path}`.
fn rewritten_by(
    uri: &Uri,
    rewrite: &PathRewrite,
    value: impl FnMut(Placeholder, &mut String),
) -> Result<Uri, Unrewritable> {
    // `OPTIONS *` asks of the server, not of a path.
    if uri.path() == "*" {
        return Ok(uri.clone());
    }
    let mut target = rewrite.apply(uri.path(), value)?;
    if let Some(query) = uri.query() {
        target.push('?');
        target.push_str(query);
    }
    PathAndQuery::try_from(target).map(Uri::from).map_err(|_| Unrewritable)
}

/// The request target that a target would get of a request; none for `CONNECT`, which has no path.
///
/// # Errors
/// The client's: its path is not written so that the rewrite is certain.
pub fn foretell_target<B>(
    request: &Request<B>,
    host: &Host,
    route: &str,
    rewrite: &PathRewrite,
) -> Result<Option<Uri>, Unrewritable> {
    if request.method() == Method::CONNECT {
        return Ok(None);
    }
    let value = |placeholder, out: &mut String| match placeholder {
        Placeholder::Host => out.push_str(host.as_str().unwrap_or_default()),
        Placeholder::Route => out.push_str(route),
        // No rewrite may hold them; `{path}` is written already.
        Placeholder::ClientIp
        | Placeholder::RequestId
        | Placeholder::TlsVersion
        | Placeholder::Sni
        | Placeholder::User
        | Placeholder::Path
        | Placeholder::PathAndQuery
        | Placeholder::Status => {}
    };
    rewritten_by(&origin_form(request.uri()), rewrite, value).map(Some)
}

/// HTTP/2 may send cookies in pieces; HTTP/1 has one field (RFC 9113 section 8.2.3).
pub(super) fn join_cookies(headers: &mut Headers) {
    // One is as it has to be.
    if headers.get_all(COOKIE).nth(1).is_none() {
        return;
    }
    let pieces: Vec<&[u8]> = headers.get_all(COOKIE).map(HeaderValue::as_bytes).collect();
    if let Ok(value) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        headers.insert(COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_checked_up_to_the_limit() {
        let headers = |lengths: &[&'static str]| {
            let mut headers = Headers::new();
            for length in lengths {
                headers.append(CONTENT_LENGTH, HeaderValue::from_static(length));
            }
            headers
        };
        assert_eq!(check_length(&headers(&[]), Some(1)), Ok(()));
        assert_eq!(check_length(&headers(&["10"]), Some(10)), Ok(()));
        assert_eq!(check_length(&headers(&["11"]), Some(10)), Err(Refusal::TooLarge));
        assert_eq!(check_length(&headers(&["11"]), None), Ok(()));
        for ambiguous in [&["1", "1"][..], &["+1"], &["1, 1"], &[""], &["99999999999999999999"]] {
            assert_eq!(check_length(&headers(ambiguous), None), Err(Refusal::Length), "{ambiguous:?}");
        }
    }

    #[test]
    fn a_target_gets_a_path_and_one_cookie_field() {
        assert_eq!(origin_form(&Uri::from_static("http://a.test")).to_string(), "/");
        assert_eq!(origin_form(&Uri::from_static("https://a.test/x?y=1")).to_string(), "/x?y=1");
        assert_eq!(origin_form(&Uri::from_static("https://a.test?y=1")).to_string(), "/?y=1");
        assert_eq!(origin_form(&Uri::from_static("https://a.test?")).to_string(), "/?");
        assert_eq!(origin_form(&"https://a.test#y".parse().unwrap()).to_string(), "/");
        assert_eq!(origin_form(&"https://a.test?y#z".parse().unwrap()).to_string(), "/?y");
        assert_eq!(origin_form(&Uri::from_static("*")).to_string(), "*");
        let mut headers = Headers::new();
        for piece in ["a=1", "b=2", "c=3"] {
            headers.append(COOKIE, HeaderValue::from_static(piece));
        }
        join_cookies(&mut headers);
        assert_eq!(headers.get_all(COOKIE).collect::<Vec<_>>(), ["a=1; b=2; c=3"]);
    }
}
