use super::*;

fn decide(table: &Table, client: &Client) -> Decision {
    table.connection(&client.facts())
}

fn terminated(leading: u32) -> Decision {
    Decision::Terminate { leading: RouteId(leading), protocol: Protocol::Http }
}

fn plain_http(leading: u32) -> Decision {
    Decision::Plain { leading: RouteId(leading), protocol: Protocol::Http }
}

fn plain_tcp(leading: u32) -> Decision {
    Decision::Plain { leading: RouteId(leading), protocol: Protocol::Tcp }
}

fn passed(id: u32) -> Decision {
    Decision::Passthrough(RouteId(id))
}

#[test]
fn only_an_address_of_nameless_plain_tcp_is_routed_at_accept() {
    let sniffed = [
        tcp(TlsHandling::Plain).with(|rule| rule.domains = patterns(&["a.com"])),
        tcp(TlsHandling::Terminate),
        passthrough(&[]),
        plain(&[]),
    ];
    assert_eq!(table([tcp(TlsHandling::Plain).clients(&["10.0.0.0/8"])]).opening(), Listening::AtAccept);
    for other in sniffed {
        assert_eq!(table([other.clone()]).opening(), Listening::Sniff);
        assert_eq!(table([tcp(TlsHandling::Plain), other]).opening(), Listening::Sniff);
    }
}

#[test]
fn the_more_specific_host_takes_a_hello_whatever_the_order_of_the_file() {
    let table = table([
        passthrough(&[]),
        passthrough(&["**.com"]),
        passthrough(&["**.example.com"]),
        passthrough(&["*.example.com"]),
        passthrough(&["shop.example.com"]),
    ]);
    for (name, id) in [
        ("shop.example.com", 4),
        ("www.example.com", 3),
        ("a.b.example.com", 2),
        ("example.com", 1),
        ("com", 0),
        ("example.org", 0),
        ("", 0),
    ] {
        assert_eq!(decide(&table, &Client::tls(name)), passed(id), "{name}");
    }
}

#[test]
fn each_pattern_of_a_rule_is_as_specific_as_it_is() {
    let table = table([passthrough(&["shop.example.com", "**.com"]), passthrough(&["*.example.com"])]);
    assert_eq!(decide(&table, &Client::tls("shop.example.com")), passed(0));
    assert_eq!(decide(&table, &Client::tls("www.example.com")), passed(1));
    assert_eq!(decide(&table, &Client::tls("a.www.example.com")), passed(0));
}

#[test]
fn a_hello_without_a_name_meets_only_nameless_rules() {
    let named = || [passthrough(&["**.com"]), terminate(&["a.com"]).priority(5)];
    assert_eq!(decide(&table(named()), &Client::tls("")), Decision::NoRoute);
    let table = table(named().into_iter().chain([terminate(&[]).priority(-5)]));
    assert_eq!(decide(&table, &Client::tls("")), terminated(2));
}

#[test]
fn priority_goes_before_specificity_and_the_file_order_is_last() {
    let table = table([
        passthrough(&["a.com"]),
        passthrough(&["**.com"]).priority(1),
        passthrough(&["b.org"]),
        passthrough(&["b.org"]),
    ]);
    assert_eq!(decide(&table, &Client::tls("a.com")), passed(1));
    assert_eq!(decide(&table, &Client::tls("b.org")), passed(2));
}

#[test]
fn connection_predicates_narrow_a_rule_and_the_next_one_takes_the_rest() {
    let table = table([
        passthrough(&["a.com"]),
        passthrough(&["a.com"]).clients(&["10.0.0.0/8"]),
        passthrough(&["a.com"]).clients(&["10.1.0.0/16"]),
        passthrough(&["a.com"]).alpn(&["h2"]),
        passthrough(&["a.com"]).alpn(&["h2"]).clients(&["10.1.0.0/16"]),
    ]);
    let client = || Client::tls("a.com");
    assert_eq!(decide(&table, &client()), passed(0));
    assert_eq!(decide(&table, &client().from("10.2.0.1")), passed(1));
    assert_eq!(decide(&table, &client().from("10.1.0.1")), passed(2));
    assert_eq!(decide(&table, &client().from("::ffff:10.1.0.1")), passed(2));
    assert_eq!(decide(&table, &client().offering(&["http/1.1", "h2"])), passed(3));
    assert_eq!(decide(&table, &client().offering(&["H2", "h2c"])), passed(0));
    assert_eq!(decide(&table, &client().offering(&["h2"]).from("10.1.0.1")), passed(4));
}

#[test]
fn a_rule_for_one_tls_version_takes_a_client_that_offers_it_among_others() {
    let only_13 = passthrough(&[]).with(|rule| rule.tls_versions = vec![TlsVersion::Tls13]);
    let table = table([only_13]);
    let mut client = Client::tls("a.com");
    assert_eq!(decide(&table, &client), passed(0));
    client.versions = vec![TlsVersion::Tls12];
    assert_eq!(decide(&table, &client), Decision::NoRoute);
    client.versions.clear();
    assert_eq!(decide(&table, &client), Decision::NoRoute);
}

#[test]
fn passthrough_and_terminate_share_an_address_by_rank() {
    let table = table([
        passthrough(&["**.example.com"]),
        terminate(&["shop.example.com"]).path("/api/"),
        tcp(TlsHandling::Terminate).with(|rule| rule.domains = patterns(&["mail.example.com"])),
    ]);
    assert_eq!(decide(&table, &Client::tls("shop.example.com")), terminated(1));
    assert_eq!(decide(&table, &Client::tls("www.example.com")), passed(0));
    let mail = Decision::Terminate { leading: RouteId(2), protocol: Protocol::Tcp };
    assert_eq!(decide(&table, &Client::tls("mail.example.com")), mail);
    assert_eq!(decide(&table, &Client::tls("example.org")), Decision::NoRoute);
}

#[test]
fn the_tls_settings_are_those_of_the_most_specific_host_not_of_the_first_rule() {
    let table = table([
        terminate(&[]).path("/.well-known/acme-challenge/").priority(100),
        terminate(&["*.example.com"]).priority(10),
        terminate(&["shop.example.com"]).clients(&["10.0.0.0/8"]),
        terminate(&["shop.example.com"]).path("/api/").priority(-1),
        tcp(TlsHandling::Terminate).with(|rule| rule.domains = patterns(&["shop.example.com"])),
    ]);
    assert_eq!(decide(&table, &Client::tls("shop.example.com").from("10.0.0.1")), terminated(2));
    assert_eq!(decide(&table, &Client::tls("shop.example.com")), terminated(3));
    assert_eq!(decide(&table, &Client::tls("www.example.com")), terminated(1));
    assert_eq!(decide(&table, &Client::tls("example.org")), terminated(0));
    assert_eq!(decide(&table, &Client::tls("")), terminated(0));
}

#[test]
fn tls_and_plain_rules_never_take_each_others_connections() {
    let plain_only = table([plain(&[]), tcp(TlsHandling::Plain)]);
    assert_eq!(decide(&plain_only, &Client::tls("a.com")), Decision::NoRoute);
    let tls_only = table([passthrough(&[]), terminate(&[]), tcp(TlsHandling::Terminate)]);
    assert_eq!(decide(&tls_only, &Client::http()), Decision::NoRoute);
    assert_eq!(decide(&tls_only, &Client::bytes()), Decision::NoRoute);
}

#[test]
fn plain_http_goes_to_http_rules_and_other_bytes_to_tcp_rules() {
    let both = table([tcp(TlsHandling::Plain), plain(&["a.com"]), plain(&[])]);
    assert_eq!(decide(&both, &Client::http()), plain_http(2));
    assert_eq!(decide(&both, &Client::bytes()), plain_tcp(0));
    assert_eq!(decide(&table([plain(&["a.com"])]), &Client::http()), plain_http(0));
    assert_eq!(decide(&table([plain(&[])]), &Client::bytes()), Decision::NoRoute);
    assert_eq!(decide(&table([tcp(TlsHandling::Plain)]), &Client::http()), plain_tcp(0));
}

#[test]
fn a_plain_tcp_rule_takes_http_only_with_a_higher_priority_or_where_no_http_rule_admits_the_client() {
    let higher = table([plain(&[]), tcp(TlsHandling::Plain).priority(1)]);
    assert_eq!(decide(&higher, &Client::http()), plain_tcp(1));
    let apart = table([plain(&[]).clients(&["10.0.0.0/8"]), tcp(TlsHandling::Plain)]);
    assert_eq!(decide(&apart, &Client::http()), plain_tcp(1));
    assert_eq!(decide(&apart, &Client::http().from("10.0.0.1")), plain_http(0));
}

#[test]
fn plain_tcp_rules_are_told_apart_by_client_and_never_by_what_they_cannot_know() {
    let named = tcp(TlsHandling::Plain).with(|rule| rule.domains = patterns(&["a.com"]));
    let table = table([
        named,
        tcp(TlsHandling::Plain).alpn(&["h2"]),
        tcp(TlsHandling::Plain).clients(&["10.0.0.0/8"]),
        tcp(TlsHandling::Plain).clients(&["10.1.0.0/16"]),
        tcp(TlsHandling::Plain).clients(&["10.1.0.0/16"]),
    ]);
    assert_eq!(decide(&table, &Client::bytes().from("10.1.0.1")), plain_tcp(3));
    assert_eq!(decide(&table, &Client::bytes().from("10.2.0.1")), plain_tcp(2));
    assert_eq!(decide(&table, &Client::bytes()), Decision::NoRoute);
}

#[test]
fn an_empty_table_takes_nothing() {
    for client in [Client::tls("a.com"), Client::http(), Client::bytes()] {
        assert_eq!(decide(&table([]), &client), Decision::NoRoute);
    }
}
