//! The PROXY protocol: believed from whom it may come, refused otherwise, and sent on.

use std::net::SocketAddr;

use crate::harness::{CERTIFICATES, End, Ends, HELLO, HOST, Peer, Proxy, Target, Way, listener};

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.8 4711 443\r\n";

/// Version 2 of the same, with a TLV of an unknown kind.
fn v2() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    header.extend([0, 12 + 7]);
    header.extend([192, 0, 2, 7, 192, 0, 2, 8]);
    header.extend([4711_u16.to_be_bytes(), 443_u16.to_be_bytes()].concat());
    header.extend([0xe0, 0, 4, b'x', b'y', b'z', b'!']);
    header
}

fn config(trusted: &str, required: bool, echo: &Target) -> String {
    format!(
        "[[listeners]]\naddress = \"127.0.0.2:0\"\n\
         proxy_protocol = {{ trusted = [\"{trusted}\"], required = {required} }}\n"
    ) + &Way::TerminateTcp.route("echo", "127.0.0.2", echo.address, "")
}

fn served(client: Peer) -> Peer {
    let mut client = client.tls(HOST, &CERTIFICATES.client(&[]));
    client.send(b"ping");
    client.expect(b"ping");
    client
}

fn left(mut client: Peer) {
    client.finish();
    assert_eq!(client.end(), End::Whole);
}

#[test]
fn a_header_of_either_version_from_a_trusted_peer_is_believed_even_in_pieces() {
    let echo = Target::echo();
    let proxy = Proxy::start(&config("127.0.0.0/8", true, &echo));
    let address = proxy.address("127.0.0.2");
    for header in [V1.to_vec(), v2()] {
        for cut in [0, 1, 5, 11, 13, 15, header.len() - 1] {
            let mut client = Peer::connect(address);
            let mine = client.ends();
            client.send(&header[..cut]);
            proxy.connections_until("the header is waited for", |live| {
                live.iter().any(|live| mine.are_of(live) && live["state"] == "sniffing")
            });
            client.send(&header[cut..]);
            let client = served(client);
            let live = proxy.connections();
            assert_eq!(live[0]["client"], "192.0.2.7:4711", "{live:?}");
            assert_eq!(live[0]["peer"], mine.client.to_string(), "what stands in front is shown: {live:?}");
            left(client);
            let of_mine = |line: &serde_json::Value| line["peer"] == mine.client.to_string();
            proxy.line("connection", "the peer", |line| of_mine(line) && line["client"] == "192.0.2.7:4711");
            proxy.connections_until("it has left", <[_]>::is_empty);
        }
    }
    let lines = proxy.lines("connection");
    assert!(lines.iter().all(|line| line["client"] == "192.0.2.7:4711"), "{lines:#?}");
    proxy.finish();
}

#[test]
fn a_header_that_is_missing_malformed_or_not_trusted_is_refused_where_one_is_required() {
    let echo = Target::echo();
    let proxy = Proxy::start(&config("127.0.9.0/24", true, &echo));
    let address = proxy.address("127.0.0.2");
    let mut long = b"PROXY TCP6 ".to_vec();
    long.extend([b'a'; 200]);
    for (from, sent, cause) in [
        ("127.0.9.1", &HELLO[..], "proxy_header_missing"),
        ("127.0.9.1", &b"PROXY TCP4 192.0.2.7\r\n"[..], "proxy_header_malformed"),
        ("127.0.9.1", &long[..], "proxy_header_malformed"),
        ("127.0.9.1", &b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c"[..], "proxy_header_malformed"),
        ("127.0.8.1", V1, "proxy_header_untrusted"),
    ] {
        let mut client = Peer::connect_from(from, address);
        client.send_what_is_taken(sent);
        let (bytes, end) = client.rest();
        assert!(bytes.is_empty() && end != End::Silence, "{cause}: {end:?}");
        let line = proxy.line_of(client.ends());
        assert_eq!((line["phase"].as_str(), line["cause"].as_str()), (Some("proxy_header"), Some(cause)), "{line}");
    }
    assert_eq!(echo.accepted(), 0);
    proxy.finish();
}

#[test]
fn where_no_header_is_required_one_is_taken_from_trusted_peers_only() {
    let echo = Target::echo();
    let proxy = Proxy::start(&config("127.0.9.0/24", false, &echo));
    let address = proxy.address("127.0.0.2");
    // A trusted peer without a header, and one that is not trusted, are clients as any other.
    for from in ["127.0.9.1", "127.0.8.1"] {
        let client = Peer::connect_from(from, address);
        let mine = client.ends();
        left(served(client));
        let line = proxy.line_of(mine);
        assert_eq!((line["cause"].as_str(), line.get("peer")), (Some("finished"), None), "{line}");
    }
    // The header of a peer that is not trusted is payload, and no TLS.
    let mut client = Peer::connect_from("127.0.8.1", address);
    client.send_what_is_taken(&[V1, &HELLO].concat());
    assert_ne!(client.rest().1, End::Silence);
    assert_ne!(proxy.line_of(client.ends())["cause"], "finished");
    proxy.finish();
}

#[test]
fn limits_and_security_see_the_client_that_the_header_names() {
    let echo = Target::echo();
    let more = "limits.max_connections_per_ip = 1\nsecurity.block = [\"192.0.2.66/32\"]";
    let listener = "[[listeners]]\naddress = \"127.0.0.2:0\"\nproxy_protocol = { trusted = [\"127.0.0.0/8\"] }\n";
    let proxy = Proxy::start(&(listener.to_owned() + &Way::Tcp.route("echo", "127.0.0.2", echo.address, more)));
    let address = proxy.address("127.0.0.2");
    let open = |client: &str| {
        let mut peer = Peer::connect(address);
        peer.send(format!("PROXY TCP4 {client} 192.0.2.1 1000 443\r\nping").as_bytes());
        peer
    };
    let mut clients: Vec<_> = (1..=20).map(|number| open(&format!("192.0.2.{number}"))).collect();
    for client in &mut clients {
        client.expect(b"ping");
    }
    for (client, cause) in [("192.0.2.1", "client_connection_limit"), ("192.0.2.66", "blocked")] {
        let mut refused = open(client);
        assert_ne!(refused.rest().1, End::Silence);
        let line = proxy.line("connection", cause, |line| line["cause"] == cause);
        assert_eq!(line["client"], format!("{client}:1000"));
    }
    for mut client in clients {
        client.finish();
        assert_eq!(client.end(), End::Whole);
    }
    proxy.finish();
}

#[test]
fn a_header_is_sent_to_the_target_in_the_version_that_is_asked_for() {
    for (version, way) in [("v1", Way::Tcp), ("v2", Way::Tcp), ("v1", Way::Passthrough), ("v2", Way::TerminateTcp)] {
        let (listener, address) = listener();
        let more = format!("send_proxy_protocol = \"{version}\"");
        let proxy = Proxy::start(&way.route("announced", "127.0.0.2", address, &more));
        let at = proxy.address("127.0.0.2");
        let mut client = way.client(at);
        let mut target = Peer::accept(&listener);
        target.expect(&expected(version, client.ends()));
        if way == Way::Passthrough {
            target.expect(&HELLO);
        }
        client.send(b"ping");
        target.expect(b"ping");
        client.finish();
        assert_eq!(target.end(), End::Whole);
        target.finish();
        assert_eq!(client.end(), End::Whole);
        let sent = way.opening_length() + 4;
        assert_eq!(proxy.line_of(client.ends())["bytes_in"].as_u64(), Some(sent), "the header is no payload");
        proxy.finish();
    }
}

fn expected(version: &str, ends: Ends) -> Vec<u8> {
    announcing(version, ends.client, ends.listener)
}

/// The header for these two addresses, which are of one family.
fn announcing(version: &str, source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    assert_eq!(source.is_ipv4(), destination.is_ipv4());
    if version == "v1" {
        let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
        let (from, to) = (source.ip(), destination.ip());
        return format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes();
    }
    let octets = |address: SocketAddr| match address.ip() {
        std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
        std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let family: [u8; 3] = if source.is_ipv4() { [0x11, 0, 12] } else { [0x21, 0, 36] };
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21".to_vec();
    header.extend(family);
    header.extend(octets(source));
    header.extend(octets(destination));
    header.extend(source.port().to_be_bytes());
    header.extend(destination.port().to_be_bytes());
    header
}

const UNKNOWN_V1: &[u8] = b"PROXY UNKNOWN\r\n";
const UNKNOWN_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x00\0\0";

/// Behind a listener of all addresses, each client's header names the address that it has come to.
#[test]
fn a_header_names_the_very_address_that_the_client_came_to() {
    let http = |client: &mut Peer| client.send(b"GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n");
    for (version, way, any) in
        [("v1", Way::Tcp, "[::]"), ("v2", Way::Tcp, "[::]"), ("v1", Way::Http, "[::]"), ("v2", Way::Tcp, "0.0.0.0")]
    {
        let (listener, address) = listener();
        let more = format!("send_proxy_protocol = \"{version}\"");
        let proxy = Proxy::start(&way.route("announced", any, address, &more));
        let port = proxy.address(any.trim_matches(['[', ']'])).port();
        for to in ["127.0.0.1", "127.0.0.9", "::1"] {
            let to = SocketAddr::new(to.parse().unwrap(), port);
            if to.is_ipv6() && any == "0.0.0.0" {
                continue;
            }
            let mut client = Peer::connect(to);
            if way == Way::Http {
                http(&mut client);
            }
            let mut target = Peer::accept(&listener);
            target.expect(&announcing(version, client.tcp().local_addr().unwrap(), to));
            drop(target);
            // A target that is gone: what comes of the request is not asked here.
            client.finish();
            assert_ne!(client.rest().1, End::Silence);
        }
        proxy.finish();
    }
}

/// Who is the first in a chain is told by the last: the addresses of the header that came are those of the header that goes.
#[test]
fn a_header_that_came_is_passed_on_with_both_its_addresses() {
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0";
    let [source, destination] = ["192.0.2.7:4711", "192.0.2.8:443"].map(|text| text.parse().unwrap());
    let [source6, destination6] = ["[2001:db8::7]:4711", "[2001:db8::8]:443"].map(|text| text.parse().unwrap());
    for (any, name) in [("[::]", "::"), ("127.0.0.2", "127.0.0.2")] {
        for (version, unknown) in [("v1", UNKNOWN_V1), ("v2", UNKNOWN_V2)] {
            let (listener, address) = listener();
            let config = format!(
                "[[listeners]]\naddress = \"{any}:0\"\nproxy_protocol = {{ trusted = [\"127.0.0.0/8\"], required = false }}\n"
            ) + &Way::Tcp.route("chain", any, address, &format!("send_proxy_protocol = \"{version}\""));
            let proxy = Proxy::start(&config);
            let to = SocketAddr::new("127.0.0.2".parse().unwrap(), proxy.address(name).port());
            for (came, goes) in [
                (announcing("v1", source, destination), Some(announcing(version, source, destination))),
                (announcing("v2", source, destination), Some(announcing(version, source, destination))),
                (announcing("v1", source6, destination6), Some(announcing(version, source6, destination6))),
                (UNKNOWN_V1.to_vec(), Some(unknown.to_vec())),
                (UNKNOWN_V2.to_vec(), Some(unknown.to_vec())),
                // The sender's own connection counts by its own addresses, and so does one without a header.
                (local.to_vec(), None),
                (Vec::new(), None),
            ] {
                let mut client = Peer::connect(to);
                client.send(&came);
                client.send(b"ping");
                let mut target = Peer::accept(&listener);
                let own = || announcing(version, client.tcp().local_addr().unwrap(), to);
                target.expect(&goes.unwrap_or_else(own));
                target.expect(b"ping");
                client.finish();
                assert_eq!(target.end(), End::Whole);
                target.finish();
                assert_eq!(client.end(), End::Whole);
            }
            proxy.finish();
        }
    }
}

/// A header that names no client cannot say that the client may come in: where some may and others may not, it may not.
#[test]
fn a_client_that_the_header_does_not_name_is_refused_where_addresses_matter() {
    let echo = Target::echo();
    let route = |name: &str, ip: &str, more: &str| {
        Way::Tcp.route(name, ip, echo.address, more)
            + &format!("[[listeners]]\naddress = \"{ip}:0\"\nproxy_protocol = {{ trusted = [\"127.0.0.0/8\"] }}\n")
    };
    let config = route("open", "127.0.0.2", "")
        + &route("allowing", "127.0.0.3", "security.allow = [\"127.0.0.0/8\"]")
        + &route("blocking", "127.0.0.4", "security.block = [\"10.0.0.0/8\"]");
    let proxy = Proxy::start(&config);
    for header in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x21\x00\0\0"] {
        let mut open = Peer::connect(proxy.address("127.0.0.2"));
        open.send(header);
        echoed(open);
        for ip in ["127.0.0.3", "127.0.0.4"] {
            let mut client = Peer::connect(proxy.address(ip));
            client.send(header);
            assert!(client.rest().0.is_empty());
        }
    }
    // The sender's own connection, as its health check is, counts by its own address.
    let mut local = Peer::connect(proxy.address("127.0.0.3"));
    local.send(b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0");
    echoed(local);
    proxy.metrics_until("four were blocked", |metrics| {
        metrics.sum("connections_closed_total", &[("cause", "blocked")]) == 4
    });
    proxy.finish();
}

/// Neither an address that nobody has nor the load balancer's is given out as the client's.
#[test]
fn a_client_that_the_header_does_not_name_is_called_unknown_everywhere() {
    let target = Target::http("target");
    let (kept, kept_address) = listener();
    let proxied =
        |ip: &str| format!("[[listeners]]\naddress = \"{ip}:0\"\nproxy_protocol.trusted = [\"127.0.0.0/8\"]\n");
    let web =
        "trusted_proxies = [\"::/0\", \"0.0.0.0/0\"]\nheaders.request = { set = { x-client = \"<{client_ip}>\" } }";
    let config = Way::Http.route("web", "127.0.0.2", kept_address, web)
        + &Way::Http.route("all", "127.0.0.3", target.address, "match.client_ips = [\"::/0\", \"0.0.0.0/0\"]")
        + &proxied("127.0.0.2")
        + &proxied("127.0.0.3");
    let proxy = Proxy::start(&config);
    let unknown = |ip: &str, rest: &str| {
        let mut client = Peer::connect(proxy.address(ip));
        client.send(format!("PROXY UNKNOWN\r\n{rest}").as_bytes());
        client
    };
    let mut client = unknown("127.0.0.2", "GET / HTTP/1.1\r\nhost: a.test\r\nx-forwarded-for: 192.0.2.9\r\n\r\n");
    let mut at_target = Peer::accept(&kept);
    let request = at_target.message();
    assert_eq!(request.field("forwarded"), "for=unknown;host=a.test;proto=http", "{request:?}");
    assert_eq!(request.field("x-client"), "<>", "{request:?}");
    assert!(request.field("x-forwarded-for").is_empty(), "an unknown client is no trusted proxy: {request:?}");
    let live = proxy.connections();
    let mine = client.ends().client.to_string();
    assert_eq!((live[0]["client"].as_str(), live[0]["peer"].as_str()), (Some("unknown"), Some(&*mine)), "{live:?}");
    at_target.answer("ok");
    assert_eq!(client.message().status(), 200);
    client.finish();
    assert_eq!(client.end(), End::Whole);
    for kind in ["connection", "request"] {
        let line = proxy.line(kind, "the unknown client", |line| line["peer"] == *mine);
        assert_eq!(line["client"], "unknown", "{line}");
    }
    // Not even a route for all addresses is one for an address that nobody knows.
    let mut client = unknown("127.0.0.3", "GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n");
    assert_eq!(client.message().status(), 404);
    drop(client);
    proxy.finish();
}

fn echoed(mut client: Peer) {
    client.send(b"ping");
    client.expect(b"ping");
    left(client);
}
