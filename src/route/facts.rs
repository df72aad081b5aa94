use std::net::IpAddr;

use http::Method;

use super::TlsVersion;
use crate::head::Headers;
use crate::name::HostName;

/// What is known of a connection before any byte of it is answered.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionFacts<'a> {
    /// Who connects: the peer of the socket, or what a trusted PROXY header says of it.
    pub client: IpAddr,
    /// What the ClientHello says; `None` for a plain connection.
    pub tls: Option<TlsFacts<'a>>,
    /// Whether a plain connection's first bytes are those of an HTTP request. Without meaning where `tls` is there.
    pub speaks_http: bool,
}

/// What a ClientHello says of itself.
#[derive(Clone, Copy, Debug)]
pub struct TlsFacts<'a> {
    /// The name that the client asks for; `None` if it sends none, or one that is not a host name.
    pub server_name: Option<&'a HostName>,
    /// The ALPN protocols that it offers.
    pub alpn: &'a [Box<[u8]>],
    /// The TLS versions that it offers, of those that we know.
    pub versions: &'a [TlsVersion],
}

/// What is known of a request from its head.
#[derive(Clone, Copy, Debug)]
pub struct RequestFacts<'a> {
    /// The host that it is for, from `Host` or `:authority`, without port; `None` if absent, or not a host name.
    pub host: Option<&'a HostName>,
    /// The path as [`normalize_path`](crate::name::normalize_path) gives it.
    ///
    /// Where a target has no path (`OPTIONS *`, `CONNECT`) give an empty one: it meets no path pattern.
    pub path: &'a str,
    /// The method.
    pub method: &'a Method,
    /// The headers.
    pub headers: &'a Headers,
}
