//! Stories about which rule takes what; the parts that they share are here.

mod connection;
mod explain;
mod oracle;
mod request;
mod unreachable;

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method};

use super::*;
use crate::head::Headers;
use crate::name::{HostName, HostPattern, PathPattern};
use crate::net::AddressSet;

/// A plain HTTP rule that asks for nothing, changed by a closure. Its place and name come from [`rules`].
fn rule(change: impl FnOnce(&mut Rule)) -> Rule {
    let mut rule = Rule {
        id: RouteId(0),
        name: "".into(),
        priority: 0,
        domains: Vec::new(),
        client_ips: None,
        tls_versions: Vec::new(),
        alpn: Vec::new(),
        path: None,
        methods: Vec::new(),
        headers: Vec::new(),
        tls: TlsHandling::Plain,
        protocol: Protocol::Http,
    };
    change(&mut rule);
    rule
}

fn passthrough(hosts: &[&str]) -> Rule {
    rule(|rule| {
        rule.tls = TlsHandling::Passthrough;
        rule.domains = patterns(hosts);
    })
}

fn terminate(hosts: &[&str]) -> Rule {
    rule(|rule| {
        rule.tls = TlsHandling::Terminate;
        rule.domains = patterns(hosts);
    })
}

fn plain(hosts: &[&str]) -> Rule {
    rule(|rule| rule.domains = patterns(hosts))
}

fn tcp(tls: TlsHandling) -> Rule {
    rule(|rule| {
        rule.tls = tls;
        rule.protocol = Protocol::Tcp;
    })
}

impl Rule {
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn path(self, path: &str) -> Self {
        self.with(|rule| rule.path = Some(PathPattern::parse(path).unwrap()))
    }

    fn priority(self, priority: i32) -> Self {
        self.with(|rule| rule.priority = priority)
    }

    fn clients(self, networks: &[&str]) -> Self {
        self.with(|rule| rule.client_ips = Some(clients(networks)))
    }

    fn alpn(self, names: &[&str]) -> Self {
        self.with(|rule| rule.alpn = alpn(names))
    }

    fn methods(self, methods: &[Method]) -> Self {
        self.with(|rule| rule.methods = methods.to_vec())
    }

    fn header(self, name: &'static str, value: &'static str) -> Self {
        self.with(|rule| rule.headers.push((HeaderName::from_static(name), HeaderValue::from_static(value))))
    }
}

/// Numbers the rules in file order and names them `r0`, `r1`, ...
fn rules(rules: impl IntoIterator<Item = Rule>) -> Vec<Arc<Rule>> {
    let numbered = rules.into_iter().zip(0..).map(|(rule, place)| {
        Arc::new(rule.with(|rule| {
            rule.id = RouteId(place);
            rule.name = format!("r{place}").into();
        }))
    });
    numbered.collect()
}

fn table(list: impl IntoIterator<Item = Rule>) -> Table {
    Table::new(rules(list))
}

fn host(name: &str) -> HostName {
    HostName::parse(name).unwrap()
}

fn patterns(texts: &[&str]) -> Vec<HostPattern> {
    texts.iter().map(|text| HostPattern::parse(text).unwrap()).collect()
}

fn clients(networks: &[&str]) -> AddressSet {
    AddressSet::new(networks.iter().map(|text| text.parse().unwrap()))
}

fn alpn(names: &[&str]) -> Vec<Box<[u8]>> {
    names.iter().map(|name| name.as_bytes().into()).collect()
}

/// What a client does, owned, so that a test can write it in one line.
#[derive(Clone, Debug)]
struct Client {
    address: &'static str,
    /// Whether it sends a ClientHello, with what is below.
    tls: bool,
    name: Option<HostName>,
    alpn: Vec<Box<[u8]>>,
    versions: Vec<TlsVersion>,
    speaks_http: bool,
}

impl Client {
    /// TLS 1.2 and 1.3, without ALPN; an empty name is no SNI.
    fn tls(name: &str) -> Self {
        let versions = vec![TlsVersion::Tls12, TlsVersion::Tls13];
        Self { tls: true, name: (!name.is_empty()).then(|| host(name)), versions, ..Self::bytes() }
    }

    fn http() -> Self {
        Self { speaks_http: true, ..Self::bytes() }
    }

    fn bytes() -> Self {
        let (alpn, versions) = (Vec::new(), Vec::new());
        Self { address: "192.0.2.1", tls: false, name: None, alpn, versions, speaks_http: false }
    }

    fn offering(mut self, names: &[&str]) -> Self {
        self.alpn = alpn(names);
        self
    }

    fn from(mut self, address: &'static str) -> Self {
        self.address = address;
        self
    }

    fn facts(&self) -> ConnectionFacts<'_> {
        let (server_name, alpn, versions) = (self.name.as_ref(), &*self.alpn, &*self.versions);
        let tls = self.tls.then_some(TlsFacts { server_name, alpn, versions });
        ConnectionFacts { client: self.address.parse().unwrap(), tls, speaks_http: self.speaks_http }
    }
}

/// A request, owned.
#[derive(Clone, Debug)]
struct Request {
    host: Option<HostName>,
    path: String,
    method: Method,
    headers: Headers,
}

impl Request {
    /// A GET; an empty host is none.
    fn to(name: &str, path: &str) -> Self {
        let host = (!name.is_empty()).then(|| host(name));
        Self { host, path: path.into(), method: Method::GET, headers: Headers::new() }
    }

    fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    fn facts(&self) -> RequestFacts<'_> {
        let Self { host, path, method, headers } = self;
        RequestFacts { host: host.as_ref(), path, method, headers }
    }
}
