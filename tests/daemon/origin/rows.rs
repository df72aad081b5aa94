//! Rows of that list on what is bound, counted and said, and its weak spots on addresses.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::harness::{CERTIFICATES, End, FILE, HELLO, HOST, Peer, Proxy, Target, Way};

fn left(client: &mut Peer) {
    client.finish();
    assert_eq!(client.end(), End::Whole);
}

fn echoed(client: &mut Peer) {
    client.send(b"ping");
    client.expect(b"ping");
}

/// So many ports in a row that are free on every address: below those that the system gives out by itself, where nobody comes
/// between the look and the start; and not where another run of these tests looks first.
fn free_ports(count: u16) -> RangeInclusive<u16> {
    let begin = 20_000 + (std::process::id() % 3_000) as u16;
    // Each caller of this process has its own thousand.
    let turn = TURNS.fetch_add(1, Ordering::Relaxed) % 8;
    let mut ports = (begin + turn * 1_000..32_000).map(|first| first..=first + count - 1);
    let are_free = |ports: &RangeInclusive<u16>| {
        ports.clone().map(|port| TcpListener::bind(("::", port))).collect::<Result<Vec<_>, _>>().is_ok()
    };
    ports.find(are_free).expect("free ports in a row")
}

static TURNS: AtomicU16 = AtomicU16::new(0);

fn at(route: &str, ip: &str, address: SocketAddr) -> String {
    route.replace(&format!("{ip}:0"), &address.to_string())
}

#[test]
fn b10_a_route_has_one_series_whichever_listener_or_generation_its_connections_come_by() {
    let http = Target::https("target", CERTIFICATES.server());
    let ports = |config: String| config.replace("[\"127.0.0.2:0\"]", "[\"127.0.0.2:0\", \"127.0.0.3:0\"]");
    let config = ports(Way::ReencryptHttp.route("shop", "127.0.0.2", http.address, ""));
    let passed = ports(Way::Passthrough.route("shop", "127.0.0.2", http.address, ""));
    let mut proxy = Proxy::start(&config);
    let mut rounds = 0;
    // Another kind of handler under the same name counts on.
    for config in [&config, &passed, &config] {
        proxy.reload(config);
        for ip in ["127.0.0.2", "127.0.0.3"] {
            let mut client = Peer::connect(proxy.address(ip)).tls(HOST, &CERTIFICATES.client(&[]));
            assert_eq!(client.get(HOST, "/").status(), 200);
            client.finish();
            assert_ne!(client.rest().1, End::Silence);
            rounds += 1;
            proxy.metrics_until("each is counted under the one name", |metrics| {
                let of = |name| metrics.sum(name, &[("route", "shop")]);
                of("connections_closed_total") == rounds
                    && metrics.sum("connections_closed_total", &[]) == rounds
                    && of("connections_active") == 0
            });
        }
    }
    proxy.finish();
}

#[test]
fn b14_an_address_that_is_the_proxys_own_is_never_called_anothers() {
    let (one, two) = (Target::http("one"), Target::http("two"));
    let address = SocketAddr::new("127.0.0.2".parse().unwrap(), *free_ports(1).start());
    let named = |name: &str, target: &Target| {
        let domains = format!("match.domains = [\"{name}.test\"]");
        at(&Way::Http.route(name, "127.0.0.2", target.address, &domains), "127.0.0.2", address)
    };
    let mut proxy = Proxy::start(&named("one", &one));
    let inodes = proxy.listening_inodes();
    // A second route on the port, and one for TLS, share what is bound.
    let secure = at(&Way::TerminateHttp.route("secure", "127.0.0.2", one.address, ""), "127.0.0.2", address);
    proxy.reload(&(named("one", &one) + &named("two", &two) + &secure));
    assert_eq!(proxy.listening_inodes(), inodes, "nothing is bound anew");
    for name in ["one", "two"] {
        let mut client = Peer::connect(address);
        assert_eq!(client.get(&format!("{name}.test"), "/").field("x-target"), name);
        left(&mut client);
    }
    let mut client = Peer::connect(address).tls(HOST, &CERTIFICATES.client(&[]));
    assert_eq!(client.get(HOST, "/").status(), 200);
    left(&mut client);
    let checked = proxy.command(&["check"]).output().unwrap();
    assert!(checked.status.success(), "the running daemon has it, and that is no fault: {checked:?}");
    // The whole of the port is another address, in whose way our own socket is not.
    let any = named("one", &one).replace(&format!("\"{address}\""), &address.port().to_string());
    proxy.reload(&any);
    let mut client = Peer::connect(address);
    assert_eq!(client.get("one.test", "/").status(), 200);
    left(&mut client);
    // Somebody else's is somebody else's.
    let taken = TcpListener::bind("127.0.0.3:0").unwrap();
    let other = at(&Way::Tcp.route("taken", "127.0.0.3", one.address, ""), "127.0.0.3", taken.local_addr().unwrap());
    let event = proxy.reload_refused(&(any + &other));
    assert!(event.contains("another process has it"), "{event}");
    proxy.rebase();
    proxy.finish();
}

#[test]
fn b15_a_setting_at_the_top_holds_for_every_route_or_is_refused() {
    let echo = Target::echo();
    let route = Way::Tcp.route("echo", "127.0.0.2", echo.address, "");
    let proxy = Proxy::start(&("defaults.limits.max_connections_per_ip = 1\n".to_owned() + &route));
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    echoed(&mut client);
    let mut second = Peer::connect(proxy.address("127.0.0.2"));
    assert_ne!(second.rest().1, End::Silence);
    assert_eq!(proxy.line_of(second.ends())["cause"], "client_connection_limit");
    left(&mut client);
    for line in ["limits.max_connections_per_ip = 1", "max_connections_per_ip = 1", "email = \"a@b.test\""] {
        let event = proxy.reload_refused(&format!("{line}\n{route}"));
        assert!(event.contains("unknown key"), "{line}: {event}");
        assert!(event.contains(FILE), "{line}: {event}");
    }
    proxy.finish();
}

/// Of weak spots 1 and 2: lists of either family hold, at their edges, and none opens what it should close.
#[test]
fn lists_of_ipv6_addresses_block_and_allow_as_those_of_ipv4_do() {
    let echo = Target::echo();
    let lists = [
        "block = [\"2001:db8::/32\"]",
        "allow = [\"2001:db8::/32\"]",
        "block = [\"128.0.0.0/1\"]",
        "allow = [\"::ffff:192.0.2.0/120\"]",
    ];
    let client_ips = "match.client_ips = [\"2001:db8::/32\", \"128.0.0.0/1\"]";
    let mut config = String::new();
    for number in 0..=lists.len() {
        let ip = format!("127.0.0.{}", number + 2);
        config += &format!("[[listeners]]\naddress = \"{ip}:0\"\nproxy_protocol = {{ trusted = [\"127.0.0.0/8\"] }}\n");
    }
    for (number, list) in lists.iter().enumerate() {
        let more = format!("security = {{ {list} }}");
        config += &Way::Tcp.route(&format!("list-{number}"), &format!("127.0.0.{}", number + 2), echo.address, &more);
    }
    config += &Way::Tcp.route("matched", "127.0.0.6", echo.address, client_ips);
    let proxy = Proxy::start(&config);
    let clients =
        ["2001:db8::1", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::", "::1", "128.0.0.0", "192.0.2.1"];
    for (number, let_in) in [
        [false, false, true, true, true, true],
        [true, true, false, false, false, false],
        [true, true, true, true, false, false],
        [false, false, false, false, false, true],
        [true, true, false, false, true, true],
    ]
    .into_iter()
    .enumerate()
    {
        for (from, let_in) in clients.iter().zip(let_in) {
            let family = if from.contains(':') { "TCP6" } else { "TCP4" };
            let to = if from.contains(':') { "2001:db8::2" } else { "192.0.2.2" };
            let mut client = Peer::connect(proxy.address(&format!("127.0.0.{}", number + 2)));
            client.send(format!("PROXY {family} {from} {to} 4711 443\r\n").as_bytes());
            let _ = client.write_all(b"ping");
            if let_in {
                client.expect(b"ping");
                left(&mut client);
            } else {
                let (bytes, end) = client.rest();
                assert!(bytes.is_empty() && end != End::Silence, "{number}: {from}: {bytes:?} {end:?}");
            }
        }
    }
    let closed = |cause| proxy.metrics().sum("connections_closed_total", &[("cause", cause)]);
    assert_eq!((closed("blocked"), closed("no_route")), (2 + 4 + 2 + 5, 2));
    proxy.finish();
}

/// Of weak spot 1: both families come by one port, and are told apart as what they are; a target may be of either.
#[test]
fn a_port_serves_both_families_and_shows_each_client_as_what_it_is() {
    let listener = TcpListener::bind("[::1]:0").unwrap();
    let target = listener.local_addr().unwrap();
    let more = "security = { block = [\"127.0.9.0/24\"] }";
    let proxy = Proxy::start(&Way::Passthrough.route("both", "[::]", target, more));
    let port = proxy.address("::").port();
    for ip in ["127.0.0.1", "::1"] {
        let mut client = Peer::connect(SocketAddr::new(ip.parse().unwrap(), port));
        client.send(&HELLO);
        let mut target = Peer::accept(&listener);
        target.expect(&HELLO);
        let live = proxy.connections();
        assert_eq!(live[0]["client"], client.ends().client.to_string(), "{live:?}");
        left_both(client, target);
    }
    // An entry for IPv4 holds for who comes by the socket of IPv6.
    let mut refused = Peer::connect_from("127.0.9.1", SocketAddr::new("127.0.0.1".parse().unwrap(), port));
    refused.send_what_is_taken(&HELLO);
    assert!(refused.rest().0.is_empty());
    let line = proxy.line("connection", "who is blocked", |line| line["cause"] == "blocked");
    assert!(line["client"].as_str().unwrap().starts_with("127.0.9.1:"), "{line}");
    proxy.finish();
}

fn left_both(mut client: Peer, mut target: Peer) {
    client.finish();
    assert_eq!(target.end(), End::Whole);
    target.finish();
    assert_eq!(client.end(), End::Whole);
}

/// Of weak spot 7: a range is every one of its ports, and one that goes backwards is a fault.
#[test]
fn a_range_listens_on_each_of_its_ports_and_one_that_goes_backwards_is_refused() {
    let echo = Target::echo();
    let ports = free_ports(3);
    let (first, last) = (*ports.start(), *ports.end());
    let range = |from: u16, to: u16| {
        Way::Tcp.route("range", "127.0.0.2", echo.address, "").replace("127.0.0.2:0", &format!("{from}-{to}"))
    };
    let proxy = Proxy::start(&range(first, last));
    for port in first..=last {
        let mut client = Peer::connect(SocketAddr::new("127.0.0.2".parse().unwrap(), port));
        echoed(&mut client);
        left(&mut client);
    }
    assert_eq!(proxy.addresses().len(), 3);
    for wrong in [format!("\"{last}-{first}\""), format!("\"{first}.5\""), format!("{first}.5"), "65536".to_owned()] {
        let event = proxy.reload_refused(&range(first, last).replace(&format!("\"{first}-{last}\""), &wrong));
        assert!(event.contains("match.ports = [") && event.contains(FILE), "{wrong}: {event}");
    }
    proxy.finish();
}
