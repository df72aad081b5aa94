//! WebSocket between the versions of HTTP: an extended `CONNECT` of HTTP/2 (RFC 8441) becomes the opening handshake of
//! HTTP/1.1 (RFC 6455), and back.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use h2::ext::Protocol;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Method, StatusCode, Version};

use super::body::Body;
use super::incoming::Incoming;
use super::request_id::random;
use super::two::Ties;
use crate::head::{Headers, Request, RequestParts, Response, ResponseParts};

/// RFC 6455 section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A request's stream that can become a tunnel.
#[derive(Clone, Debug)]
pub(super) struct Extended(pub(super) Ties);

/// Marks the answer that makes a tunnel of its stream.
#[derive(Clone, Copy, Debug)]
struct Opened;

/// A handshake in progress.
#[derive(Debug)]
pub(super) enum Handshake {
    /// The client's own, by HTTP/1.1; with its key if it is a WebSocket's.
    Upgrade(Option<HeaderValue>),
    /// Ours, for a client that has asked by HTTP/2, with our key.
    Extended(Extended, String),
    /// A `CONNECT`; with its stream if it has come by HTTP/2.
    Connect(Option<Extended>),
}

/// The target's answer to a handshake is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the target's Sec-WebSocket-Accept is not the answer to the key that it was sent")]
pub(super) struct WrongAccept;

/// Turns an extended `CONNECT` for a WebSocket into the GET that it stands for, so that it is routed and logged as such, and
/// notes of it and of a plain `CONNECT` what their stream can become. Every other request stays as it is.
pub(super) fn recognize(request: &mut Request<Incoming>, ties: &Ties) {
    if request.method() != Method::CONNECT {
        return;
    }
    match request.extensions().get::<Protocol>() {
        Some(protocol) if protocol.as_str() == "websocket" => *request.method_mut() = Method::GET,
        // A protocol that is not known here: it is refused by its target, which is no host.
        Some(_) => return,
        None => {}
    }
    request.extensions_mut().insert(Extended(ties.clone()));
}

/// Whether a request is a `CONNECT`: for a tunnel, or for a WebSocket that has come by HTTP/2.
pub(super) fn is_connect<B>(request: &Request<B>) -> bool {
    request.method() == Method::CONNECT || request.extensions().get::<Extended>().is_some()
}

/// Whether a request is an extended `CONNECT` for a protocol that is not known here, after [`recognize`].
pub(super) fn is_unknown<B>(request: &Request<B>) -> bool {
    request.method() == Method::CONNECT && request.extensions().get::<Protocol>().is_some()
}

/// To the client of a `CONNECT` every success is a tunnel (RFC 9110 section 9.3.6, RFC 8441 section 4): one that is none may
/// not look like it.
pub(super) fn settle(response: &mut Response<Body>) {
    if response.status().is_success() && !is_opened(response) {
        *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
        response.body_mut().restate(StatusCode::NOT_IMPLEMENTED);
    }
}

/// Whether an answer makes a tunnel of its stream.
pub(super) fn is_opened<B>(response: &Response<B>) -> bool {
    response.extensions().get::<Opened>().is_some()
}

/// Whether a head asks to become a WebSocket.
pub(super) fn is_asked(headers: &Headers) -> bool {
    headers.get(UPGRADE).is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

impl Handshake {
    /// Looks for a handshake in a request's head. That of a WebSocket which has come by HTTP/2 becomes one of HTTP/1.1.
    pub(super) fn begin(parts: &mut RequestParts) -> Self {
        let headers = &mut parts.headers;
        let extended = parts.extensions.remove::<Extended>();
        if parts.method == Method::CONNECT {
            return Self::Connect(extended);
        }
        let Some(extended) = extended else {
            return Self::Upgrade(headers.get(SEC_WEBSOCKET_KEY).cloned());
        };
        let key = BASE64_STANDARD.encode(random().to_be_bytes());
        parts.version = Version::HTTP_11;
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(key) = HeaderValue::from_str(&key) {
            headers.insert(SEC_WEBSOCKET_KEY, key);
        }
        headers.insert_if_absent(SEC_WEBSOCKET_VERSION, || HeaderValue::from_static("13"));
        Self::Extended(extended, key)
    }

    /// Makes the answer to the client out of the target's 101. Gives the stream that becomes a tunnel, if it is one.
    ///
    /// # Errors
    /// The target has not answered our handshake.
    pub(super) fn switched(self, parts: &mut ResponseParts) -> Result<Option<Extended>, WrongAccept> {
        let (extended, key) = match self {
            Self::Extended(extended, key) => (extended, key),
            Self::Upgrade(_) | Self::Connect(_) => return Ok(None),
        };
        let mut accepts = parts.headers.get_all(SEC_WEBSOCKET_ACCEPT);
        let wanted = accept(key.as_bytes());
        let right = accepts.next().is_some_and(|accept| accept.as_bytes() == wanted.as_bytes());
        if !right || accepts.next().is_some() {
            return Err(WrongAccept);
        }
        drop(accepts);
        open(parts);
        Ok(Some(extended))
    }

    /// Whether it is a `CONNECT`, of which every success is a tunnel.
    pub(super) fn is_connect(&self) -> bool {
        match self {
            Self::Connect(_) => true,
            Self::Upgrade(_) | Self::Extended(..) => false,
        }
    }

    /// Makes the answer to the client out of a target's success, by HTTP/2 or to a `CONNECT`. Gives the stream that becomes a tunnel, if it is
    /// one.
    pub(super) fn connected(self, parts: &mut ResponseParts) -> Option<Extended> {
        let key = match self {
            Self::Extended(extended, _) => {
                open(parts);
                return Some(extended);
            }
            Self::Connect(extended) => {
                open(parts);
                return extended;
            }
            Self::Upgrade(key) => key,
        };
        let headers = &mut parts.headers;
        headers.remove(CONTENT_LENGTH);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        let accept = key.and_then(|key| HeaderValue::try_from(accept(key.as_bytes())).ok());
        if let Some(accept) = accept {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        parts.status = StatusCode::SWITCHING_PROTOCOLS;
        None
    }
}

/// Makes the answer to a `CONNECT`.
fn open(parts: &mut ResponseParts) {
    for name in [CONNECTION, UPGRADE, SEC_WEBSOCKET_ACCEPT, CONTENT_LENGTH] {
        parts.headers.remove(name);
    }
    parts.status = StatusCode::OK;
    parts.extensions.insert(Opened);
}

/// What answers a key (RFC 6455 section 4.2.2).
pub(super) fn accept(key: &[u8]) -> String {
    BASE64_STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_answered_as_the_standard_says() {
        // RFC 6455 section 1.3.
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
