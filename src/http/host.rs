use std::fmt;
use std::sync::Arc;

use http::header::HOST;
use http::uri::Authority;
use http::{Method, Version};

use crate::head::Request;
use crate::name::HostName;

/// The host that a request is for: one, and the same wherever the request names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host(Option<Arc<Named>>);

#[derive(Debug, PartialEq, Eq)]
struct Named {
    /// As the client wrote it, with its port if it wrote one.
    authority: Authority,
    /// How much of it is the host; the port is behind it.
    host_bytes: usize,
    /// None if it is an address.
    name: Option<HostName>,
}

/// Why a request's host cannot be relied on (RFC 9112 section 3.2, RFC 9113 section 8.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHost {
    /// HTTP/1.1 or HTTP/2 without any.
    #[error("the request names no host")]
    Missing,
    /// More than one Host field.
    #[error("the request has more than one Host field")]
    Repeated,
    /// Not a host name or address with an optional port.
    #[error("the request's host is not valid")]
    Malformed,
    /// The target of the request and the Host field differ.
    #[error("the request names two different hosts")]
    Contradictory,
    /// A target that is no path; of `CONNECT` one that is no host with a port.
    #[error("the request's target is not in the form that its method asks for")]
    Target,
}

impl Host {
    /// Finds the host that a request is for.
    ///
    /// # Errors
    /// The client's: it named none, several, or none that is valid.
    pub fn of<B>(request: &Request<B>) -> Result<Self, InvalidHost> {
        Self::of_next(request, &Self::none())
    }

    /// [`Host::of`], for a request behind one for `last` on the same connection: most are for the same, and what has been
    /// found right once is not looked at again.
    ///
    /// # Errors
    /// As those of [`Host::of`].
    pub(super) fn of_next<B>(request: &Request<B>, last: &Self) -> Result<Self, InvalidHost> {
        let uri = request.uri();
        let path = uri.path();
        let sound = match *request.method() {
            // It names where the tunnel is to lead, and nothing else (RFC 9112 section 3.2.3, RFC 9113 section 8.5).
            Method::CONNECT => {
                path.is_empty() && uri.scheme().is_none() && uri.authority().is_some_and(|to| to.port_u16().is_some())
            }
            Method::OPTIONS if path == "*" => true,
            _ => path.starts_with('/'),
        };
        if !sound {
            return Err(InvalidHost::Target);
        }
        let mut fields = request.headers().get_all(HOST);
        let field = fields.next();
        if fields.next().is_some() {
            return Err(InvalidHost::Repeated);
        }
        let written = match (uri.authority(), field) {
            (Some(target), None) => Some(target.as_str().as_bytes()),
            (None, Some(field)) => Some(field.as_bytes()),
            (None, None) | (Some(_), Some(_)) => None,
        };
        if written.is_some() && written == last.authority().map(|authority| authority.as_str().as_bytes()) {
            return Ok(last.clone());
        }
        let field = match field {
            Some(value) if value.is_empty() => return Err(InvalidHost::Malformed),
            Some(value) => Some(Authority::try_from(value.as_bytes()).map_err(|_| InvalidHost::Malformed)?),
            None => None,
        };
        let authority = match (uri.authority().cloned(), field) {
            (Some(target), Some(field)) if !same(&target, &field) => return Err(InvalidHost::Contradictory),
            (Some(target), _) => Some(target),
            (None, Some(field)) => Some(field),
            (None, None) => None,
        };
        match authority {
            Some(authority) => Self::checked(authority),
            None if request.version() == Version::HTTP_10 => Ok(Self::none()),
            None => Err(InvalidHost::Missing),
        }
    }

    /// No host, for a request that is refused since it names none that could be relied on.
    pub(super) const fn none() -> Self {
        Self(None)
    }

    fn checked(authority: Authority) -> Result<Self, InvalidHost> {
        let text = authority.as_str();
        let port = text.get(authority.host().len()..).ok_or(InvalidHost::Malformed)?;
        let sound = match port.strip_prefix(':') {
            // `host:` is allowed, and means the scheme's port (RFC 3986 section 3.2.3).
            Some(digits) => digits.is_empty() || (authority.port_u16().is_some() && digits.len() <= 5),
            None => port.is_empty(),
        };
        if text.contains('@') || !sound {
            return Err(InvalidHost::Malformed);
        }
        let host = authority.host();
        let name = HostName::parse(host).ok();
        let is_address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).map_or_else(
            || host.parse::<std::net::Ipv4Addr>().is_ok(),
            |inner| inner.parse::<std::net::Ipv6Addr>().is_ok(),
        );
        if name.is_none() && !is_address {
            return Err(InvalidHost::Malformed);
        }
        let host_bytes = host.len();
        Ok(Self(Some(Arc::new(Named { authority, host_bytes, name }))))
    }

    /// The host with its port, as the client wrote it; `None` for an HTTP/1.0 request that names none.
    #[must_use]
    pub fn authority(&self) -> Option<&Authority> {
        self.0.as_ref().map(|named| &named.authority)
    }

    /// Whether it is the same in every letter, which equal hosts need not be.
    pub(super) fn is_spelled_as(&self, other: &Self) -> bool {
        self.authority().map(Authority::as_str) == other.authority().map(Authority::as_str)
    }

    /// The host as a name; `None` if it is an address.
    #[must_use]
    pub fn name(&self) -> Option<&HostName> {
        self.0.as_ref()?.name.as_ref()
    }

    /// The text for logs: without port, as the client wrote it.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        let named = self.0.as_ref()?;
        named.authority.as_str().get(..named.host_bytes)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.authority().map_or("-", Authority::as_str))
    }
}

/// Whether two spellings are one host: any case; no port is not the same as a port.
fn same(left: &Authority, right: &Authority) -> bool {
    left.as_str().eq_ignore_ascii_case(right.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, uri: &str, hosts: &[&str]) -> Request<()> {
        let mut request = http::Request::builder().version(version).uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(()).unwrap().into()
    }

    #[test]
    fn one_host_is_found_wherever_it_stands() {
        let of = |version, uri, hosts: &[&str]| Host::of(&request(version, uri, hosts)).unwrap().to_string();
        assert_eq!(of(Version::HTTP_11, "/", &["a.test:80"]), "a.test:80");
        assert_eq!(of(Version::HTTP_11, "http://a.test/", &["A.test"]), "a.test");
        assert_eq!(of(Version::HTTP_2, "https://a.test/", &[]), "a.test");
        assert_eq!(of(Version::HTTP_10, "/", &[]), "-");
        assert_eq!(of(Version::HTTP_11, "/", &["[::1]:8080"]), "[::1]:8080");
        assert_eq!(of(Version::HTTP_11, "/", &["127.0.0.1"]), "127.0.0.1");
    }

    #[test]
    fn the_host_before_makes_no_difference() {
        let requests = [
            request(Version::HTTP_11, "/", &["a.test"]),
            request(Version::HTTP_11, "/x", &["a.test"]),
            request(Version::HTTP_11, "/", &["A.test"]),
            request(Version::HTTP_11, "/", &["a.test:80"]),
            request(Version::HTTP_11, "/", &["a.test", "a.test"]),
            request(Version::HTTP_11, "/", &["a..test"]),
            request(Version::HTTP_11, "/", &[]),
            request(Version::HTTP_10, "/", &[]),
            request(Version::HTTP_11, "http://b.test/", &["a.test"]),
            request(Version::HTTP_11, "http://a.test/", &["a.test"]),
            request(Version::HTTP_2, "https://a.test/", &[]),
            request(Version::HTTP_11, "*", &["a.test"]),
        ];
        for last in &requests {
            let last = Host::of(last).unwrap_or_default();
            for next in &requests {
                let found = Host::of_next(next, &last);
                assert_eq!(found, Host::of(next), "{next:?} behind {last}");
                // Not only the same host, but as this client wrote it.
                let written = |host: Result<Host, InvalidHost>| host.map(|host| host.to_string());
                assert_eq!(written(found), written(Host::of(next)));
            }
        }
    }

    #[test]
    fn what_is_ambiguous_or_not_valid_is_refused() {
        let of = |uri, hosts: &[&str]| Host::of(&request(Version::HTTP_11, uri, hosts)).unwrap_err();
        assert_eq!(of("/", &[]), InvalidHost::Missing);
        assert_eq!(of("/", &["a.test", "a.test"]), InvalidHost::Repeated);
        assert_eq!(of("http://a.test/", &["b.test"]), InvalidHost::Contradictory);
        for malformed in ["", "a..b", "a,b", "u@a.test", "a.test:99999", "a.test:x", "*", "[::1", "a b", "a.test/x"] {
            assert_eq!(of("/", &[malformed]), InvalidHost::Malformed, "{malformed}");
        }
        assert_eq!(of("*", &["a.test"]), InvalidHost::Target);
    }
}
