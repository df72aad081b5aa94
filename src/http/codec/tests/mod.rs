//! The codec against tables, against itself, and against hyper.

mod bodies;
mod encoding;
mod oracles;
mod requests;
mod responses;

use bytes::BytesMut;
use http::{Method, StatusCode, Uri, Version};

use super::*;
use crate::head::{Headers, RequestParts, ResponseParts};

/// What no test but those of the limits reaches.
const WIDE: HeadLimits = HeadLimits { head: 64 * 1024, target: 8 * 1024 };

#[derive(Debug, PartialEq)]
struct Request {
    method: Method,
    uri: Uri,
    version: Version,
    headers: Headers,
    length: Length,
    keep_alive: bool,
    expects_continue: bool,
}

#[derive(Debug, PartialEq)]
struct Response {
    status: StatusCode,
    version: Version,
    headers: Headers,
    reason: Option<ReasonPhrase>,
    length: Length,
    keep_alive: bool,
}

/// What a head has come to, and how many bytes were taken for it.
type Told<T> = Result<Option<(T, usize)>, HeadFault>;

/// The request at the front of `bytes`, which come at once.
fn request_within(bytes: &[u8], limits: &HeadLimits) -> Told<Request> {
    pieces(&[bytes], |scan, buffer| scan.request(buffer, limits).map(|head| head.map(Request::from)))
}

/// [`request_within`] the widest limits, however the bytes are split.
fn request(bytes: impl AsRef<[u8]>) -> Result<Option<Request>, HeadFault> {
    let told = split(bytes.as_ref(), |scan, buffer| scan.request(buffer, &WIDE).map(|head| head.map(Request::from)));
    told.map(|told| told.map(|(head, _)| head))
}

/// The response to a request with the method `asked` at the front of `bytes`, however they are split.
fn response(bytes: impl AsRef<[u8]>, asked: &Method) -> Result<Option<Response>, HeadFault> {
    let read = |scan: &mut HeadScan, buffer: &mut BytesMut| {
        scan.response(buffer, &WIDE, asked).map(|head| head.map(Response::from))
    };
    split(bytes.as_ref(), read).map(|told| told.map(|(head, _)| head))
}

/// Checks that it is the same whether bytes come at once, one by one, or in two pieces.
fn split<T: PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    read: impl Fn(&mut HeadScan, &mut BytesMut) -> Result<Option<T>, HeadFault>,
) -> Told<T> {
    let at_once = pieces(&[bytes], &read);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(pieces(&single, &read), at_once, "byte by byte: {:?}", String::from_utf8_lossy(bytes));
    for at in 0..bytes.len() {
        let (left, right) = bytes.split_at(at);
        assert_eq!(pieces(&[left, right], &read), at_once, "at {at}: {:?}", String::from_utf8_lossy(bytes));
    }
    at_once
}

fn pieces<T>(pieces: &[&[u8]], read: impl Fn(&mut HeadScan, &mut BytesMut) -> Result<Option<T>, HeadFault>) -> Told<T> {
    let (mut scan, mut buffer, mut fed) = (HeadScan::default(), BytesMut::new(), 0);
    for piece in pieces {
        buffer.extend_from_slice(piece);
        fed += piece.len();
        if let Some(head) = read(&mut scan, &mut buffer)? {
            assert!(!scan.begun(), "it stands before the next head");
            return Ok(Some((head, fed - buffer.len())));
        }
    }
    Ok(None)
}

impl From<RequestHead> for Request {
    fn from(head: RequestHead) -> Self {
        let RequestHead { parts, length, keep_alive, expects_continue } = head;
        assert!(parts.extensions.is_empty());
        let RequestParts { method, uri, version, headers, .. } = *parts;
        Self { method, uri, version, headers, length, keep_alive, expects_continue }
    }
}

impl From<ResponseHead> for Response {
    fn from(head: ResponseHead) -> Self {
        let ResponseHead { parts, length, keep_alive } = head;
        let reason = parts.extensions.get().cloned();
        let ResponseParts { status, version, headers, .. } = parts;
        Self { status, version, headers, reason, length, keep_alive }
    }
}
