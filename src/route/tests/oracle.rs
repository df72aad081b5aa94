//! Random small tables against a reading of the rules that looks at every one of them.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::route::predicate;

const HOSTS: [&str; 7] = ["a.com", "*.a.com", "**.a.com", "b.a.com", "**.b.a.com", "**.com", "c.org"];
const NAMES: [&str; 7] = ["a.com", "b.a.com", "c.b.a.com", "x.com", "c.org", "com", ""];
const PATTERNS: [&str; 7] = ["/", "/a", "/a/", "/{x}", "/a/{x}", "/{*rest}", "/{x}/b"];
const PATHS: [&str; 5] = ["/", "/a", "/a/", "/a/b", "/c"];
const NETWORKS: [&str; 4] = ["10.0.0.0/8", "10.1.0.0/16", "10.1.0.0/17", "::/0"];
const CLIENTS: [&str; 4] = ["10.0.0.1", "10.1.0.1", "10.1.200.1", "2001:db8::1"];

/// Mostly nothing, so that most rules hold often.
fn some<T: Clone + std::fmt::Debug + 'static>(values: &'static [T], count: usize) -> BoxedStrategy<Vec<T>> {
    prop_oneof![2 => Just(Vec::new()), 1 => subsequence(values, 1..=count)].boxed()
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let kinds = vec![
        (TlsHandling::Plain, Protocol::Http),
        (TlsHandling::Plain, Protocol::Tcp),
        (TlsHandling::Passthrough, Protocol::Http),
        (TlsHandling::Terminate, Protocol::Http),
        (TlsHandling::Terminate, Protocol::Http),
        (TlsHandling::Terminate, Protocol::Tcp),
    ];
    let connection = (some(&HOSTS, 3), some(&NETWORKS, 2), some(&["h2", "http/1.1"], 2));
    let request = (some(&PATTERNS, 1), some(&[Method::GET, Method::PUT], 2), some(&[("x-a", "1"), ("x-b", "1")], 2));
    let versions = some(&[TlsVersion::Tls12, TlsVersion::Tls13], 2);
    (select(kinds), -1..=1, connection, request, versions).prop_map(
        |((tls, protocol), priority, (hosts, networks, offers), (path, methods, headers), versions)| {
            rule(|rule| {
                (rule.tls, rule.protocol, rule.priority) = (tls, protocol, priority);
                rule.domains = patterns(&hosts);
                rule.client_ips = (!networks.is_empty()).then(|| clients(&networks));
                rule.alpn = alpn(&offers);
                rule.tls_versions = versions;
                rule.path = path.first().map(|path| PathPattern::parse(path).unwrap());
                rule.methods = methods;
                rule.headers =
                    headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            })
        },
    )
}

fn any_client() -> impl Strategy<Value = Client> {
    let hello = (select(&NAMES[..]), some(&["h2", "http/1.1"], 2), some(&[TlsVersion::Tls12, TlsVersion::Tls13], 2));
    let opening = prop_oneof![
        3 => hello.prop_map(|(name, offers, versions)| Client { versions, ..Client::tls(name).offering(&offers) }),
        2 => Just(Client::http()),
        1 => Just(Client::bytes()),
    ];
    (opening, select(&CLIENTS[..])).prop_map(|(client, address)| client.from(address))
}

fn any_request() -> impl Strategy<Value = Request> {
    let method = select(&[Method::GET, Method::PUT, Method::HEAD][..]);
    let headers = some(&["x-a", "x-b"], 2);
    (select(&NAMES[..]), select(&PATHS[..]), method, headers).prop_map(|(name, path, method, headers)| {
        let request = Request::to(name, path).method(method);
        headers.into_iter().fold(request, |request, name| request.header(name, "1"))
    })
}

/// How specific a rule is for a host; `None` if it asks for another.
fn rank(rule: &Rule, host: Option<&HostName>) -> Option<impl Ord + use<>> {
    let of = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(_) => (3, 0),
        HostPattern::OneLabel(_) => (2, 0),
        HostPattern::AnyLabels(name) => (1, name.as_str().len()),
    };
    let met = rule.domains.iter().filter(|pattern| host.is_some_and(|host| pattern.matches(host))).map(of).max();
    let host = met.or(rule.domains.is_empty().then_some((0, 0)))?;
    let lists =
        [rule.methods.is_empty(), rule.alpn.is_empty(), rule.tls_versions.is_empty(), rule.client_ips.is_none()];
    let asked = lists.iter().filter(|empty| !**empty).count() + rule.headers.len();
    let clients = rule.client_ips.as_ref().map_or(u128::MAX, AddressSet::size);
    let path = rule.path.as_ref().map(PathPattern::specificity);
    let narrow = std::cmp::Reverse((clients, rule.id));
    Some((rule.priority, host, path, asked, narrow))
}

/// The rule that goes first of those that hold, by looking at all.
fn first<'a>(list: &'a [Arc<Rule>], host: Option<&HostName>, holds: impl Fn(&Rule) -> bool) -> Option<&'a Rule> {
    let held = list.iter().map(|rule| &**rule).filter(|rule| holds(rule) && rank(rule, host).is_some());
    held.max_by_key(|rule| rank(rule, host))
}

fn decide(list: &[Arc<Rule>], facts: &ConnectionFacts<'_>) -> Decision {
    let holds = |rule: &Rule| predicate::connection(rule, facts).is_ok();
    let Some(tls) = facts.tls else { return decide_plain(list, facts) };
    match first(list, tls.server_name, |rule| rule.tls != TlsHandling::Plain && holds(rule)) {
        None => Decision::NoRoute,
        Some(rule) if rule.tls == TlsHandling::Passthrough => Decision::Passthrough(rule.id),
        Some(rule) if rule.protocol == Protocol::Tcp => {
            Decision::Terminate { leading: rule.id, protocol: Protocol::Tcp }
        }
        Some(_) => {
            let http = |rule: &Rule| (rule.tls, rule.protocol) == (TlsHandling::Terminate, Protocol::Http);
            // The host alone, then the order: a priority below all others is taken out of the comparison.
            let level = |rule: &Rule| {
                let host = rule.clone().with(|rule| (rule.priority, rule.path) = (0, None));
                let host = host.with(|rule| (rule.methods, rule.headers, rule.alpn) = Default::default());
                let host = host.with(|rule| (rule.tls_versions, rule.client_ips, rule.id) = (vec![], None, RouteId(0)));
                rank(&host, tls.server_name)
            };
            let highest = list.iter().filter(|rule| http(rule) && holds(rule)).filter_map(|rule| level(rule)).max();
            let leading = first(list, tls.server_name, |rule| http(rule) && holds(rule) && level(rule) == highest);
            Decision::Terminate { leading: leading.unwrap().id, protocol: Protocol::Http }
        }
    }
}

fn decide_plain(list: &[Arc<Rule>], facts: &ConnectionFacts<'_>) -> Decision {
    let admitting = |protocol| {
        let held = list.iter().filter(move |rule| (rule.tls, rule.protocol) == (TlsHandling::Plain, protocol));
        held.filter(|rule| predicate::connection(rule, facts).is_ok())
    };
    let http = admitting(Protocol::Http).filter(|_| facts.speaks_http);
    // Each under its best host, since none is known.
    let best = |rule: &Rule| {
        let hosts = rule.domains.iter().map(|pattern| host(&pattern.to_string().replace('*', "x"))).map(Some);
        hosts.chain([None]).filter_map(|host| rank(rule, host.as_ref())).max()
    };
    let http = http.max_by_key(|rule| (rule.priority, rule.domains.is_empty(), best(rule)));
    let tcp = admitting(Protocol::Tcp).filter(|rule| rule.domains.is_empty()).max_by_key(|rule| rank(rule, None));
    let leading = match (http, tcp) {
        (Some(http), Some(tcp)) => Some(if tcp.priority > http.priority { tcp } else { http }),
        (http, tcp) => http.or(tcp),
    };
    leading.map_or(Decision::NoRoute, |rule| Decision::Plain { leading: rule.id, protocol: rule.protocol })
}

fn answer(list: &[Arc<Rule>], connection: &ConnectionFacts<'_>, request: &RequestFacts<'_>) -> Option<RouteId> {
    let tls = if connection.tls.is_some() { TlsHandling::Terminate } else { TlsHandling::Plain };
    let holds = |rule: &Rule| {
        (rule.tls, rule.protocol) == (tls, Protocol::Http)
            && predicate::connection(rule, connection).is_ok()
            && predicate::request(rule, request).is_ok()
    };
    first(list, request.host, holds).map(|rule| rule.id)
}

/// The route that ends up with a request, or with the connection.
fn winner(table: &Table, connection: &ConnectionFacts<'_>, request: &RequestFacts<'_>) -> Option<RouteId> {
    match table.connection(connection) {
        Decision::NoRoute => None,
        Decision::Passthrough(id)
        | Decision::Terminate { leading: id, protocol: Protocol::Tcp }
        | Decision::Plain { leading: id, protocol: Protocol::Tcp } => Some(id),
        Decision::Terminate { .. } | Decision::Plain { .. } => table.request(connection, request),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn the_table_decides_as_one_who_looks_at_every_rule(
        list in prop::collection::vec(any_rule(), 0..9),
        visits in prop::collection::vec((any_client(), any_request()), 8),
    ) {
        let list = rules(list);
        let table = Table::new(list.clone());
        for (client, request) in &visits {
            let (connection, request) = (client.facts(), request.facts());
            prop_assert_eq!(table.connection(&connection), decide(&list, &connection));
            prop_assert_eq!(table.request(&connection, &request), answer(&list, &connection, &request));
        }
    }

    #[test]
    fn an_unreachable_rule_never_wins(
        list in prop::collection::vec(any_rule(), 0..9),
        visits in prop::collection::vec((any_client(), any_request()), 24),
    ) {
        let list = rules(list);
        let table = Table::new(list.clone());
        let dead = super::super::unreachable(&list.iter().map(|rule| &**rule).collect::<Vec<_>>());
        for (client, request) in &visits {
            let won = winner(&table, &client.facts(), &request.facts());
            prop_assert!(dead.iter().all(|(rule, by)| rule != by && Some(*rule) != won), "{dead:?} {won:?}");
        }
    }

    #[test]
    fn an_explanation_takes_what_the_table_takes_and_blames_nobody_else(
        list in prop::collection::vec(any_rule(), 0..9),
        client in any_client(),
        request in any_request(),
    ) {
        let list = rules(list);
        let table = Table::new(list.clone());
        let (connection, request) = (client.facts(), request.facts());
        let won = winner(&table, &connection, &request).map(|RouteId(id)| format!("r{id}"));
        let verdicts = super::super::explain(&table, &connection, Some(&request));
        prop_assert_eq!(verdicts.len(), list.len());
        let taken: Vec<_> = verdicts.iter().filter(|verdict| verdict.taken).map(|verdict| &*verdict.route).collect();
        prop_assert_eq!(taken, won.as_deref().into_iter().collect::<Vec<_>>());
        for verdict in &verdicts {
            prop_assert_eq!(verdict.taken, verdict.reason == Reason::Taken);
            if let Reason::Outranked { by } = &verdict.reason {
                prop_assert!(*by != verdict.route);
            }
        }
    }
}
