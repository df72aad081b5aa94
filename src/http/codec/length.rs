use http::{Method, StatusCode, Version};

use super::fault::HeadFault;

/// The most digits of a Content-Length: with one more it can leave 64 bits, and with a sign bit (nginx's `off_t`) too.
const DIGITS_MAX: usize = 19;

/// How a message's body is delimited on the wire (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Length {
    /// There is none, and no field says so.
    Empty,
    /// So many bytes, as a Content-Length says; it may be 0.
    Known(u64),
    /// In chunks.
    Chunked,
    /// All bytes until the connection ends; never in a request.
    UntilClose,
}

impl Length {
    /// Whether no byte of a body follows the head.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        matches!(self, Self::Empty | Self::Known(0))
    }
}

/// What the fields of a head have said of the body so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Declared {
    length: Option<u64>,
    chunked: bool,
}

impl Declared {
    /// Takes the value of a Content-Length.
    pub(super) fn content_length(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        if self.chunked {
            return Err(HeadFault::BothLengths);
        }
        if self.length.is_some() {
            return Err(HeadFault::RepeatedLength);
        }
        self.length = Some(number(value)?);
        Ok(())
    }

    /// Takes the value of a Transfer-Encoding.
    pub(super) fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        if self.length.is_some() {
            return Err(HeadFault::BothLengths);
        }
        if self.chunked {
            return Err(HeadFault::RepeatedCoding);
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(HeadFault::Coding);
        }
        self.chunked = true;
        Ok(())
    }

    /// The length of a request's body.
    pub(super) fn of_request(self, version: Version) -> Result<Length, HeadFault> {
        match (self.chunked, self.length) {
            (true, _) if version == Version::HTTP_10 => Err(HeadFault::OldCoding),
            (true, _) => Ok(Length::Chunked),
            (false, Some(length)) => Ok(Length::Known(length)),
            (false, None) => Ok(Length::Empty),
        }
    }

    /// The length of a response's body, when a request with the method `asked` was answered.
    pub(super) fn of_response(self, version: Version, status: StatusCode, asked: &Method) -> Result<Length, HeadFault> {
        if self.chunked && version == Version::HTTP_10 {
            return Err(HeadFault::OldCoding);
        }
        if forbids_length(status) {
            // A Content-Length is as wrong here, but it is common and has one meaning only.
            return if self.chunked { Err(HeadFault::CodingWithoutBody) } else { Ok(Length::Empty) };
        }
        let tunnel = *asked == Method::CONNECT && status.is_success();
        if *asked == Method::HEAD || status == StatusCode::NOT_MODIFIED || tunnel {
            return Ok(Length::Empty);
        }
        Ok(match (self.chunked, self.length) {
            (true, _) => Length::Chunked,
            (false, Some(length)) => Length::Known(length),
            (false, None) => Length::UntilClose,
        })
    }
}

/// Whether neither of the two fields may come with it (RFC 9110 section 8.6, RFC 9112 section 6.1).
pub(super) fn forbids_length(status: StatusCode) -> bool {
    status.is_informational() || status == StatusCode::NO_CONTENT
}

fn number(value: &[u8]) -> Result<u64, HeadFault> {
    if value.contains(&b',') {
        return Err(HeadFault::ListedLength);
    }
    if let [b'+' | b'-', ..] = value {
        return Err(HeadFault::SignedLength);
    }
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(HeadFault::InvalidLength);
    }
    if value.len() > DIGITS_MAX {
        return Err(HeadFault::LengthOverflow);
    }
    // So many digits cannot overflow.
    Ok(value.iter().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0')))
}
