use bytes::Bytes;
use http::uri::Scheme;
use http::{Method, Uri, Version};

use super::fault::HeadFault;
use super::fields::{Fields, is_token};
use super::length::Length;
use super::lines::{LINE_END, line_at};
use crate::head::RequestParts;

/// The head of a request.
#[derive(Debug)]
pub struct RequestHead {
    /// Version (1.0 or 1.1), method, target and fields, with those that say the length.
    pub parts: Box<RequestParts>,
    /// How its body is delimited; never [`Length::UntilClose`].
    pub length: Length,
    /// Whether the connection may go on after it, by its version and its Connection field.
    pub keep_alive: bool,
    /// Whether the client waits for 100 (Continue) before it sends a body that it has announced.
    pub expects_continue: bool,
}

/// Judges a request line as soon as it is there.
pub(super) fn check_line(line: &[u8], target_max: usize) -> Result<(), HeadFault> {
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let (method, target, version) = (words.next().unwrap_or_default(), words.next(), words.next());
    if !is_token(method) {
        // An empty word is a space too many.
        return Err(if method.is_empty() { HeadFault::RequestLine } else { HeadFault::Method });
    }
    let target = target.filter(|target| !target.is_empty()).ok_or(HeadFault::RequestLine)?;
    if target.len() > target_max {
        return Err(HeadFault::TargetTooLong);
    }
    // Without an early end the compiler takes many bytes at once.
    if target.iter().fold(false, |wrong, byte| wrong | !byte.is_ascii_graphic() | (*byte == b'#')) {
        return Err(HeadFault::TargetByte);
    }
    let version = version.ok_or(HeadFault::RequestLine)?;
    if version.contains(&b' ') {
        return Err(HeadFault::RequestLine);
    }
    check_version(version)
}

/// Judges a version (RFC 9112 section 2.3).
pub(super) fn check_version(version: &[u8]) -> Result<(), HeadFault> {
    match version {
        b"HTTP/1.1" | b"HTTP/1.0" => Ok(()),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Err(HeadFault::OtherVersion),
        _ => Err(HeadFault::Version),
    }
}

/// The version that is one of the two (see [`check_version`]).
pub(super) fn version_of(version: &[u8]) -> Version {
    if version == b"HTTP/1.0" { Version::HTTP_10 } else { Version::HTTP_11 }
}

/// Takes a whole head of about so many `fields` apart; its lines are known to be lines, and the first to be a request line.
pub(super) fn parse(head: &Bytes, fields: usize) -> Result<RequestHead, HeadFault> {
    let line = line_at(head, 0).ok_or(HeadFault::RequestLine)?;
    let begin = line.end + LINE_END;
    let mut words = head.get(line).unwrap_or_default().splitn(3, |byte| *byte == b' ');
    let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next()) else {
        return Err(HeadFault::RequestLine);
    };
    let method = Method::from_bytes(method).map_err(|_| HeadFault::Method)?;
    let uri = uri(head, &method, target)?;
    let version = version_of(version);
    let fields = Fields::of(head, begin, fields)?;
    let length = fields.request_length(version)?;
    let keep_alive = fields.persists(version);
    let expects_continue = fields.expects_continue(version) && !length.is_empty();
    let parts = Box::new(RequestParts::new(method, uri, version, fields.headers));
    Ok(RequestHead { parts, length, keep_alive, expects_continue })
}

/// The target, in one of the four forms of RFC 9112 section 3.2.
fn uri(head: &Bytes, method: &Method, target: &[u8]) -> Result<Uri, HeadFault> {
    let uri = Uri::from_maybe_shared(head.slice_ref(target)).map_err(|_| HeadFault::TargetForm)?;
    let sound = if *method == Method::CONNECT {
        let authority = uri.authority().filter(|authority| authority.port_u16().is_some());
        uri.scheme().is_none() && authority.is_some_and(|authority| !authority.as_str().contains('@'))
    } else if target == b"*" {
        *method == Method::OPTIONS
    } else {
        target.starts_with(b"/") || uri.scheme().is_some_and(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme))
    };
    if sound { Ok(uri) } else { Err(HeadFault::TargetForm) }
}
