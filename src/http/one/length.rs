use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode, Version};

use super::head::HeadFault;

/// How a message's body is delimited on the wire (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Length {
    /// There is none.
    Empty,
    /// By its number of bytes.
    Known(u64),
    /// By its chunks.
    Chunked,
    /// By the end of the connection (answers only).
    UntilClose,
}

impl Length {
    /// What a request's head says of its body.
    ///
    /// # Errors
    /// The client's: what another reader could take for another length.
    pub(super) fn of_request(version: Version, headers: &HeaderMap) -> Result<Self, HeadFault> {
        Ok(Self::declared(version, headers)?.unwrap_or(Self::Empty))
    }

    /// What the head of an answer to a request with the method `asked` says of its body.
    ///
    /// # Errors
    /// The target's: what another reader could take for another length.
    pub(super) fn of_response(
        version: Version,
        status: StatusCode,
        headers: &HeaderMap,
        asked: &Method,
    ) -> Result<Self, HeadFault> {
        let declared = Self::declared(version, headers)?;
        let never = status.is_informational() || status == StatusCode::NO_CONTENT;
        if never && declared == Some(Self::Chunked) {
            return Err(HeadFault::UnexpectedCoding);
        }
        let tunnel = asked == Method::CONNECT && status.is_success();
        if never || tunnel || status == StatusCode::NOT_MODIFIED || asked == Method::HEAD {
            return Ok(Self::Empty);
        }
        Ok(declared.unwrap_or(Self::UntilClose))
    }

    fn declared(version: Version, headers: &HeaderMap) -> Result<Option<Self>, HeadFault> {
        let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
        let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
        let (coding, length) = (codings.next(), lengths.next());
        if codings.next().is_some() {
            return Err(HeadFault::Coding);
        }
        if lengths.next().is_some() {
            return Err(HeadFault::RepeatedLength);
        }
        match (coding, length) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(HeadFault::BothLengths),
            (Some(_), None) if version == Version::HTTP_10 => Err(HeadFault::UnexpectedCoding),
            (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(Some(Self::Chunked)),
            (Some(_), None) => Err(HeadFault::Coding),
            (None, Some(length)) => {
                let digits = length.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
                let length = digits.and_then(|text| text.parse().ok()).ok_or(HeadFault::InvalidLength)?;
                Ok(Some(if length == 0 { Self::Empty } else { Self::Known(length) }))
            }
        }
    }
}
