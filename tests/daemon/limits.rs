//! Who is let in, and how many at once: on every handler, before TLS.

use crate::harness::{CERTIFICATES, End, HOST, Peer, Proxy, Target, Way, case_ip};

/// A target of the right kind for the way.
fn target_of(way: Way) -> Target {
    match way {
        Way::Passthrough | Way::Tcp | Way::TerminateTcp => Target::echo(),
        Way::ReencryptTcp => Target::tls_echo(CERTIFICATES.server()),
        Way::Http | Way::TerminateHttp => Target::http("target"),
        Way::ReencryptHttp => Target::https("target", CERTIFICATES.server()),
    }
}

/// A daemon with each way at an address of its own, with these lines.
fn each_way(more: &str) -> (Proxy, Vec<Target>) {
    let targets: Vec<_> = Way::ALL.iter().map(|way| target_of(*way)).collect();
    let mut config = String::new();
    for (number, (way, target)) in Way::ALL.iter().zip(&targets).enumerate() {
        config += &way.route(&way.to_string(), &case_ip(number), target.address, more);
    }
    (Proxy::start(&config), targets)
}

/// A client that has reached its target.
fn inside(way: Way, mut client: Peer) -> Peer {
    if way.terminates() {
        client = client.tls(HOST, &CERTIFICATES.client(&[]));
    }
    if way.serves_requests() {
        assert_eq!(client.get(HOST, "/").status(), 200);
    } else {
        let sent: &[u8] = if way == Way::Passthrough { &crate::harness::HELLO } else { b"ping" };
        client.send(sent);
        client.expect(sent);
    }
    client
}

/// A client that is refused without a word of TLS; one of plain HTTP gets an answer of this status.
fn refused(way: Way, mut client: Peer, status: u16) {
    if way == Way::Http {
        client.send_what_is_taken(b"GET / HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n\r\n");
    } else if way != Way::Tcp {
        client.send_what_is_taken(&crate::harness::HELLO);
    }
    let (bytes, end) = client.rest();
    assert_ne!(end, End::Silence, "{way}: the client is released");
    let answer = String::from_utf8_lossy(&bytes).into_owned();
    let answered = way == Way::Http && answer.starts_with(&format!("HTTP/1.1 {status} "));
    assert!(bytes.is_empty() || answered && answer.contains("\nrequest id: "), "{way}: {answer:?}");
}

fn closed(proxy: &Proxy, way: Way, cause: &str) -> i64 {
    let route = way.to_string();
    let labels = [("route", route.as_str()), ("phase", "route"), ("party", "proxy"), ("cause", cause)];
    proxy.metrics().sum("connections_closed_total", &labels)
}

fn left(client: &mut Peer) {
    client.finish();
    assert_eq!(client.end(), End::Whole);
}

#[test]
fn a_routes_max_connections_holds_on_every_handler_and_refused_attempts_count_for_nothing() {
    let (proxy, targets) = each_way("limits.max_connections = 2");
    for (number, way) in Way::ALL.into_iter().enumerate() {
        let address = proxy.address(&case_ip(number));
        let mut clients: Vec<_> = (0..2).map(|_| inside(way, Peer::connect(address))).collect();
        for _ in 0..5 {
            refused(way, Peer::connect(address), 503);
        }
        proxy.metrics_until("refusals are counted", |_| closed(&proxy, way, "route_connection_limit") == 5);
        left(&mut clients.pop().unwrap());
        proxy.connections_until("one has left", |live| live.len() == 1);
        clients.push(inside(way, Peer::connect(address)));
        clients.iter_mut().for_each(left);
        proxy.connections_until("all have left", <[_]>::is_empty);
        assert!(targets[number].accepted() <= 3, "{way}: no refused client reached the target");
    }
    proxy.finish();
}

#[test]
fn max_connections_per_ip_holds_on_every_handler_for_each_address_alone() {
    let (proxy, _targets) = each_way("limits.max_connections_per_ip = 1");
    for (number, way) in Way::ALL.into_iter().enumerate() {
        let address = proxy.address(&case_ip(number));
        let mut one = inside(way, Peer::connect_from("127.0.9.1", address));
        let mut other = inside(way, Peer::connect_from("127.0.9.2", address));
        refused(way, Peer::connect_from("127.0.9.1", address), 503);
        proxy.metrics_until("the refusal is counted", |_| closed(&proxy, way, "client_connection_limit") == 1);
        left(&mut one);
        proxy.connections_until("one has left", |live| live.len() == 1);
        let mut again = inside(way, Peer::connect_from("127.0.9.1", address));
        left(&mut again);
        left(&mut other);
        proxy.connections_until("all have left", <[_]>::is_empty);
    }
    proxy.finish();
}

#[test]
fn security_blocks_and_allows_on_every_handler_before_tls() {
    let more = "security = { allow = [\"127.0.9.0/24\"], block = [\"127.0.9.2/32\"] }";
    let (proxy, targets) = each_way(more);
    for (number, way) in Way::ALL.into_iter().enumerate() {
        let address = proxy.address(&case_ip(number));
        // Block wins over allow, and who is on no list is not let in.
        refused(way, Peer::connect_from("127.0.9.2", address), 403);
        refused(way, Peer::connect_from("127.0.8.1", address), 403);
        proxy.metrics_until("refusals are counted", |_| closed(&proxy, way, "blocked") == 2);
        assert_eq!(targets[number].accepted(), 0, "{way}");
        left(&mut inside(way, Peer::connect_from("127.0.9.1", address)));
        proxy.connections_until("all have left", <[_]>::is_empty);
    }
    let failed = proxy.metrics().sum("connections_failed_total", &[("cause", "blocked")]);
    assert_eq!(failed, 2 * Way::ALL.len() as i64);
    proxy.finish();
}

#[test]
fn a_reload_that_lowers_a_limit_keeps_who_is_in_and_counts_them() {
    let echo = Target::echo();
    let config =
        |limit| Way::Tcp.route("limited", "127.0.0.2", echo.address, &format!("limits.max_connections = {limit}"));
    let mut proxy = Proxy::start(&config(3));
    let address = proxy.address("127.0.0.2");
    let mut clients: Vec<_> = (0..3).map(|_| inside(Way::Tcp, Peer::connect(address))).collect();
    proxy.reload(&config(2));
    for client in &mut clients {
        client.send(b"still in");
        client.expect(b"still in");
    }
    left(&mut clients.pop().unwrap());
    proxy.connections_until("one has left", |live| live.len() == 2);
    refused(Way::Tcp, Peer::connect(address), 0);
    left(&mut clients.pop().unwrap());
    proxy.connections_until("another has left", |live| live.len() == 1);
    clients.push(inside(Way::Tcp, Peer::connect(address)));
    clients.iter_mut().for_each(left);
    proxy.finish();
}

#[test]
fn a_limit_that_a_reload_brings_counts_who_is_in_already() {
    let echo = Target::echo();
    let config = |more| Way::Tcp.route("limited", "127.0.0.2", echo.address, more);
    let mut proxy = Proxy::start(&config(""));
    let address = proxy.address("127.0.0.2");
    let mut client = inside(Way::Tcp, Peer::connect_from("127.0.9.1", address));
    proxy.reload(&config("limits.max_connections_per_ip = 1"));
    refused(Way::Tcp, Peer::connect_from("127.0.9.1", address), 0);
    let mut other = inside(Way::Tcp, Peer::connect_from("127.0.9.2", address));
    left(&mut other);
    left(&mut client);
    proxy.connections_until("both have left", <[_]>::is_empty);
    left(&mut inside(Way::Tcp, Peer::connect_from("127.0.9.1", address)));
    proxy.finish();
}

/// Its address stays, so that its connections are not told to end.
#[test]
fn a_route_that_is_away_for_a_reload_still_counts_the_connections_that_it_had() {
    let http = Target::http("target");
    let named = |name: &str, path: &str| {
        let more = format!("match.path = \"{path}\"\nlimits.max_connections = 1");
        Way::Http.route(name, "127.0.0.2", http.address, &more)
    };
    let mut proxy = Proxy::start(&(named("kept", "/kept/") + &named("away", "/")));
    let address = proxy.address("127.0.0.2");
    let mut client = inside(Way::Http, Peer::connect(address));
    proxy.reload(&named("kept", "/kept/"));
    proxy.reload(&(named("kept", "/kept/") + &named("away", "/")));
    refused(Way::Http, Peer::connect(address), 503);
    assert_eq!(client.get(HOST, "/").status(), 200);
    left(&mut client);
    proxy.connections_until("the first has left", <[_]>::is_empty);
    left(&mut inside(Way::Http, Peer::connect(address)));
    proxy.finish();
}

#[test]
fn every_byte_is_counted_once_on_every_handler() {
    let (proxy, _targets) = each_way("");
    for (number, way) in Way::ALL.into_iter().enumerate() {
        let mut client = inside(way, Peer::connect(proxy.address(&case_ip(number))));
        let address = client.ends();
        left(&mut client);
        let line = proxy.line_of(address);
        let route = way.to_string();
        let metrics = proxy.metrics_until("the connection is closed", |metrics| {
            metrics.sum("connections_closed_total", &[("route", &route)]) == 1
        });
        let counted = ["received_bytes_total", "sent_bytes_total"].map(|name| metrics.sum(name, &[("route", &route)]));
        let logged = ["bytes_in", "bytes_out"].map(|name| line[name].as_i64().unwrap());
        assert_eq!(counted, logged, "{way}: metrics and access log agree");
        match way {
            Way::Passthrough => assert_eq!(logged, [crate::harness::HELLO.len() as i64; 2]),
            Way::Tcp | Way::TerminateTcp | Way::ReencryptTcp => assert_eq!(logged, [4, 4]),
            Way::Http | Way::TerminateHttp | Way::ReencryptHttp => {
                let request = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n").len() as i64;
                assert!(logged[0] == request || logged[0] == 0, "{way}: {logged:?}");
                assert!(logged[1] > 0, "{way}: {logged:?}");
            }
        }
    }
    proxy.finish();
}

/// ORIGIN B19: whoever only begins a request holds a connection as well as who ends it.
#[test]
fn a_client_that_never_ends_its_request_counts_and_one_above_the_limit_is_turned_away() {
    let echo = Target::http("target");
    let more = "limits.max_connections_per_ip = 2";
    let proxy = Proxy::start(&Way::Http.route("web", "127.0.0.2", echo.address, more));
    let address = proxy.address("127.0.0.2");
    let mut slow: Vec<_> = (0..2).map(|_| Peer::connect(address)).collect();
    for client in &mut slow {
        client.send(b"GET / HTTP/1.1\r\nhost: shop.test\r\n");
    }
    proxy.connections_until("both are served", |live| {
        live.iter().filter(|live| live["state"] == "serving").count() == 2
    });
    let mut third = Peer::connect(address);
    third.send(b"GET / HTTP/1.1\r\nhost: shop.test\r\n");
    let (answer, _end) = third.rest();
    assert!(answer.starts_with(b"HTTP/1.1 503 "), "{:?}", String::from_utf8_lossy(&answer));
    let labels = [("route", "web"), ("cause", "client_connection_limit")];
    proxy.metrics_until("it is counted", |metrics| metrics.sum("connections_closed_total", &labels) == 1);
    for client in &mut slow {
        client.send(b"connection: close\r\n\r\n");
        assert_eq!(client.message().status(), 200);
    }
    proxy.finish();
}

/// At the connection only so many routes are asked whether they would let a client in (`CANDIDATES_ASKED_MAX` in
/// `src/server/serve.rs`). One that comes after them may.
#[test]
fn a_route_behind_more_refusals_than_are_asked_at_once_still_lets_its_clients_in() {
    let target = Target::http("target");
    let path = |number: usize| format!("match.path = \"/{number:02}\"\n");
    let mut config = String::new();
    for number in 0..65 {
        let more = path(number) + "security.allow = [\"127.0.8.0/24\"]";
        config += &Way::Http.route(&format!("closed-{number:02}"), "127.0.0.2", target.address, &more);
    }
    config += &Way::Http.route("open", "127.0.0.2", target.address, &path(65));
    let proxy = Proxy::start(&config);
    let mut client = Peer::connect_from("127.0.9.1", proxy.address("127.0.0.2"));
    assert_eq!(client.get(HOST, "/65").status(), 200);
    assert_eq!(client.get(HOST, "/64").status(), 403);
    left(&mut client);
    proxy.finish();
}
