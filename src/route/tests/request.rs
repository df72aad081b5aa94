use super::*;

fn take(table: &Table, client: &Client, request: &Request) -> Option<u32> {
    table.request(&client.facts(), &request.facts()).map(|RouteId(id)| id)
}

#[test]
fn the_host_is_the_requests_and_not_the_sni() {
    let table = table([terminate(&["a.com"]), terminate(&["b.com"])]);
    assert_eq!(take(&table, &Client::tls("a.com"), &Request::to("b.com", "/")), Some(1));
    assert_eq!(take(&table, &Client::tls(""), &Request::to("a.com", "/")), Some(0));
    assert_eq!(take(&table, &Client::tls("a.com"), &Request::to("c.com", "/")), None);
}

#[test]
fn an_absent_host_meets_only_nameless_rules() {
    let table = table([plain(&["**.com"]), plain(&[]).path("/open/")]);
    assert_eq!(take(&table, &Client::http(), &Request::to("", "/open/x")), Some(1));
    assert_eq!(take(&table, &Client::http(), &Request::to("", "/")), None);
}

#[test]
fn a_request_meets_http_rules_of_its_connections_kind_only() {
    let table =
        table([passthrough(&[]), tcp(TlsHandling::Terminate), tcp(TlsHandling::Plain), plain(&[]), terminate(&[])]);
    assert_eq!(take(&table, &Client::tls("a.com"), &Request::to("a.com", "/")), Some(4));
    assert_eq!(take(&table, &Client::http(), &Request::to("a.com", "/")), Some(3));
}

#[test]
fn the_more_specific_path_takes_a_request_and_the_host_goes_before_it() {
    let table = table([
        plain(&[]).path("/api/v1/users"),
        plain(&["**.com"]).path("/api/"),
        plain(&["a.com"]),
        plain(&["a.com"]).path("/api/"),
        plain(&["a.com"]).path("/api/v1/"),
        plain(&["a.com"]).path("/api/v1/{id}"),
        plain(&["a.com"]).path("/api/v1/users"),
    ]);
    for (name, path, id) in [
        ("a.com", "/", 2),
        ("a.com", "/api", 2),
        ("a.com", "/api/", 3),
        ("a.com", "/api/v1/", 4),
        ("a.com", "/api/v1/x/y", 4),
        ("a.com", "/api/v1/x", 5),
        ("a.com", "/api/v1/users", 6),
        ("b.com", "/api/v1/users", 1),
        ("b.org", "/api/v1/users", 0),
    ] {
        assert_eq!(take(&table, &Client::http(), &Request::to(name, path)), Some(id), "{name} {path}");
    }
    assert_eq!(take(&table, &Client::http(), &Request::to("b.com", "/")), None);
}

#[test]
fn a_broad_host_of_a_higher_priority_goes_before_and_leaves_what_it_does_not_ask_for() {
    let table = table([plain(&["a.com"]), plain(&[]).path("/.well-known/").priority(10)]);
    assert_eq!(take(&table, &Client::http(), &Request::to("a.com", "/.well-known/x")), Some(1));
    assert_eq!(take(&table, &Client::http(), &Request::to("a.com", "/x")), Some(0));
}

#[test]
fn get_does_not_imply_head_and_methods_are_compared_as_they_are() {
    let table = table([plain(&[]).methods(&[Method::GET, Method::POST])]);
    let request = |method| Request::to("a.com", "/").method(method);
    assert_eq!(take(&table, &Client::http(), &request(Method::POST)), Some(0));
    assert_eq!(take(&table, &Client::http(), &request(Method::HEAD)), None);
    assert_eq!(take(&table, &Client::http(), &request(Method::from_bytes(b"get").unwrap())), None);
}

#[test]
fn a_tunnel_is_only_made_where_a_route_names_the_method() {
    let request = || Request::to("a.com", "").method(Method::CONNECT);
    assert_eq!(take(&table([plain(&[])]), &Client::http(), &request()), None);
    let both = table([plain(&[]).priority(1), plain(&[]).methods(&[Method::CONNECT])]);
    assert_eq!(take(&both, &Client::http(), &request()), Some(1));
}

#[test]
fn a_header_is_compared_exactly_without_the_blanks_around_it_and_one_of_several_is_enough() {
    let table = table([
        plain(&[]),
        plain(&[]).header("x-canary", " 1"),
        plain(&[]).header("x-canary", "1").header("x-user", "Ann"),
    ]);
    let request = || Request::to("a.com", "/");
    assert_eq!(take(&table, &Client::http(), &request().header("x-canary", "1")), Some(1));
    assert_eq!(take(&table, &Client::http(), &request().header("x-canary", "1 \t")), Some(1));
    assert_eq!(take(&table, &Client::http(), &request().header("x-canary", "0").header("x-canary", "1")), Some(1));
    assert_eq!(take(&table, &Client::http(), &request().header("x-canary", "1, 1")), Some(0));
    assert_eq!(take(&table, &Client::http(), &request()), Some(0));
    let both = request().header("x-canary", "1");
    assert_eq!(take(&table, &Client::http(), &both.clone().header("x-user", "Ann")), Some(2));
    assert_eq!(take(&table, &Client::http(), &both.header("x-user", "ann")), Some(1));
}

#[test]
fn the_predicates_of_the_connection_hold_for_each_request_too() {
    let table = table([terminate(&["a.com"]).clients(&["10.0.0.0/8"]), terminate(&["a.com"]).alpn(&["h2"])]);
    let request = Request::to("a.com", "/");
    assert_eq!(take(&table, &Client::tls("b.com"), &request), None);
    assert_eq!(take(&table, &Client::tls("b.com").from("10.0.0.1"), &request), Some(0));
    assert_eq!(take(&table, &Client::tls("b.com").offering(&["h2"]), &request), Some(1));
}

#[test]
fn a_path_in_disguise_takes_the_way_of_the_plain_one() {
    let table = table([plain(&[]).path("/"), plain(&[]).path("/public/"), plain(&[]).path("/public/admin/")]);
    for path in ["/public/admin/x", "/public%2Fadmin/x", "/public//admin/x", "/public/%61dmin\\x", "/public/./admin/x"]
    {
        let path = crate::name::normalize_path(path).unwrap();
        assert_eq!(take(&table, &Client::http(), &Request::to("a.com", &path)), Some(2), "{path}");
    }
}

#[test]
fn a_request_without_a_path_meets_rules_that_ask_for_none() {
    let table = table([plain(&[]), plain(&[]).path("/")]);
    assert_eq!(take(&table, &Client::http(), &Request::to("a.com", "").method(Method::OPTIONS)), Some(0));
}
