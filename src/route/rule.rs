use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method};

use crate::name::{HostPattern, PathPattern};
use crate::net::AddressSet;

/// The place of a route in its configuration: index 0 is the first of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub u32);

/// What one route wants to take. An empty list, or `None`, asks for nothing.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its place in the configuration.
    pub id: RouteId,
    /// Its unique name.
    pub name: Arc<str>,
    /// Higher goes first, whatever the specificity.
    pub priority: i32,
    /// Names that the client asks for: by SNI at the connection, by host at a request.
    pub domains: Vec<HostPattern>,
    /// Where the client may come from; `None` is anywhere.
    pub client_ips: Option<AddressSet>,
    /// TLS versions, one of which the client must offer.
    pub tls_versions: Vec<TlsVersion>,
    /// ALPN protocols, one of which the client must offer.
    pub alpn: Vec<Box<[u8]>>,
    /// The request's path.
    pub path: Option<PathPattern>,
    /// The request's method, one of these.
    pub methods: Vec<Method>,
    /// Headers that the request must have, each with this value.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What is done with TLS.
    pub tls: TlsHandling,
    /// What is spoken inside.
    pub protocol: Protocol,
}

impl Rule {
    /// Whether it takes HTTP requests one by one.
    #[must_use]
    pub fn serves_requests(&self) -> bool {
        self.protocol == Protocol::Http && self.tls != TlsHandling::Passthrough
    }
}

/// What a route does with TLS. A plain route never takes a TLS connection, nor the others a plain one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsHandling {
    /// No TLS.
    Plain,
    /// TLS is relayed unread; only the ClientHello is looked at.
    Passthrough,
    /// TLS ends here (whether or not a new TLS connection leads to the target).
    Terminate,
}

/// What a route's clients speak on the plain or decrypted stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP, routed request by request.
    Http,
    /// Bytes, relayed untouched.
    Tcp,
}

/// A TLS version that a client may offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

impl TlsVersion {
    /// The version's number.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}
