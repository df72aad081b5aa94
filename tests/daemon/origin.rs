//! What broke the proxy that this design comes from: each row of that list, shown not to break this one.
//!
//! Rows that another room's tests show: B5 and B6 `src/http/tests/http2_connections.rs` and `stale.rs`; B7 `unreachable.rs`;
//! B11 `src/connection/admit.rs`; B18 `leaks.rs`; B20 `trace.rs`; B21 and B22 `connections.rs` and `src/connection/pace.rs`.
//! B8 and B9 are of HTTP/3, and B12, B13 and B26 of ACME, neither of which is here.

mod rows;

use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{
    CERTIFICATES, End, HELLO, HOST, Peer, Proxy, Refusing, Target, Unanswering, Way, case_ip, listener, play,
};
use crate::storm::processor_ticks;

fn left(client: &mut Peer) {
    client.finish();
    assert_eq!(client.end(), End::Whole);
}

/// Keeps a connection busy in one direction only, for longer than `times` waits of 200 ms.
fn trickle(from: &mut Peer, to: &mut Peer, times: usize) {
    for number in 0..times {
        // Nothing comes to the sender meanwhile; the wait is its own.
        from.patience(Duration::from_millis(200));
        let waited = std::io::Read::read(from, &mut [0]);
        assert!(waited.is_err() || matches!(waited, Ok(0)), "nothing is sent this way");
        if matches!(waited, Ok(0)) {
            // The other side has finished, so the read does not wait.
            thread::park_timeout(Duration::from_millis(200));
        }
        from.send(&[number as u8]);
        to.expect(&[number as u8]);
    }
    from.patience(crate::harness::PATIENCE);
}

#[test]
fn b1_a_target_that_refuses_never_crashes_the_process() {
    let refusing = Refusing::new();
    let mut config = String::new();
    for (number, way) in Way::ALL.iter().enumerate() {
        config += &way.route(&way.to_string(), &case_ip(number), refusing.address, "");
    }
    let proxy = Proxy::start(&config);
    play(&Way::ALL, |number, way| {
        for _ in 0..30 {
            let mut client = way.client(proxy.address(&case_ip(number)));
            if way.serves_requests() {
                assert_eq!(client.message().status(), 502);
                client.finish();
            }
            assert_ne!(client.rest().1, End::Silence);
        }
    });
    assert_eq!(proxy.ask("/readyz").0, 200, "the process is there");
    proxy.finish();
}

#[test]
fn b2_a_client_whose_target_fails_is_closed_and_the_active_count_falls_at_once() {
    let refusing = Refusing::new();
    let proxy = Proxy::start(&Way::TerminateTcp.route("failing", "127.0.0.2", refusing.address, ""));
    // The clients do not close: only the proxy does.
    let mut clients: Vec<_> = (0..50).map(|_| Way::TerminateTcp.client(proxy.address("127.0.0.2"))).collect();
    proxy.metrics_until("all are closed", |metrics| {
        metrics.sum("connections_active", &[]) == 0 && metrics.sum("connections_failed_total", &[]) == 50
    });
    for client in &mut clients {
        assert_ne!(client.rest().1, End::Silence);
    }
    proxy.finish();
}

#[test]
fn b3_half_closed_streams_live_as_long_as_they_move_and_one_side_does_not_destroy_the_other() {
    let (listeners, addresses): (Vec<_>, Vec<_>) = Way::RELAYS.iter().map(|_| listener()).unzip();
    let mut config = String::new();
    for (number, way) in Way::RELAYS.iter().enumerate() {
        // Far shorter than what the stream lasts: no rule but these may end it, and they count from the last byte.
        let more = "timeouts.half_closed = \"1s\"\ntimeouts.idle = \"1s\"";
        config += &way.route(&way.to_string(), &case_ip(number), addresses[number], more);
    }
    let proxy = Proxy::start(&config);
    play(&Way::RELAYS, |number, way| {
        let mut client = way.client(proxy.address(&case_ip(number)));
        let mut target = way.target(&listeners[number]);
        client.finish();
        assert_eq!(target.end(), End::Whole);
        trickle(&mut target, &mut client, 12);
        target.finish();
        assert_eq!(client.end(), End::Whole);
        let line = proxy.line_of(client.ends());
        assert_eq!((line["party"].as_str(), line["cause"].as_str()), (Some("client"), Some("finished")), "{line}");
    });
    proxy.finish();
}

#[test]
fn b4_a_long_lived_stream_in_a_passthrough_is_ended_by_no_rule_but_idle() {
    let (listener, address) = listener();
    let proxy = Proxy::start(&Way::Passthrough.route("socket", "127.0.0.2", address, "timeouts.idle = \"1s\""));
    let mut client = Way::Passthrough.client(proxy.address("127.0.0.2"));
    let mut target = Way::Passthrough.target(&listener);
    // In one direction only, then in the other only: three times as long as the idle time in all.
    trickle(&mut target, &mut client, 8);
    trickle(&mut client, &mut target, 8);
    client.finish();
    assert_eq!(target.end(), End::Whole);
    target.finish();
    assert_eq!(client.end(), End::Whole);
    proxy.finish();
}

#[test]
fn b16_clients_behind_one_address_are_told_apart_by_the_proxy_header() {
    let echo = Target::echo();
    let listener = "[[listeners]]\naddress = \"127.0.0.2:0\"\nproxy_protocol = { trusted = [\"127.0.0.0/8\"] }\n";
    let route = Way::Passthrough.route("inner", "127.0.0.2", echo.address, "limits.max_connections_per_ip = 1");
    let proxy = Proxy::start(&(listener.to_owned() + &route));
    let mut clients: Vec<_> = (1..=100)
        .map(|number| {
            let mut client = Peer::connect(proxy.address("127.0.0.2"));
            client.send(format!("PROXY TCP4 192.0.2.{number} 192.0.2.1 1000 443\r\n").as_bytes());
            client.send(&HELLO);
            client
        })
        .collect();
    for client in &mut clients {
        client.expect(&HELLO);
    }
    clients.iter_mut().for_each(left);
    proxy.finish();
}

#[test]
fn b17_a_client_that_leaves_while_its_target_is_being_connected_leaves_nothing_behind() {
    let unanswering = Unanswering::new();
    let mut config = String::new();
    for (number, way) in Way::ALL.iter().enumerate() {
        config += &way.route(&way.to_string(), &case_ip(number), unanswering.address, "");
    }
    let proxy = Proxy::start(&config);
    play(&Way::ALL, |number, way| {
        let client = way.client(proxy.address(&case_ip(number)));
        let address = client.ends();
        proxy.connections_until("the target is being connected", |live| {
            live.iter().any(|live| address.are_of(live) && live["state"] == "connecting")
        });
        let begin = Instant::now();
        client.reset();
        let line = proxy.line_of(address);
        assert!(begin.elapsed() < Duration::from_secs(3), "the connect goes on without a client: {line}");
        assert_eq!(line["party"], "client", "{line}");
        let route = way.to_string();
        proxy.metrics_until("the attempt is recorded once", |metrics| {
            metrics.sum("upstream_connects_total", &[("route", &route), ("result", "cancelled")]) == 1
                && metrics.sum("upstream_connects_total", &[("route", &route)]) == 1
        });
    });
    proxy.finish();
}

#[test]
fn b19_limits_hold_for_connections_whose_tls_ends_here_before_their_handshake() {
    let echo = Target::echo();
    let more = "limits.max_connections_per_ip = 1\nlimits.max_connections = 2";
    let proxy = Proxy::start(&Way::TerminateTcp.route("limited", "127.0.0.2", echo.address, more));
    let address = proxy.address("127.0.0.2");
    let from = |ip| Peer::connect_from(ip, address);
    let serve = |peer: Peer| {
        let mut client = peer.tls(HOST, &CERTIFICATES.client(&[]));
        client.send(b"ping");
        client.expect(b"ping");
        client
    };
    let mut inside = vec![serve(from("127.0.9.1")), serve(from("127.0.9.2"))];
    for (ip, cause) in [("127.0.9.1", "client_connection_limit"), ("127.0.9.3", "route_connection_limit")] {
        let mut refused = from(ip);
        refused.send_what_is_taken(&HELLO);
        assert!(refused.rest().0.is_empty(), "not a byte of a handshake");
        assert_eq!(proxy.line_of(refused.ends())["cause"], cause);
    }
    left(&mut inside.pop().unwrap());
    proxy.connections_until("one has left", |live| live.len() == 1);
    let mut refused = from("127.0.9.1");
    refused.send_what_is_taken(&HELLO);
    assert!(refused.rest().0.is_empty(), "not a byte of a handshake");
    assert_eq!(proxy.line_of(refused.ends())["cause"], "client_connection_limit");
    inside.push(serve(from("127.0.9.4")));
    inside.iter_mut().for_each(left);
    proxy.finish();
}

#[test]
fn b23_the_first_chunk_is_counted_once() {
    let (echo, http) = (Target::echo(), Target::http("target"));
    let config = Way::Passthrough.route("passed", "127.0.0.2", echo.address, "")
        + &Way::TerminateTcp.route("terminated", "127.0.0.3", echo.address, "")
        + &Way::Http.route("http", "127.0.0.4", http.address, "");
    let proxy = Proxy::start(&config);
    let mut passed = Peer::connect(proxy.address("127.0.0.2"));
    passed.send(&HELLO);
    passed.expect(&HELLO);
    left(&mut passed);
    let line = proxy.line_of(passed.ends());
    let hello = HELLO.len() as u64;
    assert_eq!((line["bytes_in"].as_u64(), line["bytes_out"].as_u64()), (Some(hello), Some(hello)));
    let mut terminated = Way::TerminateTcp.client(proxy.address("127.0.0.3"));
    terminated.send(b"first");
    terminated.expect(b"first");
    left(&mut terminated);
    let line = proxy.line_of(terminated.ends());
    assert_eq!((line["bytes_in"].as_u64(), line["bytes_out"].as_u64()), (Some(5), Some(5)));
    let mut requests = Peer::connect(proxy.address("127.0.0.4"));
    requests.send(format!("POST / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 5\r\n\r\nfirst").as_bytes());
    let answer = requests.message();
    left(&mut requests);
    let line = proxy.line("request", "the request", |_| true);
    let counted = (line["bytes_in"].as_u64(), line["bytes_out"].as_u64());
    assert_eq!(counted, (Some(5), Some(answer.body.len() as u64)), "requests count their bodies");
    proxy.finish();
}

#[test]
fn b24_nothing_spins_or_blocks_while_connections_wait() {
    let (echo, unanswering) = (Target::echo(), Unanswering::new());
    let config = String::from("defaults.timeouts.connect = \"2s\"\n")
        + &Way::Tcp.route("idle", "127.0.0.2", echo.address, "timeouts.idle = \"2s\"")
        + &Way::Tcp.route("connecting", "127.0.0.3", unanswering.address, "")
        + &Way::Passthrough.route("sniffed", "127.0.0.4", echo.address, "timeouts.sniff = \"2s\"");
    let proxy = Proxy::start(&config);
    let mut clients = Vec::new();
    for ip in ["127.0.0.2", "127.0.0.3", "127.0.0.4"] {
        clients.extend((0..20).map(|_| Peer::connect(proxy.address(ip))));
    }
    proxy.connections_until("all wait", |live| live.len() == clients.len());
    let (begin, ticks) = (Instant::now(), processor_ticks(&proxy));
    for client in &mut clients {
        assert_ne!(client.rest().1, End::Silence);
    }
    let (passed, used) = (begin.elapsed(), processor_ticks(&proxy) - ticks);
    assert!(passed > Duration::from_millis(1500), "they waited: {passed:?}");
    assert!(used <= 20, "sixty waiting connections took {used} hundredths of a second within {passed:?}");
    proxy.finish();
}

#[test]
fn b25_a_server_name_in_a_fragmented_hello_is_found() {
    let (right, wrong) = (Target::echo(), Target::echo());
    let domains = |name| format!("match.domains = [\"{name}\"]");
    let config = Way::Passthrough.route("right", "127.0.0.2", right.address, &domains(HOST))
        + &Way::Passthrough.route("wrong", "127.0.0.3", wrong.address, &domains("other.test"));
    // Both at one address: the name alone decides.
    let config = config.replace("127.0.0.3:0", "127.0.0.2:0");
    let proxy = Proxy::start(&config);
    for cut in [1, 5, 6, 43, 60, 100, HELLO.len() - 1] {
        let mut client = Peer::connect(proxy.address("127.0.0.2"));
        client.send(&HELLO[..cut]);
        proxy.connections_until("the rest is waited for", |live| live.iter().any(|live| live["state"] == "sniffing"));
        client.send(&HELLO[cut..]);
        client.expect(&HELLO);
        left(&mut client);
        assert_eq!(proxy.line_of(client.ends())["route"], "right");
    }
    assert_eq!(wrong.accepted(), 0);
    proxy.finish();
}
