//! How relayed connections end: who ends, how, and when; on every handler that relays.

use std::fmt;

use serde_json::Value;

use crate::harness::{End, Peer, Proxy, Way, case_ip, listener, payload, play};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Target,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Fin,
    Rst,
    CloseNotify,
    Silence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Before,
    During,
    After,
}

/// One cell of the matrix.
struct Case {
    way: Way,
    side: Side,
    act: Act,
    moment: Moment,
}

const REQUEST: usize = 10_000;
const RESPONSE: usize = 30_000;
const TAIL: usize = 3_000;

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}-{:?}-{:?}-{:?}", self.way, self.side, self.act, self.moment);
        formatter.write_str(&text.to_ascii_lowercase())
    }
}

impl Case {
    fn all() -> Vec<Self> {
        let mut cases = Vec::new();
        for way in Way::RELAYS {
            for side in [Side::Client, Side::Target] {
                for act in [Act::Fin, Act::Rst, Act::CloseNotify, Act::Silence] {
                    for moment in [Moment::Before, Moment::During, Moment::After] {
                        cases.push(Self { way, side, act, moment });
                    }
                }
            }
        }
        // Only where TLS ends at the proxy can it see a close_notify; inside of a passthrough it is bytes.
        cases.retain(|case| case.act != Act::CloseNotify || case.is_tls(case.side));
        cases
    }

    /// Whether the proxy speaks TLS with this side.
    fn is_tls(&self, side: Side) -> bool {
        match side {
            Side::Client => self.way.terminates(),
            Side::Target => self.way.reencrypts(),
        }
    }

    fn other(&self) -> Side {
        match self.side {
            Side::Client => Side::Target,
            Side::Target => Side::Client,
        }
    }

    /// How the other side sees what this side does.
    fn seen(&self) -> End {
        match self.act {
            Act::Rst => End::Reset,
            // A FIN without close_notify is passed on as what it is, where there is a way to say so.
            Act::Fin if self.is_tls(self.side) && self.is_tls(self.other()) => End::Truncated,
            Act::Fin | Act::CloseNotify | Act::Silence => End::Whole,
        }
    }

    /// Party and cause in the access log.
    fn outcome(&self) -> (&'static str, &'static str) {
        let party = match self.side {
            Side::Client => "client",
            Side::Target => "target",
        };
        match self.act {
            Act::Fin | Act::CloseNotify => (party, "finished"),
            Act::Rst => (party, "reset"),
            Act::Silence => ("proxy", "idle_timeout"),
        }
    }

    /// Payload of client and target before the act.
    fn before(&self) -> (usize, usize) {
        match self.moment {
            Moment::Before => (0, 0),
            Moment::During => (REQUEST, RESPONSE / 2),
            Moment::After => (REQUEST, RESPONSE),
        }
    }

    fn play(&self, proxy: &Proxy, client: Peer, target: Peer) {
        let (mut client, mut target) = (client, target);
        if self.moment == Moment::Before && self.act == Act::Rst {
            // A target that resets before the proxy has seen it connected is another story: `connect_failed`.
            let relaying = |live: &Value| live["route"] == self.to_string() && live["state"] == "relaying";
            proxy.connections_until("the relay has begun", |live| live.iter().any(relaying));
        }
        let (request, response) = self.before();
        client.send(&payload(request));
        target.expect(&payload(request));
        target.send(&payload(response));
        client.expect(&payload(response));
        let (mut request, mut response) = (request as u64 + self.way.opening_length(), response as u64);
        let (mut actor, mut other) = match self.side {
            Side::Client => (client, target),
            Side::Target => (target, client),
        };
        match self.act {
            Act::Fin | Act::CloseNotify => {
                if self.act == Act::Fin {
                    actor.fin()
                } else {
                    actor.close_notify()
                }
                assert_eq!(other.end(), self.seen(), "what the other side sees");
                // Half-closed: the other direction still works.
                other.send(&payload(TAIL));
                actor.expect(&payload(TAIL));
                other.finish();
                assert_eq!(actor.end(), End::Whole, "what the side that ended first sees");
                match self.side {
                    Side::Client => response += TAIL as u64,
                    Side::Target => request += TAIL as u64,
                }
            }
            Act::Rst => {
                actor.reset();
                assert_eq!(other.end(), End::Reset, "what the other side sees");
            }
            Act::Silence => {
                assert_eq!((actor.end(), other.end()), (End::Whole, End::Whole));
            }
        }
        let line = proxy.line("connection", "this case", |line| line["route"] == self.to_string());
        let (party, cause) = self.outcome();
        assert_eq!((text(&line, "party"), text(&line, "cause"), text(&line, "phase")), (party, cause, "relay"));
        assert_eq!((line["bytes_in"].as_u64(), line["bytes_out"].as_u64()), (Some(request), Some(response)), "{line}");
    }
}

#[test]
fn every_ending_by_either_side_at_any_moment_is_passed_on_and_recorded_on_every_relay() {
    let cases = Case::all();
    let (listeners, addresses): (Vec<_>, Vec<_>) = cases.iter().map(|_| listener()).unzip();
    let mut config = String::from("defaults.timeouts.idle = \"10s\"\n");
    for (number, (case, address)) in cases.iter().zip(&addresses).enumerate() {
        // Long enough that nobody is taken for silent whom a busy machine holds up.
        let idle = if case.act == Act::Silence { "timeouts.idle = \"3s\"" } else { "" };
        config += &case.way.route(&case.to_string(), &case_ip(number), address, idle);
    }
    let proxy = Proxy::start(&config);
    play(&cases, |number, case| {
        let client = case.way.client(proxy.address(&case_ip(number)));
        let target = case.way.target(&listeners[number]);
        case.play(&proxy, client, target);
    });
    proxy.finish();
}

/// What a client does before the proxy has all that it needs to choose a target.
struct Early {
    way: Way,
    act: Act,
    /// Bytes of the ClientHello that are sent first.
    sent: usize,
    outcome: (&'static str, &'static str, &'static str),
}

impl fmt::Display for Early {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{:?}-after-{}", self.way, self.act, self.sent)
    }
}

#[test]
fn a_client_that_ends_or_is_silent_before_its_hello_is_whole_is_released_with_its_cause() {
    let mut cases = Vec::new();
    for way in [Way::Passthrough, Way::TerminateTcp, Way::TerminateHttp, Way::ReencryptHttp] {
        for (act, sent, party, cause) in [
            (Act::Fin, 0, "client", "empty"),
            (Act::Rst, 0, "client", "reset"),
            (Act::Silence, 0, "client", "sniff_timeout"),
            (Act::Fin, 100, "client", "closed_early"),
            (Act::Rst, 100, "client", "reset"),
            (Act::Silence, 100, "client", "sniff_timeout"),
        ] {
            cases.push(Early { way, act, sent, outcome: ("sniff", party, cause) });
        }
    }
    let whole = crate::harness::HELLO.len();
    for way in [Way::TerminateTcp, Way::TerminateHttp, Way::ReencryptHttp] {
        for (act, party, cause) in [
            (Act::Fin, "client", "closed_early"),
            (Act::Rst, "client", "reset"),
            (Act::Silence, "client", "handshake_timeout"),
        ] {
            cases.push(Early { way, act, sent: whole, outcome: ("handshake", party, cause) });
        }
    }
    let (_listener, target) = listener();
    let mut config = String::from("defaults.timeouts.sniff = \"1m\"\ndefaults.timeouts.tls_handshake = \"1m\"\n");
    for (number, case) in cases.iter().enumerate() {
        // Only who is silent has little time: the others act when the test has seen them.
        let timeouts = match case.act {
            Act::Silence => "timeouts.sniff = \"1s\"\ntimeouts.tls_handshake = \"1s\"",
            Act::Fin | Act::Rst | Act::CloseNotify => "",
        };
        config += &case.way.route(&format!("case-{number}"), &case_ip(number), target, timeouts);
    }
    let proxy = Proxy::start(&config);
    play(&cases, |number, case| {
        let mut client = Peer::connect(proxy.address(&case_ip(number)));
        let address = client.ends();
        client.send(&crate::harness::HELLO[..case.sent]);
        let handshaking = case.outcome.0 == "handshake";
        if handshaking {
            // The proxy's answer shows that the hello has been taken for whole.
            let first = client.receive(1);
            assert_eq!(first, [22], "a handshake record");
        } else if case.act != Act::Silence {
            let state = |live: &Value| address.are_of(live) && live["state"] == "sniffing";
            proxy.connections_until("the client is being sniffed", |live| live.iter().any(state));
        }
        match case.act {
            Act::Fin | Act::CloseNotify => {
                client.fin();
                let (_, end) = client.rest();
                assert!(matches!(end, End::Whole | End::Reset), "{end:?}");
            }
            Act::Rst => client.reset(),
            Act::Silence => {
                let (_, end) = client.rest();
                assert!(matches!(end, End::Whole | End::Reset), "{end:?}");
            }
        }
        let line = proxy.line_of(address);
        assert_eq!((text(&line, "phase"), text(&line, "party"), text(&line, "cause")), case.outcome, "{line}");
    });
    let metrics = proxy.metrics();
    let expected = cases.iter().filter(|case| case.outcome.2 != "empty").count() as i64;
    assert_eq!(metrics.sum("connections_failed_total", &[]), expected, "an empty connection has not failed");
    assert_eq!(metrics.sum("upstream_connects_total", &[]), 0, "no target was tried");
    proxy.finish();
}

fn text<'a>(line: &'a Value, field: &str) -> &'a str {
    line[field].as_str().unwrap_or_default()
}
