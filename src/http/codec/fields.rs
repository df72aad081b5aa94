use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{Method, StatusCode, Version};
use httparse::{Header, Status};

use super::fault::HeadFault;
use super::length::{Declared, Length};
use super::name::field_name;
use crate::head::Headers;

/// The most fields of one head or trailer section. HAProxy takes 101 (`tune.http.maxhdr`), Apache (`LimitRequestFields`)
/// and hyper 100; browsers send about 20.
pub const FIELDS_MAX: usize = 128;

/// Fields that are added to a head on its way, at most, but for those of the configuration: those that tell who the client
/// is, the request's id, and Via. Room for them is made at once.
const ADDED: usize = 7;

/// The fields of a head, and what they say of the message and of the connection.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) headers: Headers,
    declared: Declared,
    close: bool,
    keep_alive: bool,
    continues: bool,
}

impl Fields {
    /// Takes over what was read from `head`, as slices of it.
    pub(super) fn of(head: &Bytes, read: &[Header<'_>]) -> Result<Self, HeadFault> {
        let mut fields = Self {
            headers: Headers::with_capacity(read.len() + ADDED),
            declared: Declared::default(),
            close: false,
            keep_alive: false,
            continues: false,
        };
        for field in read {
            let (name, value) = taken(head, field)?;
            fields.note(&name, field.value)?;
            fields.headers.append(name, value);
        }
        Ok(fields)
    }

    fn note(&mut self, name: &HeaderName, value: &[u8]) -> Result<(), HeadFault> {
        match *name {
            CONTENT_LENGTH => self.declared.content_length(value)?,
            TRANSFER_ENCODING => self.declared.transfer_encoding(value)?,
            CONNECTION => {
                self.close |= has_token(value, b"close");
                self.keep_alive |= has_token(value, b"keep-alive");
            }
            EXPECT => self.continues |= has_token(value, b"100-continue"),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn request_length(&self, version: Version) -> Result<Length, HeadFault> {
        self.declared.of_request(version)
    }

    pub(super) fn response_length(
        &self,
        version: Version,
        status: StatusCode,
        asked: &Method,
    ) -> Result<Length, HeadFault> {
        self.declared.of_response(version, status, asked)
    }

    /// Whether the connection may go on after the message (RFC 9112 section 9.3).
    pub(super) fn persists(&self, version: Version) -> bool {
        !self.close && (version == Version::HTTP_11 || self.keep_alive)
    }

    /// Whether the sender waits for 100 (Continue); to be ignored in HTTP/1.0 (RFC 9110 section 10.1.1).
    pub(super) fn expects_continue(&self, version: Version) -> bool {
        self.continues && version == Version::HTTP_11
    }
}

/// The fields of a trailer section, with the empty line at its end.
pub(super) fn trailers(section: &Bytes) -> Result<HeaderMap, HeadFault> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    match httparse::parse_headers(section, &mut fields) {
        Ok(Status::Complete((length, read))) if length == section.len() => {
            let mut headers = HeaderMap::with_capacity(read.len());
            for field in read {
                let (name, value) = taken(section, field)?;
                headers.append(name, value);
            }
            Ok(headers)
        }
        Ok(_) => Err(HeadFault::Ambiguous),
        Err(error) => Err(first_fault(section).unwrap_or_else(|| of_httparse(error))),
    }
}

/// One field, its value as a slice of what it was read from.
fn taken(from: &Bytes, field: &Header<'_>) -> Result<(HeaderName, HeaderValue), HeadFault> {
    let name = field_name(field.name.as_bytes()).ok_or(HeadFault::FieldName)?;
    let value = HeaderValue::from_maybe_shared(from.slice_ref(field.value)).map_err(|_| HeadFault::Control)?;
    Ok((name, value))
}

/// Checks that httparse has read all of a head.
///
/// # Errors
/// It has not: what the first line was found to be good for, a field is to blame for.
pub(super) fn check_read(read: httparse::Result<usize>, head: &[u8]) -> Result<(), HeadFault> {
    match read {
        Ok(Status::Complete(length)) if length == head.len() => Ok(()),
        Ok(_) => Err(HeadFault::Ambiguous),
        Err(error) => {
            let first = head.iter().position(|byte| *byte == b'\n').map_or(head.len(), |end| end + 1);
            let fields = head.get(first..).unwrap_or_default();
            Err(first_fault(fields).unwrap_or_else(|| of_httparse(error)))
        }
    }
}

/// What is wrong with the first field that is wrong. Every line is known to end with CRLF, and to hold neither.
fn first_fault(fields: &[u8]) -> Option<HeadFault> {
    let lines = fields.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.filter(|line| !line.is_empty()).find_map(|line| {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return Some(HeadFault::NoColon) };
        let (name, value) = line.split_at(colon);
        let spaced = matches!(name, [.., b' ' | b'\t']);
        if spaced && is_token(name.trim_ascii_end()) {
            Some(HeadFault::SpaceBeforeColon)
        } else if !is_token(name) {
            Some(HeadFault::FieldName)
        } else {
            value.contains(&0x7f).then_some(HeadFault::Control)
        }
    })
}

/// The nearest to what httparse says, where nothing else is known.
fn of_httparse(error: httparse::Error) -> HeadFault {
    match error {
        httparse::Error::HeaderName => HeadFault::FieldName,
        httparse::Error::HeaderValue => HeadFault::Control,
        httparse::Error::NewLine => HeadFault::BareLf,
        httparse::Error::Status => HeadFault::Status,
        httparse::Error::Token => HeadFault::RequestLine,
        httparse::Error::TooManyHeaders => HeadFault::TooManyFields,
        httparse::Error::Version => HeadFault::Version,
    }
}

/// Whether it is a token (RFC 9110 section 5.6.2).
pub(super) fn is_token(bytes: &[u8]) -> bool {
    let is_tchar = |byte: &u8| {
        // Not all punctuation: without `"(),/:;<=>?@[\]{}`.
        matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.')
            || matches!(byte, b'^'..=b'`' | b'|' | b'~')
    };
    !bytes.is_empty() && bytes.iter().all(is_tchar)
}

/// Whether a list has the token, in any case.
fn has_token(list: &[u8], token: &[u8]) -> bool {
    list.split(|byte| *byte == b',').any(|member| member.trim_ascii().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_of_what_may_be_in_one() {
        for byte in 0..=u8::MAX {
            let expected = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert_eq!(is_token(&[byte]), expected, "{byte:?}");
        }
        assert!(!is_token(b"") && !is_token(b"a b") && is_token(b"a-b"));
    }
}
