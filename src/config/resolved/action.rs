use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU16;

use http::{HeaderName, StatusCode};

use crate::config::place::Located;
use crate::name::{FieldValue, HostName, PathRewrite, Template};

/// What a route does with what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Forwards it to a target.
    Forward(Forward),
    /// Answers each request with a redirect.
    Redirect(Redirect),
    /// Answers each request with a fixed response.
    Respond(Respond),
}

/// Where to forward, and in what form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// At least one, of which at least one is no backup.
    pub targets: Vec<Located<Target>>,
    /// How one of them is chosen.
    pub load_balancing: LoadBalancing,
    /// The PROXY header that stands in front of each connection to a target.
    pub send_proxy_protocol: Option<ProxyVersion>,
    /// What HTTP targets are spoken to in.
    pub upstream_protocol: UpstreamProtocol,
    /// Whether Host reaches the target as the client sent it.
    pub preserve_host: bool,
    /// How the path of a request is changed.
    pub rewrite: Option<PathRewrite>,
}

/// One server behind a route.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Its name or address.
    pub host: Host,
    /// Its port.
    pub port: TargetPort,
    /// Its share of connections, 1 to 256, against the other targets' weights.
    pub weight: u16,
    /// Whether it is only tried when no other target is left.
    pub backup: bool,
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]:{}", self.port),
            Host::Address(IpAddr::V4(address)) => write!(formatter, "{address}:{}", self.port),
            Host::Name(name) => write!(formatter, "{name}:{}", self.port),
        }
    }
}

/// A server by name or by address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name, resolved when it is connected to.
    Name(HostName),
    /// An address.
    Address(IpAddr),
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(formatter),
            Self::Address(address) => address.fmt(formatter),
        }
    }
}

/// The port of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetPort {
    /// This port.
    Fixed(NonZeroU16),
    /// The port that the client came to.
    Preserve,
}

impl fmt::Display for TargetPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(port) => port.fmt(formatter),
            Self::Preserve => formatter.write_str("preserve"),
        }
    }
}

/// How a target is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadBalancing {
    /// In turn, by weight.
    RoundRobin,
    /// By chance, by weight.
    Random,
    /// The one with the fewest connections for its weight.
    LeastConnections,
    /// The same one for the same client address.
    IpHash,
}

/// The version of a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyVersion {
    /// One line of text.
    V1,
    /// Binary.
    V2,
}

/// What HTTP targets are spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, which a target inside TLS has to agree to.
    Http2,
    /// HTTP/2 without TLS, which the target is known to speak.
    H2c,
    /// What the target picks in the TLS handshake: HTTP/2 or HTTP/1.1.
    Auto,
}

/// A redirect of every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The new location: it begins with a scheme and a host, or with a slash, that no client chooses.
    pub to: Template,
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
}

/// A response to every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    /// 200 to 599.
    pub status: StatusCode,
    /// The body; empty if the status has none.
    pub body: Template,
    /// Headers besides those of the framing.
    pub headers: Vec<(HeaderName, FieldValue)>,
}
