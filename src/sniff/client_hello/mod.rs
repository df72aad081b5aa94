//! The TLS ClientHello (RFC 5246 section 7.4.1.2, RFC 8446 section 4.1.2): what routing asks of it, and no more.

mod message;
mod record;
#[cfg(test)]
mod tests;

pub use record::{HELLO_LENGTH_MAX, HelloReader, RECORDS_MAX};

use super::cursor::PastEnd;
use crate::name::{HostName, InvalidHostName};
use crate::route::TlsVersion;

/// What routing asks of a ClientHello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// The name that the client asks for (SNI, RFC 6066 section 3). An IP literal, which may not stand there, counts as none.
    ///
    /// With Encrypted Client Hello it is the outer name, the only one that can be read.
    pub server_name: Option<HostName>,
    /// The protocols that the client offers inside TLS (ALPN, RFC 7301), in its order; opaque bytes, none of them empty.
    pub alpn: Vec<Box<[u8]>>,
    /// Those of our TLS versions that the client offers; others, and GREASE values (RFC 8701), are not listed.
    pub tls_versions: &'static [TlsVersion],
    /// Whether this is an outer hello with an encrypted one inside (RFC 9849), or the look of it: the GREASE that browsers
    /// send cannot be told from the real one.
    pub ech: bool,
}

/// Why bytes are not a ClientHello that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloFault {
    /// It breaks a rule of TLS.
    #[error("the client sent a malformed TLS ClientHello")]
    Malformed(#[from] MalformedHello),
    /// It is longer than [`HELLO_LENGTH_MAX`], or in more than [`RECORDS_MAX`] records.
    #[error(
        "the client's TLS ClientHello is longer than {HELLO_LENGTH_MAX} bytes, or in more than {RECORDS_MAX} records"
    )]
    TooLarge,
}

/// The rule that a ClientHello breaks; the client is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedHello {
    /// A record that is not a handshake record, before the hello was whole.
    #[error("a TLS record is not of the type handshake")]
    RecordType,
    /// A record version other than 3.x.
    #[error("a TLS record's version is not 3.x")]
    RecordVersion,
    /// A record that is empty or longer than 2^14 bytes (RFC 8446 section 5.1).
    #[error("a TLS record is empty or longer than 16384 bytes")]
    RecordLength,
    /// A handshake that does not begin with a ClientHello.
    #[error("the first handshake message is not a ClientHello")]
    MessageType,
    /// A length inside points past the end of what holds it.
    #[error("a length points past its end")]
    PastEnd,
    /// Bytes are left over where a block should end.
    #[error("bytes are left over at the end of a block")]
    LeftOver,
    /// A session id longer than 32 bytes.
    #[error("the session id is longer than 32 bytes")]
    SessionId,
    /// A list of cipher suites that is empty or of odd length.
    #[error("the list of cipher suites is empty or of odd length")]
    CipherSuites,
    /// No compression method, where the null method must stand.
    #[error("the list of compression methods is empty")]
    CompressionMethods,
    /// An extension that stands twice (RFC 8446 section 4.2).
    #[error("extension {0:#06x} stands twice")]
    DuplicateExtension(u16),
    /// A list of supported versions that is empty or of odd length.
    #[error("the list of supported versions is empty or of odd length")]
    SupportedVersions,
    /// No protocol, or an empty one (RFC 7301 section 3.1).
    #[error("the list of ALPN protocols is empty, or one of them is")]
    Alpn,
    /// A server name extension with no host name, or with two (RFC 6066 section 3).
    #[error("the server name extension does not hold exactly one host name")]
    ServerNameCount,
    /// A server name that is not ASCII.
    #[error("the server name is not ASCII")]
    ServerNameEncoding,
    /// A server name that is not a host name.
    #[error("the server name is not a host name")]
    ServerName(#[source] InvalidHostName),
}

impl From<PastEnd> for MalformedHello {
    fn from(PastEnd: PastEnd) -> Self {
        Self::PastEnd
    }
}
