use rustls::{CommonState, HandshakeKind, ProtocolVersion};

use crate::route::TlsVersion;

/// What two peers agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The version.
    pub version: TlsVersion,
    /// The ALPN protocol, if there was one that both speak.
    pub alpn: Option<Box<[u8]>>,
    /// The cipher suite, by its IANA name.
    pub cipher_suite: &'static str,
    /// The key exchange, by its IANA name; none where a TLS 1.2 session was resumed.
    pub key_exchange: Option<&'static str>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
}

impl Agreed {
    /// The version as logs write it.
    #[must_use]
    pub const fn version_name(&self) -> &'static str {
        match self.version {
            TlsVersion::Tls12 => "TLSv1.2",
            TlsVersion::Tls13 => "TLSv1.3",
        }
    }

    pub(super) fn read(connection: &CommonState) -> Self {
        let version = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => TlsVersion::Tls13,
            _ => TlsVersion::Tls12,
        };
        Self {
            version,
            alpn: connection.alpn_protocol().map(Into::into),
            cipher_suite: connection
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str())
                .unwrap_or("unknown"),
            key_exchange: connection.negotiated_key_exchange_group().and_then(|group| group.name().as_str()),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }
}
