use std::fmt;
use std::sync::Arc;

use super::{
    ConnectionFacts, Decision, Mismatch, Protocol, RequestFacts, RouteId, Rule, Table, TlsHandling, TlsVersion,
    predicate,
};
use crate::name::HostName;

/// What one route of an address has to do with a connection or a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// The route's name.
    pub route: Arc<str>,
    /// Whether it is the one; of all verdicts at most one.
    pub taken: bool,
    /// Why, or why not.
    pub reason: Reason<'a>,
}

/// Why a route takes something, or not. Its `Display` is a sentence about the route, without a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason<'a> {
    /// All that it asks for is there, and nothing goes before it.
    Taken,
    /// Its TLS settings serve the connection, whose requests are routed one by one.
    Leads,
    /// Another route's TLS settings serve the connection, of whose requests it may take some.
    Follows,
    /// Something that it asks for is not there.
    Mismatch(Mismatch<'a>),
    /// All that it asks for is there, but another route goes before it.
    Outranked {
        /// The other route's name.
        by: Arc<str>,
    },
}

/// Tells what each route of an address has to do with a connection, or with a request on it, in the order in which they
/// are tried.
///
/// Without a request, an HTTP route is judged by the connection alone.
#[must_use]
pub fn explain<'a>(
    table: &'a Table,
    connection: &ConnectionFacts<'a>,
    request: Option<&RequestFacts<'a>>,
) -> Vec<Verdict<'a>> {
    let ending = Ending::of(table, connection, request);
    let by = table.in_order().find(|rule| ending.winner() == Some(rule.id)).map(|rule| &rule.name);
    let verdict = |rule: &'a Rule| {
        let taken = ending.taken() == Some(rule.id);
        let reason = match mismatch(rule, connection, ending.request()) {
            _ if taken => ending.praise(),
            Err(mismatch) => Reason::Mismatch(mismatch),
            Ok(()) if ending.is_shared() && rule.serves_requests() => Reason::Follows,
            // Where nothing wins, something is missing in each; the route's own name is never shown.
            Ok(()) => Reason::Outranked { by: Arc::clone(by.unwrap_or(&rule.name)) },
        };
        Verdict { route: Arc::clone(&rule.name), taken, reason }
    };
    table.in_order().map(verdict).collect()
}

/// Where the connection and the request end up.
enum Ending<'r, 'a> {
    NoRoute,
    Connection(RouteId),
    /// An HTTP connection, without a request to ask about.
    Leading(RouteId),
    /// A request, and the route that takes it.
    Request {
        leading: RouteId,
        request: &'r RequestFacts<'a>,
        taken: Option<RouteId>,
    },
}

impl<'r, 'a> Ending<'r, 'a> {
    fn of(table: &Table, connection: &ConnectionFacts<'a>, request: Option<&'r RequestFacts<'a>>) -> Self {
        match (table.connection(connection), request) {
            (Decision::NoRoute, _) => Self::NoRoute,
            (Decision::Passthrough(id), _)
            | (Decision::Terminate { leading: id, protocol: Protocol::Tcp }, _)
            | (Decision::Plain { leading: id, protocol: Protocol::Tcp }, _) => Self::Connection(id),
            (Decision::Terminate { leading, .. } | Decision::Plain { leading, .. }, None) => Self::Leading(leading),
            (Decision::Terminate { leading, .. } | Decision::Plain { leading, .. }, Some(request)) => {
                Self::Request { leading, request, taken: table.request(connection, request) }
            }
        }
    }

    fn taken(&self) -> Option<RouteId> {
        match self {
            Self::NoRoute => None,
            Self::Connection(id) | Self::Leading(id) => Some(*id),
            Self::Request { taken, .. } => *taken,
        }
    }

    /// The route that goes before all those that hold.
    fn winner(&self) -> Option<RouteId> {
        match self {
            Self::NoRoute | Self::Connection(_) | Self::Leading(_) => self.taken(),
            Self::Request { leading, taken, .. } => Some(taken.unwrap_or(*leading)),
        }
    }

    /// Whether the connection's requests go to routes of their own.
    fn is_shared(&self) -> bool {
        matches!(self, Self::Leading(_))
    }

    fn praise(&self) -> Reason<'a> {
        match self {
            Self::Leading(_) => Reason::Leads,
            Self::NoRoute | Self::Connection(_) | Self::Request { .. } => Reason::Taken,
        }
    }

    /// The request, if requests are looked at on this connection.
    fn request(&self) -> Option<&'r RequestFacts<'a>> {
        match self {
            Self::NoRoute | Self::Connection(_) | Self::Leading(_) => None,
            Self::Request { request, .. } => Some(request),
        }
    }
}

/// The first thing that a rule does not find, in the order in which a person would look.
fn mismatch<'a>(
    rule: &'a Rule,
    connection: &ConnectionFacts<'a>,
    request: Option<&RequestFacts<'a>>,
) -> Result<(), Mismatch<'a>> {
    match (rule.tls, connection.tls, rule.protocol) {
        (TlsHandling::Plain, Some(_), _) => return Err(Mismatch::Tls),
        (TlsHandling::Passthrough | TlsHandling::Terminate, None, _) => return Err(Mismatch::Plain),
        (TlsHandling::Plain, None, Protocol::Tcp) if !rule.domains.is_empty() => return Err(Mismatch::Nameless),
        (TlsHandling::Plain, None, Protocol::Http) if !connection.speaks_http => return Err(Mismatch::NotHttp),
        (TlsHandling::Plain, None, _) | (TlsHandling::Passthrough | TlsHandling::Terminate, Some(_), _) => {}
    }
    let request = request.filter(|_| predicate::by_request(rule));
    match (request, connection.tls) {
        (Some(request), _) => host(rule, request.host)?,
        (None, Some(tls)) => host(rule, tls.server_name)?,
        (None, None) => {}
    }
    predicate::connection(rule, connection)?;
    request.map_or(Ok(()), |request| predicate::request(rule, request))
}

fn host<'a>(rule: &'a Rule, found: Option<&'a HostName>) -> Result<(), Mismatch<'a>> {
    let holds = |found: &HostName| rule.domains.iter().any(|pattern| pattern.matches(found));
    if rule.domains.is_empty() || found.is_some_and(holds) {
        return Ok(());
    }
    Err(Mismatch::Host { wanted: &rule.domains, found })
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken => formatter.write_str("takes it"),
            Self::Leads => formatter.write_str("takes the connection; ask with a URL which route takes a request"),
            Self::Follows => formatter.write_str("may take requests on it"),
            Self::Mismatch(mismatch) => mismatch.fmt(formatter),
            Self::Outranked { by } => write!(formatter, "would take it, but route {by} goes before it"),
        }
    }
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => formatter.write_str("takes TLS, and the connection is plain"),
            Self::Tls => formatter.write_str("takes plain connections, and this one is TLS"),
            Self::NotHttp => formatter.write_str("takes HTTP, and the connection does not begin with a request"),
            Self::Nameless => formatter.write_str("asks for a host, which a plain tcp connection never names"),
            Self::Host { wanted, found: Some(found) } => {
                write!(formatter, "takes host {}, not {found}", Listed(wanted))
            }
            Self::Host { wanted, found: None } => {
                write!(formatter, "takes host {}, and none is named", Listed(wanted))
            }
            Self::Client { wanted, found } => write!(formatter, "takes clients from {wanted}, not {found}"),
            Self::TlsVersion { wanted, found } => {
                let [wanted, found] = [wanted, found].map(|versions| versions.iter().map(version).collect::<Vec<_>>());
                write!(formatter, "takes TLS {}, and the client offers {}", Listed(&wanted), Listed(&found))
            }
            Self::Alpn { wanted, found } => {
                write!(
                    formatter,
                    "takes ALPN {}, and the client offers {}",
                    Listed(&bytes(wanted)),
                    Listed(&bytes(found))
                )
            }
            Self::Path { wanted, found } => write!(formatter, "takes path {wanted}, not {}", found.escape_debug()),
            Self::Method { wanted, found } => write!(formatter, "takes method {}, not {found}", Listed(wanted)),
            Self::Header { name, wanted, found: Some(found) } => {
                let (wanted, found) = (wanted.as_bytes().escape_ascii(), found.as_bytes().escape_ascii());
                write!(formatter, "takes header {name}: {wanted}, not {found}")
            }
            Self::Header { name, wanted, found: None } => {
                write!(formatter, "takes header {name}: {}, which is absent", wanted.as_bytes().escape_ascii())
            }
        }
    }
}

fn version(version: &TlsVersion) -> &'static str {
    match version {
        TlsVersion::Tls12 => "1.2",
        TlsVersion::Tls13 => "1.3",
    }
}

/// Peers choose these bytes, so none is shown that could move a terminal's cursor.
fn bytes(names: &[Box<[u8]>]) -> Vec<std::slice::EscapeAscii<'_>> {
    names.iter().map(|name| name.escape_ascii()).collect()
}

/// Several values with commas between, or `none`.
struct Listed<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Listed<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, value) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(formatter, "{comma}{value}")?;
        }
        if self.0.is_empty() { formatter.write_str("none") } else { Ok(()) }
    }
}
