//! Heads and chunks as they go onto the wire.

use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{Method, StatusCode, Uri};

use super::length::{Length, forbids_length};
use crate::head::{Headers, RequestParts};

/// What a field takes with its name, more often than not: the room that is made at first.
const FIELD_BYTES: usize = 48;

/// What goes with a response's head beside its own fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseFraming {
    /// How the body goes to this client. [`Length::Empty`] says nothing of it; a body that is there and empty is
    /// [`Length::Known`] with 0.
    pub length: Length,
    /// The length that is shown where there is no body, and [`Length::Empty`]: to HEAD, and with 304.
    pub declared: Option<u64>,
    /// The Connection field, in place of the head's own.
    pub connection: Option<&'static str>,
}

/// Writes the head of a request, always as HTTP/1.1 and with a target in origin form (`CONNECT`: authority form).
///
/// The fields that say the length are written by `length`, whatever the fields say: head and body cannot disagree.
/// [`Length::Empty`] writes none, but for a `Content-Length: 0` that is among the headers. [`Length::UntilClose`] is none
/// for a request, and announces chunks: what follows can then never be taken for another request. [`RequestParts::lines`]
/// are written as they are.
pub fn request_head(out: &mut BytesMut, parts: &RequestParts, length: Length) {
    let RequestParts { method, uri, headers, lines, .. } = parts;
    let fields_bytes = (headers.len() + 2) * FIELD_BYTES + lines.len();
    out.reserve(method.as_str().len() + uri.path().len() + fields_bytes);
    out.extend_from_slice(method.as_str().as_bytes());
    out.extend_from_slice(b" ");
    target(out, method, uri);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    fields(out, headers.iter(), |_| false);
    out.extend_from_slice(lines);
    match length {
        Length::Empty => {
            if headers.get(CONTENT_LENGTH).is_some_and(|value| value == "0") {
                content_length(out, 0);
            }
        }
        Length::Known(length) => content_length(out, length),
        Length::Chunked | Length::UntilClose => transfer_encoding(out),
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the head of a response, always as HTTP/1.1.
///
/// The fields that say the length are written by `framing`, whatever `headers` say, and never with a status that forbids
/// them (1xx and 204). Without a `reason`, or with one that cannot stand in a line, the status' own is written.
pub fn response_head(
    out: &mut BytesMut,
    status: StatusCode,
    reason: Option<&[u8]>,
    headers: &Headers,
    framing: ResponseFraming,
) {
    out.reserve((headers.len() + 3) * FIELD_BYTES);
    let own = status.canonical_reason().unwrap_or_default().as_bytes();
    let is_text = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    let reason = reason.filter(|reason| reason.iter().all(is_text)).unwrap_or(own);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.extend_from_slice(b" ");
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
    fields(out, headers.iter(), |name| framing.connection.is_some() && *name == CONNECTION);
    if !forbids_length(status) {
        match framing.length {
            Length::Empty => {
                if let Some(declared) = framing.declared {
                    content_length(out, declared);
                }
            }
            Length::Known(length) => content_length(out, length),
            Length::Chunked => transfer_encoding(out),
            Length::UntilClose => {}
        }
    }
    if let Some(connection) = framing.connection {
        out.extend_from_slice(b"connection: ");
        out.extend_from_slice(connection.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the line before a chunk of `length` bytes, which may not be 0; its data and CRLF are to follow.
pub fn chunk_begin(out: &mut BytesMut, length: usize) {
    debug_assert_ne!(length, 0, "a chunk of no bytes is the last");
    let mut digits = [0; usize::BITS as usize / 4];
    let written = write_digits(&mut digits, length as u64, 16);
    out.extend_from_slice(written);
    out.extend_from_slice(b"\r\n");
}

/// Writes what ends a chunked body, with its trailer fields.
pub fn last_chunk(out: &mut BytesMut, trailers: Option<&HeaderMap>) {
    out.extend_from_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        fields(out, trailers.iter(), |_| false);
    }
    out.extend_from_slice(b"\r\n");
}

/// All fields but those that say the length, and those that are `left_out`.
pub(in crate::http) fn fields<'a>(
    out: &mut BytesMut,
    fields: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>,
    left_out: impl Fn(&HeaderName) -> bool,
) {
    for (name, value) in fields {
        if *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING || left_out(name) {
            continue;
        }
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

fn target(out: &mut BytesMut, method: &Method, uri: &Uri) {
    if *method == Method::CONNECT
        && let Some(authority) = uri.authority()
    {
        out.extend_from_slice(authority.as_str().as_bytes());
        return;
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    // An absolute URI may have a query behind an empty path, or neither.
    if !path.starts_with('/') && path != "*" {
        out.extend_from_slice(b"/");
    }
    out.extend_from_slice(path.as_bytes());
}

fn content_length(out: &mut BytesMut, length: u64) {
    out.extend_from_slice(b"content-length: ");
    out.extend_from_slice(write_digits(&mut [0; 20], length, 10));
    out.extend_from_slice(b"\r\n");
}

fn transfer_encoding(out: &mut BytesMut) {
    out.extend_from_slice(b"transfer-encoding: chunked\r\n");
}

/// The number's digits, at the end of a `room` that is large enough for all.
fn write_digits(room: &mut [u8], number: u64, base: u64) -> &[u8] {
    let mut rest = number;
    let mut begin = room.len();
    for (place, digit) in room.iter_mut().enumerate().rev() {
        *digit = b"0123456789abcdef".get((rest % base) as usize).copied().unwrap_or(b'0');
        rest /= base;
        begin = place;
        if rest == 0 {
            break;
        }
    }
    room.get(begin..).unwrap_or_default()
}
