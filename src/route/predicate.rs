//! What a rule asks for, apart from the host, and whether it is there: one place for matching and for explaining.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue, Method};

use super::{ConnectionFacts, Protocol, RequestFacts, Rule, TlsFacts, TlsHandling, TlsVersion};
use crate::name::{HostName, HostPattern, PathPattern};
use crate::net::AddressSet;

/// The first thing that a rule asks for and does not find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch<'a> {
    /// It takes TLS connections, and this one is plain.
    Plain,
    /// It takes plain connections, and this one is TLS.
    Tls,
    /// It takes HTTP, and the plain bytes do not begin a request.
    NotHttp,
    /// It asks for a host, which plain bytes never name.
    Nameless,
    /// The host.
    Host {
        /// One of these is asked for.
        wanted: &'a [HostPattern],
        /// SNI or host of the request.
        found: Option<&'a HostName>,
    },
    /// The client's address.
    Client {
        /// In this set.
        wanted: &'a AddressSet,
        /// The client's.
        found: IpAddr,
    },
    /// The TLS versions.
    TlsVersion {
        /// One of these is asked for.
        wanted: &'a [TlsVersion],
        /// The client's offer.
        found: &'a [TlsVersion],
    },
    /// The ALPN protocols.
    Alpn {
        /// One of these is asked for.
        wanted: &'a [Box<[u8]>],
        /// The client's offer.
        found: &'a [Box<[u8]>],
    },
    /// The path.
    Path {
        /// The pattern.
        wanted: &'a PathPattern,
        /// The request's.
        found: &'a str,
    },
    /// The method.
    Method {
        /// One of these is asked for.
        wanted: &'a [Method],
        /// The request's.
        found: &'a Method,
    },
    /// A header.
    Header {
        /// Its name.
        name: &'a HeaderName,
        /// Its value, as asked for.
        wanted: &'a HeaderValue,
        /// The first that the request has.
        found: Option<&'a HeaderValue>,
    },
}

/// Whether a rule takes requests, and not connections.
pub(super) fn by_request(rule: &Rule) -> bool {
    match (rule.tls, rule.protocol) {
        (TlsHandling::Passthrough, _) | (TlsHandling::Plain | TlsHandling::Terminate, Protocol::Tcp) => false,
        (TlsHandling::Plain | TlsHandling::Terminate, Protocol::Http) => true,
    }
}

/// Whether a rule's predicates on the connection hold, apart from the host.
pub(super) fn connection<'a>(rule: &'a Rule, facts: &ConnectionFacts<'a>) -> Result<(), Mismatch<'a>> {
    client(rule, facts.client)?;
    let (versions, alpn) = facts.tls.map_or((&[][..], &[][..]), |TlsFacts { versions, alpn, .. }| (versions, alpn));
    if !meets(&rule.tls_versions, versions) {
        return Err(Mismatch::TlsVersion { wanted: &rule.tls_versions, found: versions });
    }
    if !meets(&rule.alpn, alpn) {
        return Err(Mismatch::Alpn { wanted: &rule.alpn, found: alpn });
    }
    Ok(())
}

/// Whether a rule's predicate on the client's address holds.
pub(super) fn client(rule: &Rule, found: IpAddr) -> Result<(), Mismatch<'_>> {
    match &rule.client_ips {
        Some(wanted) if !wanted.contains(found) => Err(Mismatch::Client { wanted, found }),
        Some(_) | None => Ok(()),
    }
}

/// Whether a rule's predicates on a request hold, apart from the host.
///
/// Methods are compared as they are: `GET` does not imply `HEAD`; and no method asked for does not imply `CONNECT`. Header values are compared byte by byte, without the
/// blanks around them; of a header that is there several times, one value must be equal.
pub(super) fn request<'a>(rule: &'a Rule, facts: &RequestFacts<'a>) -> Result<(), Mismatch<'a>> {
    if let Some(wanted) = &rule.path
        && !wanted.matches(facts.path)
    {
        return Err(Mismatch::Path { wanted, found: facts.path });
    }
    if !takes_method(&rule.methods, facts.method) {
        return Err(Mismatch::Method { wanted: &rule.methods, found: facts.method });
    }
    for (name, wanted) in &rule.headers {
        if !facts.headers.get_all(name).any(|found| same_value(found, wanted)) {
            return Err(Mismatch::Header { name, wanted, found: facts.headers.get(name) });
        }
    }
    Ok(())
}

/// Whether one of the methods is asked for; none means all but `CONNECT`, whose tunnels a rule has to name.
pub(super) fn takes_method(wanted: &[Method], found: &Method) -> bool {
    if wanted.is_empty() { *found != Method::CONNECT } else { wanted.contains(found) }
}

/// Whether two header values are equal, without the blanks around them (RFC 9110 section 5.5).
pub(super) fn same_value(one: &HeaderValue, other: &HeaderValue) -> bool {
    one.as_bytes().trim_ascii() == other.as_bytes().trim_ascii()
}

/// Whether nothing is asked for, or something that is offered.
fn meets<T: PartialEq>(wanted: &[T], offered: &[T]) -> bool {
    wanted.is_empty() || wanted.iter().any(|wanted| offered.contains(wanted))
}
