use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONNECTION, EXPECT, HeaderMap, HeaderName, HeaderValue};
use http::uri::Scheme;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use hyper::ext::ReasonPhrase;

use super::length::Length;
use super::lines::{LineFault, Lines};
use crate::http::hop;

/// The most fields of a head, or of trailers: HAProxy's `tune.http.maxhdr` is 101, hyper's limit 100, Apache's
/// `LimitRequestFields` 100.
pub(super) const FIELDS_MAX: usize = 128;

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeadLimits {
    /// All of it, in bytes, with its last empty line.
    pub(super) head: usize,
    /// The request's target, in bytes.
    pub(super) target: usize,
}

/// Why a head is not taken (RFC 9112 sections 2 to 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::http) enum HeadFault {
    #[error("a line ends in LF without CR")]
    BareLf,
    #[error("a CR stands alone")]
    BareCr,
    #[error("there is a NUL")]
    Nul,
    #[error("the first line is not that of a request")]
    RequestLine,
    #[error("the first line is not that of an answer")]
    StatusLine,
    #[error("the method is not a token")]
    Method,
    #[error("the request's target is not valid")]
    Target,
    #[error("the version is not HTTP/1.0 or HTTP/1.1")]
    Version,
    #[error("a field's name is not a token that is followed by a colon, or the field is folded")]
    FieldName,
    #[error("a field's value has a control character")]
    FieldValue,
    #[error("Content-Length is given more than once")]
    RepeatedLength,
    #[error("Content-Length is not a number")]
    InvalidLength,
    #[error("Content-Length and Transfer-Encoding are both given")]
    BothLengths,
    #[error("Transfer-Encoding is not exactly chunked")]
    Coding,
    #[error("Transfer-Encoding stands where it may not: in HTTP/1.0, or in an answer that has no body")]
    UnexpectedCoding,
    #[error("the head is longer than limits.max_request_head")]
    TooLarge,
    #[error("there are more than {FIELDS_MAX} fields")]
    TooManyFields,
    #[error("the request's target is longer than allowed")]
    TargetTooLong,
}

impl HeadFault {
    /// What a client is told.
    pub(in crate::http) const fn status(self) -> StatusCode {
        match self {
            Self::BareLf
            | Self::BareCr
            | Self::Nul
            | Self::RequestLine
            | Self::StatusLine
            | Self::Method
            | Self::Target
            | Self::FieldName
            | Self::FieldValue
            | Self::RepeatedLength
            | Self::InvalidLength
            | Self::BothLengths
            | Self::Coding
            | Self::UnexpectedCoding => StatusCode::BAD_REQUEST,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::TooLarge | Self::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
        }
    }
}

impl From<LineFault> for HeadFault {
    fn from(fault: LineFault) -> Self {
        match fault {
            LineFault::BareLf => Self::BareLf,
            LineFault::BareCr => Self::BareCr,
            LineFault::Nul => Self::Nul,
        }
    }
}

/// A request's head.
#[derive(Debug)]
pub(super) struct RequestHead {
    pub(super) parts: http::request::Parts,
    /// Never [`Length::UntilClose`].
    pub(super) length: Length,
    /// The client may send another request on the connection.
    pub(super) keep_alive: bool,
    /// The client waits for a word before it sends the body (RFC 9110 section 10.1.1).
    pub(super) expects_continue: bool,
}

/// An answer's head.
#[derive(Debug)]
pub(super) struct ResponseHead {
    pub(super) parts: http::response::Parts,
    pub(super) length: Length,
    /// The target will take another request on the connection.
    pub(super) keep_alive: bool,
}

/// Finds the end of a head while its bytes come, each byte looked at once: a head that comes byte by byte costs what one
/// costs that comes at once. What another reader could take for another head is refused as soon as it is seen.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    lines: Lines,
    /// Empty lines before the head, in bytes (RFC 9112 section 2.2).
    skipped: usize,
    begun: bool,
}

impl HeadScan {
    /// Whether a byte of a head has come; empty lines before it do not count.
    pub(super) const fn begun(&self) -> bool {
        self.begun
    }

    /// The head of a request, taken off the front of `buffer`; `None` if more has to come. `buffer` holds all that came
    /// since the last message.
    ///
    /// # Errors
    /// See [`HeadFault`]; what is in the buffer is of no more use.
    pub(super) fn request(
        &mut self,
        buffer: &mut BytesMut,
        limits: &HeadLimits,
    ) -> Result<Option<RequestHead>, HeadFault> {
        while !self.begun && buffer.starts_with(b"\r\n") {
            buffer.advance(2);
            self.skipped = self.skipped.saturating_add(2);
        }
        let Some(head) = self.head(buffer, limits)? else { return Ok(None) };
        request(&head, limits).map(Some)
    }

    /// The head of an answer to a request with the method `asked`, taken off the front of `buffer`; `None` if more has to
    /// come.
    ///
    /// # Errors
    /// See [`HeadFault`]; what is in the buffer is of no more use.
    pub(super) fn response(
        &mut self,
        buffer: &mut BytesMut,
        limits: &HeadLimits,
        asked: &Method,
    ) -> Result<Option<ResponseHead>, HeadFault> {
        let Some(head) = self.head(buffer, limits)? else { return Ok(None) };
        *self = Self::default();
        response(&head, asked).map(Some)
    }

    fn head(&mut self, buffer: &mut BytesMut, limits: &HeadLimits) -> Result<Option<Bytes>, HeadFault> {
        // A lone CR may be the begin of an empty line.
        self.begun |= !buffer.is_empty() && buffer.as_ref() != b"\r";
        let end = self.lines.end(buffer)?;
        let length = end.unwrap_or(buffer.len()).saturating_add(self.skipped);
        if length > limits.head {
            return Err(if self.lines.has_line() { HeadFault::TooLarge } else { HeadFault::TargetTooLong });
        }
        Ok(end.map(|end| buffer.split_to(end).freeze()))
    }
}

fn request(head: &Bytes, limits: &HeadLimits) -> Result<RequestHead, HeadFault> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    let status =
        parsed.parse_with_uninit_headers(head, &mut fields).map_err(|error| fault(error, HeadFault::RequestLine))?;
    // The head ends in an empty line, so it is complete unless that line was taken for something else.
    let (httparse::Status::Complete(_), Some(method), Some(target), Some(version)) =
        (status, parsed.method, parsed.path, parsed.version)
    else {
        return Err(HeadFault::RequestLine);
    };
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| HeadFault::Method)?;
    let version = if version == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    let uri = uri(head, target, &method, limits)?;
    let headers = map(head, parsed.headers)?;
    let length = Length::of_request(version, &headers)?;
    let keep_alive = keeps_alive(version, &headers);
    let expects_continue =
        version == Version::HTTP_11 && length != Length::Empty && hop::has_token(&headers, &EXPECT, "100-continue");
    let mut parts = Request::new(()).into_parts().0;
    (parts.method, parts.uri, parts.version, parts.headers) = (method, uri, version, headers);
    Ok(RequestHead { parts, length, keep_alive, expects_continue })
}

fn response(head: &Bytes, asked: &Method) -> Result<ResponseHead, HeadFault> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let status = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut parsed, head, &mut fields)
        .map_err(|error| fault(error, HeadFault::StatusLine))?;
    let (httparse::Status::Complete(_), Some(code), Some(version)) = (status, parsed.code, parsed.version) else {
        return Err(HeadFault::StatusLine);
    };
    let status = StatusCode::from_u16(code).map_err(|_| HeadFault::StatusLine)?;
    let version = if version == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    let reason = parsed.reason.filter(|reason| !reason.is_empty() && status.canonical_reason() != Some(*reason));
    let headers = map(head, parsed.headers)?;
    let length = Length::of_response(version, status, &headers, asked)?;
    let keep_alive = keeps_alive(version, &headers) && length != Length::UntilClose;
    let mut parts = Response::new(()).into_parts().0;
    (parts.status, parts.version, parts.headers) = (status, version, headers);
    if let Some(reason) = reason.and_then(|reason| ReasonPhrase::try_from(reason.as_bytes()).ok()) {
        parts.extensions.insert(reason);
    }
    Ok(ResponseHead { parts, length, keep_alive })
}

fn fault(error: httparse::Error, first_line: HeadFault) -> HeadFault {
    match error {
        httparse::Error::HeaderName => HeadFault::FieldName,
        httparse::Error::HeaderValue => HeadFault::FieldValue,
        httparse::Error::NewLine | httparse::Error::Status | httparse::Error::Token => first_line,
        httparse::Error::TooManyHeaders => HeadFault::TooManyFields,
        httparse::Error::Version => HeadFault::Version,
    }
}

/// Fields whose values are slices of the head.
pub(super) fn map(head: &Bytes, fields: &[httparse::Header<'_>]) -> Result<HeaderMap, HeadFault> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| HeadFault::FieldName)?;
        let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value)).map_err(|_| HeadFault::FieldValue)?;
        headers.try_append(name, value).map_err(|_| HeadFault::TooManyFields)?;
    }
    Ok(headers)
}

/// The target in one of the forms that its method allows (RFC 9112 section 3.2).
fn uri(head: &Bytes, target: &str, method: &Method, limits: &HeadLimits) -> Result<Uri, HeadFault> {
    if target.len() > limits.target {
        return Err(HeadFault::TargetTooLong);
    }
    // A fragment is never sent, and what is no ASCII no target is made of (RFC 3986 section 2).
    if target.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'#') {
        return Err(HeadFault::Target);
    }
    let uri = Uri::from_maybe_shared(head.slice_ref(target.as_bytes())).map_err(|_| HeadFault::Target)?;
    let sound = match target.as_bytes() {
        [b'/', ..] => *method != Method::CONNECT,
        b"*" => *method == Method::OPTIONS,
        _ if *method == Method::CONNECT => uri.scheme().is_none() && uri.path_and_query().is_none(),
        _ => uri.scheme().is_some_and(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme)),
    };
    if sound { Ok(uri) } else { Err(HeadFault::Target) }
}

/// RFC 9112 section 9.3.
fn keeps_alive(version: Version, headers: &HeaderMap) -> bool {
    if !headers.contains_key(CONNECTION) {
        return version == Version::HTTP_11;
    }
    let says = |token| hop::has_token(headers, &CONNECTION, token);
    !says("close") && (version == Version::HTTP_11 || says("keep-alive"))
}
