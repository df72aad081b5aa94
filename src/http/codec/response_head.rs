use std::ops::Range;

use bytes::Bytes;
use http::{Method, StatusCode};

use super::fault::HeadFault;
use super::fields::Fields;
use super::length::Length;
use super::lines::{LINE_END, line_at};
use super::request_head::{check_version, version_of};
use crate::head::ResponseParts;

/// How long the version is that a status line begins with.
const VERSION: usize = 8;

/// Where the status is: behind `HTTP/1.1 `.
const STATUS: Range<usize> = 9..12;

/// Where the reason phrase begins: behind `HTTP/1.1 200 `.
const REASON: usize = 13;

/// The reason phrase of a response (RFC 9112 section 4), where it is not the one that goes with the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReasonPhrase(Bytes);

impl ReasonPhrase {
    /// The phrase, if it has nothing in it that a phrase may not have.
    fn of(reason: &[u8]) -> Option<Self> {
        let sound = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
        reason.iter().all(sound).then(|| Self(Bytes::copy_from_slice(reason)))
    }

    /// The phrase as it was sent.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The head of a response.
#[derive(Debug)]
pub struct ResponseHead {
    /// Version (1.0 or 1.1), status and fields, with those that say the length. A reason phrase that is not the
    /// status' own is in the extensions, as [`ReasonPhrase`].
    pub parts: ResponseParts,
    /// How its body is delimited.
    pub length: Length,
    /// Whether the connection may go on after it, by its version, its Connection field and its length.
    pub keep_alive: bool,
}

/// Judges a status line as soon as it is there (RFC 9112 section 4).
pub(super) fn check_line(line: &[u8]) -> Result<(), HeadFault> {
    let version = line.get(..VERSION).ok_or(HeadFault::Version)?;
    check_version(version)?;
    match line.get(VERSION..).unwrap_or_default() {
        [b' ', b'1'..=b'9', b'0'..=b'9', b'0'..=b'9'] => Ok(()),
        [b' ', b'1'..=b'9', b'0'..=b'9', b'0'..=b'9', b' ', reason @ ..] => {
            if reason.contains(&0x7f) {
                Err(HeadFault::Control)
            } else {
                Ok(())
            }
        }
        _ => Err(HeadFault::Status),
    }
}

/// Takes a whole head of about so many `fields` apart; its lines are known to be lines, and the first to be a status line.
pub(super) fn parse(head: &Bytes, fields: usize, asked: &Method) -> Result<ResponseHead, HeadFault> {
    let line = line_at(head, 0).ok_or(HeadFault::Version)?;
    let begin = line.end + LINE_END;
    let line = head.get(line).unwrap_or_default();
    let version = version_of(line.get(..VERSION).unwrap_or_default());
    let status = line.get(STATUS).and_then(|status| StatusCode::from_bytes(status).ok()).ok_or(HeadFault::Status)?;
    let fields = Fields::of(head, begin, fields)?;
    let length = fields.response_length(version, status, asked)?;
    let keep_alive = fields.persists(version) && length != Length::UntilClose;
    let mut parts = ResponseParts::new(status, version, fields.headers);
    if let Some(reason) = uncommon_reason(line, status) {
        parts.extensions.insert(reason);
    }
    Ok(ResponseHead { parts, length, keep_alive })
}

/// The reason phrase of a status line, if it is not the one that goes with the status.
fn uncommon_reason(line: &[u8], status: StatusCode) -> Option<ReasonPhrase> {
    let reason = line.get(REASON..).unwrap_or_default();
    if status.canonical_reason().is_some_and(|canonical| canonical.as_bytes() == reason) {
        return None;
    }
    ReasonPhrase::of(reason)
}
