use super::*;

/// The pairs of a list of rules.
fn pairs(list: impl IntoIterator<Item = Rule>) -> Vec<(u32, u32)> {
    let list = rules(list);
    let list: Vec<&Rule> = list.iter().map(|rule| &**rule).collect();
    super::super::unreachable(&list).into_iter().map(|(RouteId(rule), RouteId(by))| (rule, by)).collect()
}

#[test]
fn a_twin_later_in_the_file_is_unreachable() {
    assert_eq!(pairs([plain(&["a.com"]), plain(&["a.com"])]), [(1, 0)]);
    assert_eq!(pairs([plain(&[]), plain(&[]), plain(&[])]), [(1, 0), (2, 0)]);
    assert_eq!(pairs([plain(&[]).path("/{a}/"), plain(&[]).path("/{b}/")]), [(1, 0)]);
}

#[test]
fn a_broader_rule_shadows_only_from_above() {
    assert_eq!(pairs([plain(&[]), plain(&["a.com"])]), []);
    assert_eq!(pairs([plain(&["a.com"]), plain(&[]).priority(1)]), [(0, 1)]);
    assert_eq!(pairs([plain(&["x.a.com"]), plain(&["*.a.com"]).priority(1)]), [(0, 1)]);
    assert_eq!(pairs([plain(&["**.x.a.com"]), plain(&["**.a.com"]).priority(1)]), [(0, 1)]);
    assert_eq!(pairs([plain(&["*.x.a.com"]), plain(&["**.a.com"]).priority(1)]), [(0, 1)]);
    assert_eq!(pairs([plain(&["**.a.com"]), plain(&["*.a.com"]).priority(1)]), []);
}

#[test]
fn one_host_left_makes_a_rule_reachable() {
    assert_eq!(pairs([plain(&["a.com"]), plain(&["a.com", "b.com"])]), []);
    assert_eq!(pairs([plain(&["a.com"]), plain(&["b.com"]), plain(&["b.com", "a.com"])]), [(2, 1)]);
    assert_eq!(pairs([plain(&["a.com", "*.a.com", "a.com"])]), []);
}

#[test]
fn a_rule_that_asks_for_more_leaves_the_rest() {
    let broad = || plain(&["a.com"]).path("/api/");
    let above = |rule: Rule| pairs([broad(), rule.priority(1)]);
    assert_eq!(above(plain(&["a.com"])), [(0, 1)]);
    assert_eq!(above(plain(&["a.com"]).path("/")), [(0, 1)]);
    assert_eq!(above(plain(&["a.com"]).path("/api/v1/")), []);
    assert_eq!(above(plain(&["a.com"]).methods(&[Method::GET])), []);
    assert_eq!(pairs([plain(&[]).methods(&[Method::CONNECT]), plain(&[]).priority(1)]), []);
    assert_eq!(above(plain(&["a.com"]).header("x-canary", "1")), []);
    assert_eq!(above(plain(&["a.com"]).clients(&["10.0.0.0/8"])), []);
    let narrow = plain(&[]).methods(&[Method::GET]).header("x-a", "1").header("x-b", "2").clients(&["10.1.0.0/16"]);
    let wide = plain(&[]).methods(&[Method::GET, Method::PUT]).header("x-b", "2 ").clients(&["10.0.0.0/8"]);
    assert_eq!(pairs([narrow, wide.priority(1)]), [(0, 1)]);
}

#[test]
fn tls_and_plain_never_shadow_each_other() {
    assert_eq!(pairs([terminate(&[]).priority(1), plain(&[]), passthrough(&[]), tcp(TlsHandling::Plain)]), [(2, 0)]);
}

#[test]
fn a_connection_is_decided_without_a_look_at_requests() {
    // The path is not known when the hello is routed, so the second rule never gets one.
    assert_eq!(pairs([terminate(&["a.com"]).path("/api/"), passthrough(&["a.com"])]), [(1, 0)]);
    let mail = tcp(TlsHandling::Terminate).with(|rule| rule.domains = patterns(&["a.com"]));
    assert_eq!(pairs([terminate(&["a.com"]).path("/api/"), mail]), [(1, 0)]);
    // The other way round a request for the host may still come over a connection with another name.
    assert_eq!(pairs([passthrough(&["a.com"]).priority(1), terminate(&["a.com"])]), []);
}

#[test]
fn what_takes_every_connection_leaves_no_requests() {
    let named = || [terminate(&["a.com"]), terminate(&["b.com"]).priority(1)];
    let with = |rule: Rule| pairs(named().into_iter().chain([rule]));
    assert_eq!(with(passthrough(&[]).priority(2)), [(0, 2), (1, 2)]);
    assert_eq!(with(tcp(TlsHandling::Terminate).priority(2)), [(0, 2), (1, 2)]);
    assert_eq!(with(passthrough(&[])), []);
    assert_eq!(with(passthrough(&[]).priority(2).alpn(&["h2"])), []);
    assert_eq!(pairs([plain(&["a.com"]), tcp(TlsHandling::Plain).priority(1)]), [(0, 1)]);
    assert_eq!(pairs([tcp(TlsHandling::Plain), plain(&["a.com"])]), []);
}

#[test]
fn a_hundred_thousand_hosts_are_compared_with_their_own_candidates_only() {
    // Quadratic work would take minutes here.
    let hosts = (0..100_000).map(|number| plain(&[&format!("h{number}.example.com")]));
    let wildcard = plain(&["*.example.com"]).clients(&["10.0.0.0/8"]).priority(1);
    assert_eq!(pairs(hosts.chain([wildcard, plain(&["h7.example.com"])])), [(100_001, 7)]);
}
