//! Who may do what at the operator's HTTP address.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::harness::{CERTIFICATES, End, Message, Peer, Proxy, Target, Way};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

const OTHER: &str = "fedcba9876543210fedcba9876543210";

/// One request to the admin address, on a connection of its own.
fn asked(mut peer: Peer, method: &str, path: &str, headers: &[(&str, &str)]) -> Message {
    let host = if headers.iter().any(|(name, _)| *name == "host") { "" } else { "host: localhost\r\n" };
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    peer.send(format!("{method} {path} HTTP/1.1\r\n{host}content-length: 0\r\n{headers}\r\n").as_bytes());
    peer.message()
}

fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Message {
    asked(Peer::connect(address), method, path, headers)
}

fn bearer(token: &str) -> (&'static str, String) {
    ("authorization", format!("Bearer {token}"))
}

/// The status of a request that shows a token.
fn shown(proxy: &Proxy, token: &str, method: &str, path: &str) -> u16 {
    let (name, value) = bearer(token);
    ask(proxy.admin(), method, path, &[(name, &value)]).status()
}

fn echoing(proxy: &Proxy) -> Peer {
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    client.send(b"in");
    client.expect(b"in");
    client
}

#[test]
fn the_token_opens_all_that_is_closed_and_changes_need_it_in_a_post_of_our_own() {
    let echo = Target::echo();
    let route = Way::Tcp.route("echo", "127.0.0.2", echo.address, "");
    let proxy = Proxy::start(&format!("admin.token = \"{TOKEN}\"\n{route}"));
    for path in ["/healthz", "/readyz"] {
        assert_eq!(ask(proxy.admin(), "GET", path, &[]).status(), 200, "{path}");
    }
    for path in ["/metrics", "/status", "/connections"] {
        let refused = ask(proxy.admin(), "GET", path, &[]);
        assert_eq!(
            (refused.status(), refused.field("www-authenticate")),
            (401, "Bearer realm=\"smartproxy\""),
            "{path}"
        );
        assert_eq!(shown(&proxy, OTHER, "GET", path), 401, "{path}");
        assert_eq!(shown(&proxy, TOKEN, "GET", path), 200, "{path}");
    }
    let client = echoing(&proxy);
    let kill = format!("/connections/{}/kill", proxy.connections()[0]["id"]);
    let (name, right) = bearer(TOKEN);
    let cookie = format!("token={TOKEN}");
    for (method, headers, status) in [
        ("POST", &[][..], 401),
        ("POST", &[("cookie", cookie.as_str())], 401),
        ("GET", &[(name, &right)], 405),
        ("POST", &[(name, &right), ("origin", "http://evil.example")], 403),
        ("POST", &[(name, &right), ("sec-fetch-site", "cross-site")], 403),
        ("POST", &[(name, &right), ("host", "evil.example")], 421),
    ] {
        assert_eq!(ask(proxy.admin(), method, &kill, headers).status(), status, "{method} with {headers:?}");
    }
    assert_eq!(proxy.connections().len(), 1, "nothing of that has killed it");
    let own = [(name, right.as_str()), ("origin", "http://localhost"), ("sec-fetch-site", "same-origin")];
    assert_eq!(ask(proxy.admin(), "POST", &kill, &own).status(), 200);
    assert_eq!(proxy.line_of(client.ends())["cause"], "killed");
    drop(client);
    assert_eq!(shown(&proxy, TOKEN, "POST", "/reload"), 200);
    let log = proxy.log_text();
    assert!(!log.contains(TOKEN) && !log.contains(OTHER), "a token is in the log: {log}");
    proxy.finish();
}

#[test]
fn metrics_can_be_left_open_beside_a_token() {
    let echo = Target::echo();
    let route = Way::Tcp.route("echo", "127.0.0.2", echo.address, "");
    let proxy = Proxy::start(&format!("admin.token = \"{TOKEN}\"\nadmin.public_metrics = true\n{route}"));
    assert_eq!(ask(proxy.admin(), "GET", "/metrics", &[("host", "proxy.internal")]).status(), 200);
    assert_eq!(ask(proxy.admin(), "GET", "/status", &[]).status(), 401);
    proxy.finish();
}

#[test]
fn a_reload_takes_another_token_and_a_file_that_holds_none_is_a_fault() {
    let echo = Target::echo();
    let route = Way::Tcp.route("echo", "127.0.0.2", echo.address, "");
    let mut proxy = Proxy::start(&format!("admin.token = \"{TOKEN}\"\n{route}"));
    let with_file = format!("admin.token_file = \"admin.token\"\n{route}");
    let refused = proxy.reload_refused(&with_file);
    assert!(
        refused.contains("smartproxy.toml:") && refused.contains("admin.token: the file does not exist"),
        "{refused}"
    );
    fs::write(proxy.path("admin.token"), "too short\n").unwrap();
    let refused = proxy.reload_refused(&with_file);
    assert!(refused.contains("a token holds letters") && !refused.contains("too short"), "{refused}");
    assert_eq!(shown(&proxy, TOKEN, "GET", "/status"), 200, "all is as it was");
    fs::write(proxy.path("admin.token"), format!("{OTHER}\n")).unwrap();
    proxy.reload(&with_file);
    assert_eq!(shown(&proxy, OTHER, "GET", "/status"), 200);
    assert_eq!(shown(&proxy, TOKEN, "GET", "/status"), 401);
    proxy.finish();
}

#[test]
fn who_shows_wrong_tokens_is_told_to_wait_and_others_are_not() {
    let echo = Target::echo();
    let route = Way::Tcp.route("echo", "127.0.0.2", echo.address, "");
    let proxy = Proxy::start(&format!("admin.token = \"{TOKEN}\"\n{route}"));
    let show = |from: &str, token: &str| {
        let (name, value) = bearer(token);
        asked(Peer::connect_from(from, proxy.admin()), "GET", "/status", &[(name, &value)])
    };
    // Ten at once; while the test runs, one more comes every three seconds.
    let statuses: Vec<_> = (0..60).map(|_| show("127.0.0.9", OTHER).status()).collect();
    assert!(statuses[..10].iter().all(|status| *status == 401), "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status == 429).count() > 20, "{statuses:?}");
    let limited = (0..60).map(|_| show("127.0.0.9", OTHER)).find(|answer| answer.status() == 429).unwrap();
    assert!((1..=4).contains(&limited.field("retry-after").parse::<u64>().unwrap()), "{limited:?}");
    assert_eq!(show("127.0.0.8", TOKEN).status(), 200);
    assert_eq!(ask(proxy.admin(), "GET", "/healthz", &[]).status(), 200);
    proxy.finish();
}

#[test]
fn a_flood_of_requests_is_told_to_wait_while_probes_and_clients_are_served() {
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::Tcp.route("echo", "127.0.0.2", echo.address, ""));
    let mut flood = Peer::connect_from("127.0.0.9", proxy.admin());
    let requests = 2_000;
    flood.send("GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(requests).as_bytes());
    let answers: Vec<_> = (0..requests).map(|_| flood.message()).collect();
    let limited: Vec<_> = answers.iter().filter(|answer| answer.status() == 429).collect();
    assert!(answers.len() - limited.len() >= 400, "{} of {requests} were limited", limited.len());
    assert!(!limited.is_empty(), "none was limited");
    assert!(limited.iter().all(|answer| answer.field("retry-after") == "1"));
    assert_eq!(asked(flood, "GET", "/healthz", &[]).status(), 200);
    assert_eq!(ask(proxy.admin(), "GET", "/status", &[]).status(), 200, "another address is not made to wait");
    let mut client = echoing(&proxy);
    client.finish();
    assert_eq!(client.end(), End::Whole);
    proxy.finish();
}

#[test]
fn half_requests_of_one_address_do_not_keep_probes_from_their_answer() {
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::Tcp.route("echo", "127.0.0.2", echo.address, ""));
    let mut silent: Vec<Peer> = (0..200).map(|_| Peer::connect(proxy.admin())).collect();
    for (number, peer) in silent.iter_mut().enumerate() {
        // Those whose place another has are closed, most of them before they could say anything.
        peer.send_what_is_taken(b"GET /st");
        if number % 20 == 0 {
            let begun = Instant::now();
            assert_eq!(ask(proxy.admin(), "GET", "/readyz", &[]).status(), 200);
            assert!(begun.elapsed() < Duration::from_secs(5), "after {number}: {:?}", begun.elapsed());
        }
    }
    drop(silent);
    proxy.finish();
}

#[test]
fn an_address_that_others_reach_is_not_opened_without_a_guard_nor_left_without_one() {
    let echo = Target::echo();
    let route = Way::Tcp.route("echo", "127.0.0.2", echo.address, "");
    let exposed = "admin.listen = \"0.0.0.0:0\"\n";
    let mut proxy = Proxy::start(&format!("{exposed}admin.token = \"{TOKEN}\"\n{route}"));
    assert!(proxy.log_text().contains("the admin token crosses the network unencrypted"));
    assert_eq!(shown(&proxy, TOKEN, "GET", "/status"), 200);
    let refused = proxy.reload_refused(&format!("{exposed}{route}"));
    assert!(refused.contains("other hosts reach 0.0.0.0:0"), "{refused}");
    assert_eq!(shown(&proxy, OTHER, "GET", "/status"), 401);
    // The file may say so for an address of this host alone; but the old one is still open.
    proxy.reload(&route);
    for path in ["/", "/status", "/metrics"] {
        assert_eq!(ask(proxy.admin(), "GET", path, &[]).status(), 403, "{path}");
    }
    assert_eq!(ask(proxy.admin(), "GET", "/healthz", &[]).status(), 200);
    proxy.finish();
}

#[test]
fn over_tls_the_certificates_names_are_hosts_and_client_certificates_read_but_do_not_change() {
    let echo = Target::echo();
    let route = Way::Tcp.route("echo", "127.0.0.2", echo.address, "");
    let tls = "admin.tls.certificate = \"server.pem\"\nadmin.tls.key = \"server.key\"\n";
    let mut proxy =
        Proxy::start(&format!("{tls}admin.tls.client_ca = \"ca.pem\"\nadmin.listen = \"0.0.0.0:0\"\n{route}"));
    let (known, stranger) = (CERTIFICATES.client_with_certificate(), CERTIFICATES.client(&[]));
    let connect = |address, config| Peer::connect(address).tls("localhost", config);
    for (host, status) in [("localhost", 200), ("shop.test", 200), ("a.shop.test:9900", 200), ("evil.example", 421)] {
        let answer = asked(connect(proxy.admin(), &known), "GET", "/status", &[("host", host)]);
        assert_eq!(answer.status(), status, "{host}");
    }
    assert_eq!(asked(connect(proxy.admin(), &known), "POST", "/reload", &[]).status(), 403);
    // TLS 1.3 tells a client that it is not accepted after its own handshake is over.
    let mut refused = connect(proxy.admin(), &stranger);
    assert_ne!(refused.end(), End::Whole);
    // What is spoken may not become plain, whatever the file says.
    proxy.reload(&route);
    let answer = asked(connect(proxy.admin(), &known), "GET", "/status", &[]);
    assert_eq!(answer.status(), 200, "client certificates are still asked for");
    assert_ne!(connect(proxy.admin(), &stranger).end(), End::Whole);
    proxy.finish();
}

#[test]
fn operators_with_a_token_are_answered_and_can_kill_when_clients_have_every_descriptor() {
    let echo = Target::echo();
    let config = format!("admin.token = \"{TOKEN}\"\ndefaults.timeouts.sniff = \"1m\"\n")
        + &Way::Passthrough.route("echo", "127.0.0.2", echo.address, "");
    let proxy = Proxy::start(&config);
    let address = proxy.address("127.0.0.2");
    let old = proxy.limit_descriptors(proxy.lowest_free_descriptor() + 4);
    let clients: Vec<Peer> = (0..12).map(|_| Peer::connect(address)).collect();
    proxy.event("cannot accept connections for now", |_| true);
    for path in ["/", "/status", "/metrics", "/connections", "/routes", "/history", "/certificates"] {
        assert_eq!(shown(&proxy, TOKEN, "GET", path), 200, "{path}");
    }
    let killed = proxy.connections()[0]["id"].clone();
    assert_eq!(shown(&proxy, TOKEN, "POST", &format!("/connections/{killed}/kill")), 200);
    drop(clients);
    proxy.limit_descriptors(old.current.unwrap());
    proxy.finish();
}
