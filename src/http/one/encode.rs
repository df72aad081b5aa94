//! Messages as they go on the wire. Who calls says how long a body is; what the fields say of it does not count, so that
//! head and body cannot disagree.

use bytes::{BufMut, BytesMut};
use http::header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode, Uri};

use super::length::Length;

/// How an answer's body goes to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ResponseFraming {
    pub(super) length: Length,
    /// The Content-Length of an answer that has no body here, but would have had one (HEAD, 304).
    pub(super) declared: Option<u64>,
    /// What `Connection` says, if anything has to be said.
    pub(super) connection: Option<&'static str>,
}

/// A request's head, as HTTP/1.1.
pub(super) fn request_head(out: &mut BytesMut, method: &Method, uri: &Uri, headers: &HeaderMap, length: Length) {
    out.put_slice(method.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(uri.path_and_query().map_or("/", |path| path.as_str()).as_bytes());
    out.put_slice(b" HTTP/1.1\r\n");
    // First, as RFC 9110 section 7.2 wants it.
    if let Some(host) = headers.get(HOST) {
        field(out, HOST.as_str(), host);
    }
    match length {
        Length::Known(length) => content_length(out, length),
        Length::Chunked => out.put_slice(b"transfer-encoding: chunked\r\n"),
        // Who made the head knows whether the target expects to be told that there is none.
        Length::Empty if headers.contains_key(CONTENT_LENGTH) => content_length(out, 0),
        Length::Empty | Length::UntilClose => {}
    }
    for (name, value) in headers {
        if *name != HOST && !frames(name) {
            field(out, name.as_str(), value);
        }
    }
    out.put_slice(b"\r\n");
}

/// An answer's head, as HTTP/1.1.
pub(super) fn response_head(
    out: &mut BytesMut,
    status: StatusCode,
    reason: Option<&[u8]>,
    headers: &HeaderMap,
    framing: ResponseFraming,
) {
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(status.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(reason.unwrap_or_else(|| status.canonical_reason().unwrap_or_default().as_bytes()));
    out.put_slice(b"\r\n");
    for (name, value) in headers {
        if !frames(name) {
            field(out, name.as_str(), value);
        }
    }
    match (framing.length, framing.declared) {
        (Length::Known(length), _) | (Length::Empty, Some(length)) => content_length(out, length),
        (Length::Chunked, _) => out.put_slice(b"transfer-encoding: chunked\r\n"),
        (Length::Empty, None) | (Length::UntilClose, _) => {}
    }
    if let Some(connection) = framing.connection {
        out.put_slice(b"connection: ");
        out.put_slice(connection.as_bytes());
        out.put_slice(b"\r\n");
    }
    out.put_slice(b"\r\n");
}

/// What goes before a chunk's data; CR LF go behind.
pub(super) fn chunk_begin(out: &mut BytesMut, length: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = (usize::BITS - length.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        let digit = (length >> (4 * place)) & 0xf;
        out.put_u8(DIGITS.get(digit).copied().unwrap_or(b'0'));
    }
    out.put_slice(b"\r\n");
}

/// The last chunk, and the trailer fields.
pub(super) fn last_chunk(out: &mut BytesMut, trailers: Option<&HeaderMap>) {
    out.put_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        if !frames(name) {
            field(out, name.as_str(), value);
        }
    }
    out.put_slice(b"\r\n");
}

/// Whether a field says how long a body is.
fn frames(name: &HeaderName) -> bool {
    *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING
}

fn field(out: &mut BytesMut, name: &str, value: &HeaderValue) {
    out.reserve(name.len().saturating_add(value.len()).saturating_add(4));
    out.put_slice(name.as_bytes());
    out.put_slice(b": ");
    out.put_slice(value.as_bytes());
    out.put_slice(b"\r\n");
}

fn content_length(out: &mut BytesMut, length: u64) {
    out.put_slice(b"content-length: ");
    // The most digits that 64 bits have.
    let mut digits = [0; 20];
    let mut left = length;
    let mut begin = digits.len();
    for (place, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
        begin = place;
        if left == 0 {
            break;
        }
    }
    out.put_slice(digits.get(begin..).unwrap_or_default());
    out.put_slice(b"\r\n");
}
