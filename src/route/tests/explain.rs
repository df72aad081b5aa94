use super::*;

fn told(table: &Table, client: &Client, request: Option<&Request>) -> Vec<String> {
    let (connection, request) = (client.facts(), request.map(Request::facts));
    let verdicts = super::super::explain(table, &connection, request.as_ref());
    let line =
        |verdict: &Verdict<'_>| format!("{}{} {}", if verdict.taken { "*" } else { "" }, verdict.route, verdict.reason);
    verdicts.iter().map(line).collect()
}

#[test]
fn every_route_of_an_address_tells_why_or_why_not() {
    let table = table([
        plain(&["shop.example.com", "*.example.org"]),
        passthrough(&["shop.example.com"]).with(|rule| rule.tls_versions = vec![TlsVersion::Tls13]).priority(9),
        terminate(&["www.example.com"]).priority(8),
        terminate(&["shop.example.com"]).clients(&["10.0.0.0/8"]).priority(7),
        terminate(&["shop.example.com"]).alpn(&["h2"]).priority(6),
        terminate(&["shop.example.com"]).path("/api/{id}").priority(5),
        terminate(&["shop.example.com"]).methods(&[Method::PUT, Method::POST]).priority(4),
        terminate(&["shop.example.com"]).header("x-canary", "1").priority(3),
        terminate(&["shop.example.com"]).priority(2),
        terminate(&["**.com"]).priority(1),
    ]);
    let mut client = Client::tls("shop.example.com").offering(&["http/1.1", "\n"]);
    client.versions = vec![TlsVersion::Tls12];
    let expected = [
        "r1 takes TLS 1.3, and the client offers 1.2",
        "r2 takes host www.example.com, not shop.example.com",
        "r3 takes clients from 10.0.0.0-10.255.255.255, not 192.0.2.1",
        "r4 takes ALPN h2, and the client offers http/1.1, \\n",
        "r5 takes path /api/{id}, not /",
        "r6 takes method PUT, POST, not GET",
        "r7 takes header x-canary: 1, which is absent",
        "*r8 takes it",
        "r9 would take it, but route r8 goes before it",
        "r0 takes plain connections, and this one is TLS",
    ];
    assert_eq!(told(&table, &client, Some(&Request::to("shop.example.com", "/"))), expected);
    let canary = Request::to("shop.example.com", "/").header("x-canary", "0");
    assert_eq!(told(&table, &client, Some(&canary))[6], "r7 takes header x-canary: 1, not 0");
}

#[test]
fn without_a_request_an_http_route_leads() {
    let table = table([terminate(&["a.com"]).path("/api/"), terminate(&["a.com"]), passthrough(&["a.com"])]);
    let expected = [
        "*r0 takes the connection; ask with a URL which route takes a request",
        "r1 may take requests on it",
        "r2 would take it, but route r0 goes before it",
    ];
    assert_eq!(told(&table, &Client::tls("a.com"), None), expected);
}

#[test]
fn a_connection_that_is_passed_on_unread_has_no_requests() {
    let table = table([passthrough(&["**.com"]).priority(1), terminate(&["a.com"]).path("/x")]);
    let expected = ["*r0 takes it", "r1 would take it, but route r0 goes before it"];
    assert_eq!(told(&table, &Client::tls("a.com"), Some(&Request::to("a.com", "/"))), expected);
}

#[test]
fn where_nothing_takes_it_each_route_tells_what_is_missing() {
    let named = tcp(TlsHandling::Plain).with(|rule| rule.domains = patterns(&["a.com"]));
    let table = table([terminate(&["a.com", "b.com"]), plain(&["a.com"]), named]);
    let expected = [
        "r0 takes host a.com, b.com, and none is named",
        "r1 takes plain connections, and this one is TLS",
        "r2 takes plain connections, and this one is TLS",
    ];
    assert_eq!(told(&table, &Client::tls(""), Some(&Request::to("a.com", "/"))), expected);
    let expected = [
        "r0 takes TLS, and the connection is plain",
        "r1 takes HTTP, and the connection does not begin with a request",
        "r2 asks for a host, which a plain tcp connection never names",
    ];
    assert_eq!(told(&table, &Client::bytes(), None), expected);
    let stranger = told(&table, &Client::http(), Some(&Request::to("c.com", "/")));
    assert_eq!(stranger[1], "r1 takes host a.com, not c.com");
}
