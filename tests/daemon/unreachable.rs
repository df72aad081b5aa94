//! Targets that refuse, cannot be reached, never answer, or are slow: the client is released at once, and it is counted.

use std::fmt;
use std::time::{Duration, Instant};

use crate::harness::{
    CERTIFICATES, End, Peer, Proxy, Refusing, Target, UNREACHABLE, Unanswering, Way, case_ip, listener, play,
};

struct Case {
    way: Way,
    target: String,
    cause: &'static str,
    /// Of the attempts in `upstream_connects_total`.
    result: &'static str,
    status: u16,
    phase: &'static str,
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.way, self.cause)
    }
}

/// Far above what a refusal takes, and far below every default timeout but the one that is set.
const AT_ONCE: Duration = Duration::from_secs(3);

#[test]
fn a_target_that_refuses_or_cannot_be_reached_or_never_answers_releases_the_client_on_every_handler() {
    let (refusing, unanswering) = (Refusing::new(), Unanswering::new());
    let mut cases = Vec::new();
    for way in Way::ALL {
        let refused = refusing.address.to_string();
        let party = "connect";
        cases.push(Case { way, target: refused, cause: "refused", result: "refused", status: 502, phase: party });
        let target = UNREACHABLE.to_owned();
        cases.push(Case { way, target, cause: "unreachable", result: "unreachable", status: 502, phase: party });
        let target = unanswering.address.to_string();
        cases.push(Case { way, target, cause: "connect_timeout", result: "timeout", status: 504, phase: party });
    }
    let mut config = String::from("defaults.timeouts.connect = \"700ms\"\n");
    for (number, case) in cases.iter().enumerate() {
        config += &case.way.route(&case.to_string(), &case_ip(number), &case.target, "");
    }
    let proxy = Proxy::start(&config);
    play(&cases, |number, case| {
        let mut client = case.way.client(proxy.address(&case_ip(number)));
        let address = client.ends();
        let begin = Instant::now();
        if case.way.serves_requests() {
            let answer = client.message();
            assert_eq!(answer.status(), case.status, "{answer:?}");
            assert!(!answer.field("x-request-id").is_empty(), "the answer names the request: {answer:?}");
            let line = proxy.line("request", &case.to_string(), |line| line["route"] == case.to_string());
            let found = (line["phase"].as_str(), line["cause"].as_str(), line["target"].as_str());
            assert_eq!(found, (Some(case.phase), Some(case.cause), Some(&*case.target)), "{line}");
            client.finish();
        }
        let (bytes, end) = client.rest();
        assert!(bytes.is_empty() || case.way.terminates(), "no byte but TLS's own is sent: {bytes:?}");
        assert_ne!(end, End::Silence, "the client is released");
        assert!(begin.elapsed() < AT_ONCE, "it took {:?}", begin.elapsed());
        let line = proxy.line_of(address);
        let found = (line["phase"].as_str(), line["cause"].as_str(), line["target"].as_str());
        assert_eq!(found, (Some(case.phase), Some(case.cause), Some(&*case.target)), "{line}");
        let metrics = proxy.metrics();
        let route = case.to_string();
        let failed = metrics.sum("connections_failed_total", &[("route", &route), ("cause", case.cause)]);
        assert_eq!(failed, 1, "{}", metrics.shown("connections_failed_total"));
        let tried = metrics.sum("upstream_connects_total", &[("route", &route), ("result", case.result)]);
        assert_eq!(tried, 1, "{}", metrics.shown("upstream_connects_total"));
        let all = metrics.sum("upstream_connects_total", &[("route", &route)]);
        assert_eq!(all, 1, "{}", metrics.shown("upstream_connects_total"));
    });
    proxy.finish();
}

#[test]
fn the_next_target_is_tried_when_the_first_fails_and_each_failure_is_recorded() {
    let (refusing, unanswering) = (Refusing::new(), Unanswering::new());
    let (echo, http) = (Target::echo(), Target::http("last"));
    let mut config = String::from("defaults.timeouts.connect = \"300ms\"\n");
    for (ip, way, last) in [("127.0.0.2", Way::Tcp, echo.address), ("127.0.0.3", Way::Http, http.address)] {
        // The quotes close and open the list's entries.
        let targets = format!("{UNREACHABLE}\", \"{}\", \"{}\", \"{last}", refusing.address, unanswering.address);
        config += &way.route(&way.to_string(), ip, targets, "");
    }
    let proxy = Proxy::start(&config);
    for _ in 0..4 {
        let mut client = Peer::connect(proxy.address("127.0.0.2"));
        client.send(b"ping");
        client.expect(b"ping");
        client.finish();
        assert_eq!(client.end(), End::Whole);
        let mut client = Peer::connect(proxy.address("127.0.0.3"));
        let answer = client.get("shop.test", "/");
        assert_eq!(answer.field("x-target"), "last", "{answer:?}");
    }
    let metrics = proxy.metrics();
    assert_eq!(metrics.sum("upstream_connects_total", &[("result", "connected"), ("route", "tcp")]), 4);
    assert!(metrics.sum("upstream_connects_total", &[("result", "refused")]) > 0);
    assert!(metrics.sum("upstream_connects_total", &[("result", "unreachable")]) > 0);
    assert!(metrics.sum("upstream_connects_total", &[("result", "timeout")]) > 0);
    assert_eq!(metrics.sum("connections_failed_total", &[]), 0, "every client reached a target in the end");
    proxy.finish();
}

#[test]
fn a_target_that_fails_or_delays_its_tls_handshake_releases_the_client() {
    let silent = Target::serving(|mut peer| drop(peer.rest()));
    let closing = Target::serving(|mut peer| {
        peer.receive(5);
        peer.finish();
        peer.rest();
    });
    let resetting = Target::serving(|mut peer| {
        peer.receive(5);
        peer.reset();
    });
    let stranger = Target::tls_echo(CERTIFICATES.stranger());
    let babbling = Target::serving(|mut peer| {
        peer.receive(5);
        peer.send(b"220 this is not TLS at all\r\n");
        peer.rest();
    });
    let mut cases = Vec::new();
    for way in [Way::ReencryptTcp, Way::ReencryptHttp] {
        for (target, cause, status) in [
            (&silent, "upstream_tls_timeout", 504),
            (&closing, "upstream_tls", 502),
            (&resetting, "upstream_tls", 502),
            (&stranger, "upstream_tls", 502),
            (&babbling, "upstream_tls", 502),
        ] {
            let (target, result) = (target.address.to_string(), "tls");
            cases.push(Case { way, target, cause, result, status, phase: "upstream_handshake" });
        }
    }
    let mut config = String::from("defaults.timeouts.tls_handshake = \"1500ms\"\n");
    for (number, case) in cases.iter().enumerate() {
        config += &case.way.route(&format!("case-{number}"), &case_ip(number), &case.target, "");
    }
    let proxy = Proxy::start(&config);
    play(&cases, |number, case| {
        let mut client = case.way.client(proxy.address(&case_ip(number)));
        let address = client.ends();
        if case.way.serves_requests() {
            let answer = client.message();
            assert_eq!(answer.status(), case.status, "{answer:?}");
            client.finish();
        }
        let (_, end) = client.rest();
        assert_ne!(end, End::Silence, "the client is released");
        let line = proxy.line_of(address);
        let found = (line["phase"].as_str(), line["party"].as_str(), line["cause"].as_str());
        let party = if case.cause == "upstream_tls_timeout" { "proxy" } else { "target" };
        assert_eq!((found.0, found.2), (Some(case.phase), Some(case.cause)), "{line}");
        assert!(found.1 == Some(party) || found.1 == Some("target"), "{line}");
    });
    assert_eq!(proxy.metrics().sum("connections_failed_total", &[]), cases.len() as i64);
    proxy.finish();
}

#[test]
fn b7_a_slow_target_is_waited_for_as_long_as_it_makes_progress() {
    let mut config = String::from("defaults.timeouts.idle = \"1s\"\ndefaults.timeouts.body = \"1s\"\n");
    let (listeners, addresses): (Vec<_>, Vec<_>) = Way::ALL.iter().map(|_| listener()).unzip();
    for (number, way) in Way::ALL.iter().enumerate() {
        config += &way.route(&way.to_string(), &case_ip(number), addresses[number], "");
    }
    let proxy = Proxy::start(&config);
    play(&Way::ALL, |number, way| {
        let mut client = way.client(proxy.address(&case_ip(number)));
        let mut target = way.target(&listeners[number]);
        if way.serves_requests() {
            target.send(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n");
            assert_eq!(crate::harness::parsed_head(&client.head()).status(), 200);
        }
        // Longer in all than either timeout, and never as long without a byte.
        for byte in *b"patience" {
            // The wait is the client's own: nothing comes for so long.
            client.patience(Duration::from_millis(250));
            let mut nothing = [0];
            let waited = std::io::Read::read(&mut client, &mut nothing);
            assert!(waited.is_err(), "nothing was sent");
            client.patience(crate::harness::PATIENCE);
            target.send(&[byte]);
            client.expect(&[byte]);
        }
        client.finish();
        target.finish();
        assert_eq!(client.end(), End::Whole);
    });
    proxy.finish();
}
