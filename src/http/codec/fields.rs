use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{Method, StatusCode, Version};

use super::fault::HeadFault;
use super::length::{Declared, Length};
use super::lines::{LINE_END, colon, line_at};
use super::name::field_name;
use crate::head::Headers;

/// The most fields of one head or trailer section. HAProxy takes 101 (`tune.http.maxhdr`), Apache (`LimitRequestFields`)
/// and hyper 100; browsers send about 20.
pub const FIELDS_MAX: usize = 128;

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
    /// Takes over the fields of `head` that begin at `from`, about `count` of them, as slices of it. Its lines are known to be
    /// lines, and the last to be empty.
    pub(super) fn of(head: &Bytes, from: usize, count: usize) -> Result<Self, HeadFault> {
        let mut fields = Self {
            headers: Headers::with_room(count),
            declared: Declared::default(),
            close: false,
            keep_alive: false,
            continues: false,
        };
        let mut from = from;
        while let Some(line) = line_at(head, from) {
            from = line.end + LINE_END;
            let (name, value) = field(head.get(line).unwrap_or_default())?;
            fields.note(&name, value)?;
            fields.headers.append(name, value_of(head, value)?);
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

/// The fields of whole lines, up to an empty one if there is one: of a trailer section, or of lines of our own.
///
/// # Errors
/// One is no field.
pub fn fields_of(lines: &Bytes) -> Result<HeaderMap, HeadFault> {
    let (mut fields, mut from) = (HeaderMap::new(), 0);
    while let Some(line) = line_at(lines, from) {
        from = line.end + LINE_END;
        let (name, value) = field(lines.get(line).unwrap_or_default())?;
        fields.append(name, value_of(lines, value)?);
    }
    Ok(fields)
}

/// The name of a field, and what is to be its value (RFC 9112 section 5).
#[inline]
fn field(line: &[u8]) -> Result<(HeaderName, &[u8]), HeadFault> {
    let colon = colon(line).ok_or(HeadFault::NoColon)?;
    let (name, value) = line.split_at_checked(colon).unwrap_or_default();
    let name = field_name(name).ok_or_else(|| match name {
        [.., b' ' | b'\t'] if is_token(name.trim_ascii_end()) => HeadFault::SpaceBeforeColon,
        _ => HeadFault::FieldName,
    })?;
    // There are no other blanks in a line than these two: the rest are control characters.
    Ok((name, value.strip_prefix(b":").unwrap_or(value).trim_ascii()))
}

/// A value, as a slice of what it stands in.
#[inline]
fn value_of(head: &Bytes, value: &[u8]) -> Result<HeaderValue, HeadFault> {
    HeaderValue::from_maybe_shared(head.slice_ref(value)).map_err(|_| HeadFault::Control)
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
