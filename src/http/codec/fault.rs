use http::StatusCode;

/// Why a head is refused: always the fault of the one who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum HeadFault {
    /// RFC 9112 section 2.2 lets a recipient take it for a line's end; peers that do not would see another message.
    #[error("a line ends with LF alone")]
    BareLf,
    /// RFC 9112 section 2.2.
    #[error("a CR is not followed by LF")]
    BareCr,
    /// RFC 9110 section 5.5.
    #[error("there is a NUL")]
    Nul,
    /// RFC 9110 section 5.5; HTAB in a field's value is none.
    #[error("there is a control character")]
    Control,
    /// RFC 9112 section 3: one space between method, target and version, and none elsewhere.
    #[error("the first line is not a method, a target and a version with one space between them")]
    RequestLine,
    /// RFC 9110 section 9.1.
    #[error("the method is not a token")]
    Method,
    /// RFC 3986 section 2: a target is visible ASCII without `#`.
    #[error("the request target holds a character that belongs in none")]
    TargetByte,
    /// RFC 9112 section 3.2.
    #[error("the request target is in none of the forms that go with its method")]
    TargetForm,
    /// RFC 9112 section 2.3.
    #[error("there is no HTTP version where one should be")]
    Version,
    /// A version in its right form that is neither 1.0 nor 1.1.
    #[error("the HTTP version is neither 1.0 nor 1.1")]
    OtherVersion,
    /// RFC 9112 section 4.
    #[error("the status is not a number from 100 to 999 behind one space")]
    Status,
    /// RFC 9112 section 5.2.
    #[error("a field goes on in a second line, or the first begins with a space")]
    Folded,
    /// RFC 9112 section 5.
    #[error("a field has no colon")]
    NoColon,
    /// RFC 9112 section 5.1.
    #[error("there is a space before a field's colon")]
    SpaceBeforeColon,
    /// RFC 9110 section 5.1.
    #[error("the name of a field is not a token")]
    FieldName,
    /// RFC 9112 section 6.3.
    #[error("Content-Length and Transfer-Encoding are both given")]
    BothLengths,
    /// RFC 9112 section 6.3, also when both say the same.
    #[error("Content-Length is given more than once")]
    RepeatedLength,
    /// RFC 9112 section 6.3, also when all members say the same.
    #[error("Content-Length is a list")]
    ListedLength,
    /// RFC 9110 section 8.6.
    #[error("Content-Length has a sign")]
    SignedLength,
    /// RFC 9110 section 8.6.
    #[error("Content-Length is not a number")]
    InvalidLength,
    /// RFC 9110 section 8.6.
    #[error("Content-Length is larger than any body can be")]
    LengthOverflow,
    /// RFC 9112 section 6.1: no other coding is known here, and one that is not known hides where the body ends.
    #[error("Transfer-Encoding is not exactly chunked")]
    Coding,
    /// RFC 9112 section 6.1.
    #[error("Transfer-Encoding is given more than once")]
    RepeatedCoding,
    /// RFC 9112 section 6.1.
    #[error("Transfer-Encoding is given in HTTP/1.0")]
    OldCoding,
    /// RFC 9112 section 6.1.
    #[error("Transfer-Encoding is given with a status that has no body")]
    CodingWithoutBody,
    /// [`HeadLimits::head`](super::HeadLimits::head), or the limit of a trailer section.
    #[error("the head is longer than its limit")]
    TooLarge,
    /// [`FIELDS_MAX`](super::FIELDS_MAX).
    #[error("there are more than {} fields", super::FIELDS_MAX)]
    TooManyFields,
    /// [`HeadLimits::target`](super::HeadLimits::target).
    #[error("the request target is longer than its limit")]
    TargetTooLong,
}

impl HeadFault {
    /// The status that tells a client of it.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::TooLarge | Self::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::OtherVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::BareLf
            | Self::BareCr
            | Self::Nul
            | Self::Control
            | Self::RequestLine
            | Self::Method
            | Self::TargetByte
            | Self::TargetForm
            | Self::Version
            | Self::Status
            | Self::Folded
            | Self::NoColon
            | Self::SpaceBeforeColon
            | Self::FieldName
            | Self::BothLengths
            | Self::RepeatedLength
            | Self::ListedLength
            | Self::SignedLength
            | Self::InvalidLength
            | Self::LengthOverflow
            | Self::Coding
            | Self::RepeatedCoding
            | Self::OldCoding
            | Self::CodingWithoutBody => StatusCode::BAD_REQUEST,
        }
    }
}
