//! Each key of a route does what the configuration says of it, in the real process: that the file's words reach the part
//! that acts on them. What that part does in all its cases is tested where it is.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::harness::{CERTIFICATES, End, HELLO, HOST, Message, Peer, Proxy, Refusing, Target, Way};

fn left(mut client: Peer) {
    client.finish();
    assert_eq!(client.end(), End::Whole);
}

/// A target that says one letter to whoever connects, and then waits for its end.
fn letter(letter: &'static [u8; 1]) -> Target {
    Target::serving(move |mut peer| {
        peer.send_what_is_taken(letter);
        let _ = peer.rest();
    })
}

/// The letter of the target that a client has come to; it stays connected.
fn reached(from: &str, address: SocketAddr) -> (u8, Peer) {
    let mut client = Peer::connect_from(from, address);
    (client.receive(1)[0], client)
}

/// How often each target was reached by this many clients one after the other, each from an address of its own.
fn spread(address: SocketAddr, clients: u8) -> BTreeMap<u8, usize> {
    let mut counts = BTreeMap::new();
    for number in 1..=clients {
        let (letter, client) = reached(&format!("127.0.9.{number}"), address);
        left(client);
        *counts.entry(letter).or_insert(0) += 1;
    }
    counts
}

fn balanced(name: &str, ip: &str, targets: &str, more: &str) -> String {
    format!(
        "[[routes]]\nname = \"{name}\"\nmatch.ports = [\"{ip}:0\"]\nprotocol = \"tcp\"\ntargets = [{targets}]\n{more}\n"
    )
}

#[test]
fn each_algorithm_of_load_balancing_chooses_as_it_says() {
    let (a, b) = (letter(b"a"), letter(b"b"));
    let table =
        |target: &Target, more: &str| format!("{{ host = \"127.0.0.1\", port = {}{more} }}", target.address.port());
    let both = format!("{}, {}", table(&a, ", weight = 2"), table(&b, ""));
    let even = format!("{}, {}", table(&a, ""), table(&b, ""));
    let by = |algorithm: &str| format!("load_balancing = {{ algorithm = \"{algorithm}\" }}");
    let config = balanced("default", "127.0.0.2", &both, "")
        + &balanced("turn", "127.0.0.3", &both, &by("round-robin"))
        + &balanced("chance", "127.0.0.4", &both, &by("random"))
        + &balanced("least", "127.0.0.5", &even, &by("least-connections"))
        + &balanced("hash", "127.0.0.6", &even, &by("ip-hash"));
    let proxy = Proxy::start(&config);
    for ip in ["127.0.0.2", "127.0.0.3"] {
        assert_eq!(spread(proxy.address(ip), 9), BTreeMap::from([(b'a', 6), (b'b', 3)]), "{ip}");
    }
    // That chance misses one of two targets in 60 tries is less likely than that the machine fails.
    assert_eq!(spread(proxy.address("127.0.0.4"), 60).len(), 2);
    let least = proxy.address("127.0.0.5");
    let (first, held) = reached("127.0.9.1", least);
    for _ in 0..4 {
        let (other, client) = reached("127.0.9.1", least);
        assert_ne!(other, first, "the busy target is passed over");
        left(client);
        proxy.connections_until("the second has left", |live| live.len() == 1);
    }
    left(held);
    let hash = proxy.address("127.0.0.6");
    let once = spread(hash, 40);
    assert_eq!(once.len(), 2, "clients are spread: {once:?}");
    let (letter, client) = reached("127.0.9.1", hash);
    left(client);
    for _ in 0..8 {
        let (again, client) = reached("127.0.9.1", hash);
        assert_eq!(again, letter, "a client comes to the same target again");
        left(client);
    }
    proxy.finish();
}

#[test]
fn a_backup_is_tried_when_no_other_target_is_left_and_a_port_may_be_the_clients() {
    let (primary, backup, refusing) = (letter(b"p"), letter(b"b"), Refusing::new());
    let table =
        |address: SocketAddr, more: &str| format!("{{ host = \"127.0.0.1\", port = {}{more} }}", address.port());
    let with = |first: SocketAddr| format!("{}, {}", table(backup.address, ", backup = true"), table(first, ""));
    // Who listens on one address of the loopback network on a port has it for that address alone.
    let preserved = format!(
        "[[routes]]\nname = \"kept-port\"\nmatch.ports = [\"127.0.0.4:{}\"]\nprotocol = \"tcp\"\n\
         targets = [{{ host = \"127.0.0.1\", port = \"preserve\" }}]\n",
        primary.address.port()
    );
    let config = balanced("up", "127.0.0.2", &with(primary.address), "")
        + &balanced("down", "127.0.0.3", &with(refusing.address), "")
        + &preserved;
    let proxy = Proxy::start(&config);
    assert_eq!(spread(proxy.address("127.0.0.2"), 8), BTreeMap::from([(b'p', 8)]));
    assert_eq!(spread(proxy.address("127.0.0.3"), 8), BTreeMap::from([(b'b', 8)]));
    assert_eq!(spread(proxy.address("127.0.0.4"), 1), BTreeMap::from([(b'p', 1)]));
    proxy.finish();
}

/// A target that answers each request with its head as it has come.
fn mirror() -> Target {
    Target::serving(|mut peer| {
        let head = peer.head();
        let length = head.len();
        let fields = "server: mirror\r\nx-target: 1\r\nconnection: close";
        peer.send_what_is_taken(
            format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n{fields}\r\n\r\n{head}").as_bytes(),
        );
    })
}

fn asked(address: SocketAddr, fields: &str) -> (Message, Message) {
    let mut client = Peer::connect(address);
    client.send(format!("GET /path?q=1 HTTP/1.1\r\nhost: {HOST}\r\n{fields}connection: close\r\n\r\n").as_bytes());
    let answer = client.message();
    assert_eq!(client.end(), End::Whole);
    let received = crate::harness::parsed_head(&answer.text());
    (answer, received)
}

#[test]
fn what_is_said_of_headers_is_done_on_both_ways() {
    let target = mirror();
    let route = |name: &str, ip: &str, more: &str| Way::Http.route(name, ip, target.address, more);
    let edits = "headers.request = { set = { x-set = \"ours\" }, add = { x-add = \"more\" }, remove = [\"x-debug\"] }\n\
                 headers.response = { set = { x-target = \"hidden\" }, add = { x-frame-options = \"DENY\" }, remove = [\"server\"] }";
    let config = route("plain", "127.0.0.2", "")
        + &route("edited", "127.0.0.3", edits)
        + &route("host", "127.0.0.4", "preserve_host = false")
        + &route("believed", "127.0.0.5", "trusted_proxies = [\"127.0.0.0/8\"]")
        + &route("stranger", "127.0.0.6", "trusted_proxies = [\"10.0.0.0/8\"]");
    let proxy = Proxy::start(&config);
    let sent = "x-set: theirs\r\nx-debug: 1\r\nx-forwarded-for: 198.51.100.7\r\nx-request-id: outer-1\r\n";
    let ask = |ip: &str| asked(proxy.address(ip), sent);

    let (answer, received) = ask("127.0.0.2");
    assert_eq!((received.field("host"), received.field("x-set"), received.field("x-debug")), (HOST, "theirs", "1"));
    assert_eq!((answer.field("x-target"), answer.field("server")), ("1", "mirror"));
    assert_eq!(received.field("x-forwarded-for"), "127.0.0.1", "nobody is believed by default");
    assert_ne!(received.field("x-request-id"), "outer-1");

    let (answer, received) = ask("127.0.0.3");
    let edited = ["x-set", "x-add", "x-debug"].map(|name| received.field(name).to_owned());
    assert_eq!(edited, ["ours", "more", ""], "{received:?}");
    let edited = ["x-target", "x-frame-options", "server"].map(|name| answer.field(name).to_owned());
    assert_eq!(edited, ["hidden", "DENY", ""], "{answer:?}");

    let (_, received) = ask("127.0.0.4");
    assert_eq!(received.field("host"), target.address.to_string());

    let (_, received) = ask("127.0.0.5");
    assert_eq!(received.field("x-forwarded-for"), "198.51.100.7, 127.0.0.1");
    assert_eq!(received.field("x-request-id"), "outer-1");
    let (_, received) = ask("127.0.0.6");
    assert_eq!(received.field("x-forwarded-for"), "127.0.0.1");
    proxy.finish();
}

#[test]
fn a_request_goes_to_the_route_that_its_parts_say() {
    let route = |name: &str, more: &str| {
        format!(
            "[[routes]]\nname = \"{name}\"\nmatch.ports = [\"127.0.0.2:0\"]\n{more}\nrespond = {{ body = \"{name}\" }}\n"
        )
    };
    let config = route("rest", "")
        + &route("path", "match.path = \"/api/\"")
        + &route("segment", "match.path = \"/users/{id}\"")
        + &route("method", "match.path = \"/api/\"\nmatch.methods = [\"DELETE\"]")
        + &route("header", "match.headers = { x-canary = \"1\" }\npriority = 1")
        + &route("domain", "match.domains = [\"*.shop.test\"]")
        + &route("client", "match.client_ips = [\"127.0.9.0/24\"]\nmatch.path = \"/who\"")
        + &route("off", "match.path = \"/off\"\nenabled = false")
        + &route("moved", "match.path = \"/moved\"").replace(
            "respond = { body = \"moved\" }",
            "redirect = { to = \"https://{host}{path_and_query}\", status = 302 }",
        )
        + &route("teapot", "match.path = \"/tea\"").replace(
            "respond = { body = \"teapot\" }",
            "respond = { status = 418, body = \"teapot\", headers = { x-pot = \"short\" } }",
        );
    let proxy = Proxy::start(&config);
    let address = proxy.address("127.0.0.2");
    let ask = |from: &str, line: &str, fields: &str| {
        let mut client = Peer::connect_from(from, address);
        client.send(format!("{line} HTTP/1.1\r\n{fields}connection: close\r\n\r\n").as_bytes());
        let answer = client.message();
        assert_eq!(client.end(), End::Whole);
        answer
    };
    let (shop, www) = ("host: shop.test\r\n", "host: www.shop.test\r\n");
    let canary = "host: shop.test\r\nx-canary: 1\r\n";
    for (from, line, fields, taken) in [
        ("127.0.0.1", "GET /", shop, "rest"),
        ("127.0.0.1", "GET /api/x", shop, "path"),
        ("127.0.0.1", "GET /users/7", shop, "segment"),
        ("127.0.0.1", "GET /users/7/x", shop, "rest"),
        ("127.0.0.1", "DELETE /api/x", shop, "method"),
        ("127.0.0.1", "DELETE /api/x", canary, "header"),
        ("127.0.0.1", "GET /", www, "domain"),
        ("127.0.9.9", "GET /who", shop, "client"),
        ("127.0.0.1", "GET /who", shop, "rest"),
        ("127.0.0.1", "GET /off", shop, "rest"),
    ] {
        assert_eq!(ask(from, line, fields).text(), taken, "{from} {line} {fields}");
    }
    let moved = ask("127.0.0.1", "GET /moved?a=b", shop);
    assert_eq!((moved.status(), moved.field("location")), (302, "https://shop.test/moved?a=b"));
    let tea = ask("127.0.0.1", "GET /tea", shop);
    assert_eq!((tea.status(), tea.field("x-pot"), tea.text().as_str()), (418, "short", "teapot"));
    proxy.finish();
}

#[test]
fn a_tls_connection_goes_to_the_route_that_its_hello_says_and_its_target_is_verified_as_the_route_says() {
    let (old, new, h2) = (letter(b"o"), letter(b"n"), letter(b"h"));
    let terminated =
        |name: &str, target: &Target, more: &str| Way::TerminateTcp.route(name, "127.0.0.2", target.address, more);
    let stranger = Target::tls_echo(CERTIFICATES.stranger());
    let closed = Target::tls_echo(CERTIFICATES.server_for_known());
    let unverified = |name: &str, ip: &str, upstream: &str| {
        let own = "{ ca = \"ca.pem\", server_name = \"target.test\" }";
        Way::ReencryptTcp.route(name, ip, stranger.address, "").replace(own, upstream)
    };
    let config = terminated("old", &old, "")
        + &terminated("new", &new, "match.tls_versions = [\"1.3\"]")
        + &terminated("h2", &h2, "match.alpn = [\"h2\"]\npriority = 1")
        + &unverified("trusting", "127.0.0.3", "{ verify = false }")
        + &unverified("careful", "127.0.0.4", "{ ca = \"ca.pem\", server_name = \"target.test\" }")
        + &Way::ReencryptTcp.route("known", "127.0.0.5", closed.address, "").replace(
            "server_name = \"target.test\" }",
            "server_name = \"target.test\", client_certificate = { certificate = \"client.pem\", key = \"client.key\" } }",
        )
        + &Way::ReencryptTcp.route("unknown", "127.0.0.6", closed.address, "");
    let proxy = Proxy::start(&config);
    let address = proxy.address("127.0.0.2");
    for (client, taken) in [
        (CERTIFICATES.client_of(&[&rustls::version::TLS12]), b"o"),
        (CERTIFICATES.client_of(&[&rustls::version::TLS13]), b"n"),
        (CERTIFICATES.client(&["h2"]), b"h"),
    ] {
        let mut client = Peer::connect(address).tls(HOST, &client);
        client.expect(taken);
        left(client);
    }
    for ip in ["127.0.0.3", "127.0.0.5"] {
        let mut client = Way::ReencryptTcp.client(proxy.address(ip));
        client.send(b"ping");
        client.expect(b"ping");
        left(client);
    }
    for ip in ["127.0.0.4", "127.0.0.6"] {
        let mut client = Way::ReencryptTcp.client(proxy.address(ip));
        client.send_what_is_taken(b"ping");
        assert!(client.rest().0.is_empty(), "{ip}: an answer was passed on");
    }
    proxy.metrics_until("it is counted", |metrics| {
        metrics.sum("upstream_connects_total", &[("route", "careful"), ("result", "tls")]) >= 1
    });
    proxy.finish();
}

#[test]
fn the_process_has_as_many_workers_as_it_is_told_and_no_access_log_where_none_is_wanted() {
    let echo = Target::echo();
    let config = "server.workers = 3\nlog.access = false\n".to_owned()
        + &Way::Passthrough.route("one", "127.0.0.2", echo.address, "");
    let proxy = Proxy::start(&config);
    let ready = proxy.event("ready", |_| true);
    assert_eq!(ready["workers"], 3, "{ready}");
    let mut client = Way::Passthrough.client(proxy.address("127.0.0.2"));
    client.expect(&HELLO);
    left(client);
    proxy.metrics_until("the connection is closed", |metrics| metrics.sum("connections_closed_total", &[]) == 1);
    assert!(proxy.lines("connection").is_empty());
    proxy.finish();
}
