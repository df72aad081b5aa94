//! 100,000 routes with distinct hosts at one address: building the table, and asking it.

#![expect(clippy::unwrap_used, reason = "a benchmark writes its own input")]

use std::sync::Arc;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use http::Method;
use smartproxy::head::Headers;
use smartproxy::name::{HostName, HostPattern, PathPattern, normalize_path};
use smartproxy::route::{
    ConnectionFacts, Decision, Protocol, RequestFacts, RouteId, Rule, Table, TlsFacts, TlsHandling, TlsVersion,
    unreachable,
};

const ROUTES: u32 = 100_000;

/// Three of four routes have an exact host, one a wildcard; every tenth has two paths, so two rules.
const EXACT: &str = "h50001.shop50001.example.com";
const WILDCARD: &str = "any.h50000.shop50000.example.com";
const MISS: &str = "h1.shop1.example.org";

fn main() {
    divan::main();
}

fn rules() -> Vec<Arc<Rule>> {
    let rule = |id: u32| {
        let host = id - u32::from(id % 10 == 3);
        let star = if host.is_multiple_of(4) { "*." } else { "" };
        Arc::new(Rule {
            id: RouteId(id),
            name: format!("route-{id}").into(),
            priority: 0,
            domains: vec![HostPattern::parse(&format!("{star}h{host}.shop{host}.example.com")).unwrap()],
            client_ips: None,
            tls_versions: Vec::new(),
            alpn: Vec::new(),
            path: (host != id).then(|| PathPattern::parse("/api/").unwrap()),
            methods: Vec::new(),
            headers: Vec::new(),
            tls: TlsHandling::Terminate,
            protocol: Protocol::Http,
        })
    };
    (0..ROUTES).map(rule).collect()
}

#[divan::bench(sample_count = 10)]
fn build(bencher: Bencher) {
    let rules = rules();
    bencher.counter(ItemsCount::new(ROUTES)).with_inputs(|| rules.clone()).bench_values(Table::new);
}

#[divan::bench(sample_count = 10)]
fn find_unreachable(bencher: Bencher) {
    let rules = rules();
    let rules: Vec<&Rule> = rules.iter().map(|rule| &**rule).collect();
    bencher.counter(ItemsCount::new(ROUTES)).bench(|| unreachable(&rules));
}

/// One hello after the other, each with another name, so that the caches are as cold as they are in service.
#[divan::bench(sample_size = 1000, args = [EXACT, WILDCARD, MISS, "spread"])]
fn connection(bencher: Bencher, name: &str) {
    let table = Table::new(rules());
    let names = names(name);
    let alpn: [Box<[u8]>; 2] = [b"h2"[..].into(), b"http/1.1"[..].into()];
    let mut turn = names.iter().cycle();
    bencher.bench_local(|| {
        let tls = TlsFacts { server_name: turn.next(), alpn: &alpn, versions: &[TlsVersion::Tls12, TlsVersion::Tls13] };
        table.connection(black_box(&facts(Some(tls))))
    });
    let tls = TlsFacts { server_name: names.first(), alpn: &alpn, versions: &[] };
    assert_eq!(table.connection(&facts(Some(tls))) == Decision::NoRoute, name == MISS);
}

/// The same for requests, host by host.
#[divan::bench(sample_size = 1000, args = [EXACT, WILDCARD, MISS, "spread"])]
fn request(bencher: Bencher, name: &str) {
    let table = Table::new(rules());
    let names = names(name);
    let headers = Headers::new();
    let connection = facts(Some(TlsFacts { server_name: None, alpn: &[], versions: &[] }));
    let mut turn = names.iter().cycle();
    bencher.bench_local(|| {
        let request =
            RequestFacts { host: turn.next(), path: "/api/v1/users", method: &Method::GET, headers: &headers };
        table.request(black_box(&connection), black_box(&request))
    });
}

#[divan::bench(sample_size = 1000, args = ["/api/v1/users/12345", "/caf%c3%a9/./menu%2Fx"])]
fn normal_path(path: &str) -> bool {
    normalize_path(black_box(path)).is_ok()
}

fn names(name: &str) -> Vec<HostName> {
    let host = |text: &str| HostName::parse(text).unwrap();
    if name != "spread" {
        return vec![host(name)];
    }
    // A stride that is prime to the number of routes visits all of them in a scattered order.
    let scattered = (0..u64::from(ROUTES)).map(|turn| turn * 7919 % u64::from(ROUTES));
    let met = scattered.map(|id| id - u64::from(id % 10 == 3)).map(|host| match host.is_multiple_of(4) {
        true => format!("any.h{host}.shop{host}.example.com"),
        false => format!("h{host}.shop{host}.example.com"),
    });
    met.map(|name| host(&name)).collect()
}

fn facts(tls: Option<TlsFacts<'_>>) -> ConnectionFacts<'_> {
    ConnectionFacts { client: [192, 0, 2, 1].into(), tls, speaks_http: false }
}
