//! How requests end: who ends, how, and when; on every handler that serves HTTP.

mod matrix;

use std::fmt;

use crate::harness::{End, HOST, Peer, Proxy, Way, case_ip, listener, parsed_head, play};

/// What one side does, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Script {
    ClientFinAfterRequest,
    ClientFinWithinBody,
    ClientRstWithinBody,
    ClientSilentWithinBody,
    ClientRstBeforeResponse,
    ClientRstWithinResponse,
    ClientFinAfterResponse,
    ClientRstAfterResponse,
    ClientSilentAfterResponse,
    TargetFinBeforeResponse,
    TargetRstBeforeResponse,
    TargetSilentBeforeResponse,
    TargetFinWithinResponse,
    TargetRstWithinResponse,
    TargetSilentWithinResponse,
    TargetFinAfterResponse,
    TargetRstAfterResponse,
}

const SCRIPTS: [Script; 17] = [
    Script::ClientFinAfterRequest,
    Script::ClientFinWithinBody,
    Script::ClientRstWithinBody,
    Script::ClientSilentWithinBody,
    Script::ClientRstBeforeResponse,
    Script::ClientRstWithinResponse,
    Script::ClientFinAfterResponse,
    Script::ClientRstAfterResponse,
    Script::ClientSilentAfterResponse,
    Script::TargetFinBeforeResponse,
    Script::TargetRstBeforeResponse,
    Script::TargetSilentBeforeResponse,
    Script::TargetFinWithinResponse,
    Script::TargetRstWithinResponse,
    Script::TargetSilentWithinResponse,
    Script::TargetFinAfterResponse,
    Script::TargetRstAfterResponse,
];

impl Script {
    /// Party and causes, of which one is the request's.
    fn outcome(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::ClientFinAfterRequest | Self::ClientFinWithinBody => ("client", &["closed_early"]),
            Self::ClientRstWithinBody | Self::ClientRstBeforeResponse | Self::ClientRstWithinResponse => {
                ("client", &["reset", "closed_early"])
            }
            Self::ClientSilentWithinBody => ("client", &["body_timeout"]),
            Self::ClientFinAfterResponse
            | Self::ClientRstAfterResponse
            | Self::ClientSilentAfterResponse
            | Self::TargetFinAfterResponse
            | Self::TargetRstAfterResponse => ("client", &["finished"]),
            Self::TargetFinBeforeResponse | Self::TargetFinWithinResponse => ("target", &["target_closed"]),
            Self::TargetRstBeforeResponse | Self::TargetRstWithinResponse => ("target", &["reset", "target_closed"]),
            Self::TargetSilentBeforeResponse => ("target", &["response_head_timeout"]),
            Self::TargetSilentWithinResponse => ("target", &["body_timeout"]),
        }
    }

    /// The status that the client is answered with, or 0 if it is not.
    fn status(self) -> u16 {
        match self {
            Self::ClientFinAfterRequest
            | Self::ClientFinWithinBody
            | Self::ClientRstWithinBody
            | Self::ClientSilentWithinBody
            | Self::ClientRstBeforeResponse => 0,
            Self::TargetFinBeforeResponse | Self::TargetRstBeforeResponse => 502,
            Self::TargetSilentBeforeResponse => 504,
            Self::ClientRstWithinResponse
            | Self::ClientFinAfterResponse
            | Self::ClientRstAfterResponse
            | Self::ClientSilentAfterResponse
            | Self::TargetFinWithinResponse
            | Self::TargetRstWithinResponse
            | Self::TargetSilentWithinResponse
            | Self::TargetFinAfterResponse
            | Self::TargetRstAfterResponse => 200,
        }
    }
}

struct Case {
    way: Way,
    script: Script,
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{:?}", self.way, self.script)
    }
}

const HALF: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf-";

impl Case {
    fn play(&self, client: Peer, target: Peer) {
        let (mut client, mut target) = (client, target);
        let script = self.script;
        match script {
            // A client that closes before its answer has left, as far as HTTP servers can tell: nobody works on for it.
            Script::ClientFinAfterRequest => {
                client.finish();
                assert_ne!(client.rest().1, End::Silence, "the client is released");
                released(target);
            }
            Script::ClientFinWithinBody | Script::ClientRstWithinBody | Script::ClientSilentWithinBody => {
                target.expect(b"0123");
                match script {
                    Script::ClientFinWithinBody => client.finish(),
                    Script::ClientRstWithinBody => {
                        client.reset();
                        return released(target);
                    }
                    _ => {}
                }
                assert_ne!(client.rest().1, End::Silence, "the client is released");
                released(target);
            }
            Script::ClientRstBeforeResponse => {
                client.reset();
                released(target);
            }
            Script::ClientRstWithinResponse => {
                target.send(HALF);
                assert_eq!(parsed_head(&client.head()).status(), 200);
                client.expect(b"half-");
                client.reset();
                released(target);
            }
            Script::ClientFinAfterResponse | Script::ClientRstAfterResponse | Script::ClientSilentAfterResponse => {
                target.answer("whole");
                assert_eq!(client.message().text(), "whole");
                match script {
                    Script::ClientFinAfterResponse => client.finish(),
                    Script::ClientRstAfterResponse => return client.reset(),
                    _ => {}
                }
                assert_eq!(client.end(), End::Whole);
            }
            Script::TargetFinBeforeResponse | Script::TargetRstBeforeResponse | Script::TargetSilentBeforeResponse => {
                match script {
                    Script::TargetFinBeforeResponse => target.finish(),
                    Script::TargetRstBeforeResponse => target.reset(),
                    _ => assert_ne!(target.rest().1, End::Silence, "the target is released"),
                }
                let answer = client.message();
                assert_eq!(answer.status(), script.status(), "{answer:?}");
                client.finish();
                assert_eq!(client.end(), End::Whole);
            }
            Script::TargetFinWithinResponse | Script::TargetRstWithinResponse | Script::TargetSilentWithinResponse => {
                target.send(HALF);
                assert_eq!(parsed_head(&client.head()).status(), 200);
                client.expect(b"half-");
                match script {
                    Script::TargetFinWithinResponse => target.finish(),
                    Script::TargetRstWithinResponse => target.reset(),
                    _ => assert_ne!(target.rest().1, End::Silence, "the target is released"),
                }
                // The length that was promised tells the client that this is not all.
                assert_ne!(client.end(), End::Silence, "the client is released");
            }
            Script::TargetFinAfterResponse | Script::TargetRstAfterResponse => {
                target.answer("whole");
                assert_eq!(client.message().text(), "whole");
                if script == Script::TargetFinAfterResponse {
                    target.finish()
                } else {
                    target.reset()
                }
                // The client's connection is none of the target's business.
                client.finish();
                assert_eq!(client.end(), End::Whole);
            }
        }
    }
}

/// The target is not kept when its client is gone.
fn released(mut target: Peer) {
    assert_ne!(target.rest().1, End::Silence, "the target is released");
}

#[test]
fn every_ending_of_a_request_by_either_side_is_recorded_on_every_http_handler() {
    let mut cases = Vec::new();
    for way in Way::REQUESTS {
        cases.extend(SCRIPTS.map(|script| Case { way, script }));
    }
    let (listeners, addresses): (Vec<_>, Vec<_>) = cases.iter().map(|_| listener()).unzip();
    let mut config = String::from("defaults.timeouts.keep_alive = \"1s\"\n");
    for (number, (case, address)) in cases.iter().zip(&addresses).enumerate() {
        let more = match case.script {
            Script::ClientSilentWithinBody | Script::TargetSilentWithinResponse => "timeouts.body = \"1s\"",
            Script::TargetSilentBeforeResponse => "timeouts.response_head = \"1s\"",
            _ => "",
        };
        config += &case.way.route(&case.to_string(), &case_ip(number), address, more);
    }
    let proxy = Proxy::start(&config);
    play(&cases, |number, case| {
        let mut client = case.way.silent_client(proxy.address(&case_ip(number)));
        let whole = !matches!(
            case.script,
            Script::ClientFinWithinBody | Script::ClientRstWithinBody | Script::ClientSilentWithinBody
        );
        if whole {
            client.request(HOST, "/");
        } else {
            client.send(format!("POST / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 10\r\n\r\n0123").as_bytes());
        }
        let accepted = Peer::accept(&listeners[number]);
        let mut target = case.way.silent_target(accepted, &crate::harness::CERTIFICATES.server());
        let request = parsed_head(&target.head());
        assert_eq!(request.path(), "/");
        case.play(client, target);
        let line = proxy.line("request", &case.to_string(), |line| line["route"] == case.to_string());
        let (party, causes) = case.script.outcome();
        let cause = line["cause"].as_str().unwrap_or_default();
        assert!(causes.contains(&cause) && line["party"] == party, "{party} {causes:?}: {line}");
        let status = line["status"].as_u64().unwrap_or(0);
        if case.script.status() > 0 {
            assert_eq!(status, u64::from(case.script.status()), "{line}");
        }
    });
    let lines = proxy.lines("request");
    assert_eq!(lines.len(), cases.len(), "each request has one line");
    proxy.finish();
}

#[test]
fn an_http_client_that_leaves_or_is_silent_before_its_request_is_released_with_its_cause() {
    let (_listener, target) = listener();
    let mut config = String::from(
        "defaults.timeouts.keep_alive = \"1s\"\ndefaults.timeouts.sniff = \"1s\"\n\
         defaults.timeouts.request_head = \"1s\"\n",
    );
    let mut cases = Vec::new();
    for way in Way::REQUESTS {
        for act in ["fin", "rst", "silence"] {
            for sent in ["", "GET / HTTP/1.1\r\nhos"] {
                config += &way.route(&format!("case-{}", cases.len()), &case_ip(cases.len()), target, "");
                cases.push(format!("{way} {act} {sent:?}"));
            }
        }
    }
    let proxy = Proxy::start(&config);
    play(&cases, |number, case| {
        let way = Way::REQUESTS[number / 6];
        let mut client = way.silent_client(proxy.address(&case_ip(number)));
        let address = client.ends();
        if case.contains("hos") {
            client.send(b"GET / HTTP/1.1\r\nhos");
            let served = |live: &serde_json::Value| address.are_of(live) && live["state"] == "serving";
            proxy.connections_until("the client is being served", |live| live.iter().any(served));
        }
        if case.contains("fin") {
            client.finish();
        } else if case.contains("rst") {
            client.reset();
            let line = proxy.line_of(address);
            assert!(line["party"] == "client", "{line}");
            return;
        }
        let (_, end) = client.rest();
        assert_ne!(end, End::Silence);
        let line = proxy.line_of(address);
        let causes: &[_] = match (case.contains("fin"), case.contains("hos")) {
            (true, false) => &["empty"],
            (true, true) => &["closed_early"],
            (false, false) => &["sniff_timeout", "keep_alive_timeout", "request_head_timeout"],
            (false, true) => &["request_head_timeout"],
        };
        assert!(causes.contains(&line["cause"].as_str().unwrap_or_default()), "{causes:?}: {line}");
    });
    assert_eq!(proxy.metrics().sum("upstream_connects_total", &[]), 0);
    proxy.finish();
}

/// A plain request where no plain route is gets HTTP's word for it, not a close without a word.
#[test]
fn a_plain_request_to_an_address_of_tls_routes_or_of_other_clients_is_told_so() {
    let echo = crate::harness::Target::echo();
    let config = Way::TerminateHttp.route("secure", "127.0.0.2", echo.address, "")
        + &Way::Passthrough.route("unread", "127.0.0.3", echo.address, "")
        + &Way::Http.route("others", "127.0.0.4", echo.address, "match.client_ips = [\"10.0.0.0/8\"]");
    let proxy = Proxy::start(&config);
    for (ip, status) in [("127.0.0.2", 400), ("127.0.0.3", 400), ("127.0.0.4", 404)] {
        let mut client = Peer::connect(proxy.address(ip));
        client.send(b"GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n");
        let answer = client.message();
        assert_eq!((answer.status(), answer.field("connection")), (status, "close"), "{ip}");
        assert_eq!(answer.text().contains("use https://"), status == 400, "{ip}: {answer:?}");
        let id = answer.field("x-request-id");
        assert!(answer.text().ends_with(&format!("\nrequest id: {id}\n")), "{ip}: {answer:?}");
        let line = proxy.line("connection", "that of the id", |line| line["request"] == id);
        assert!(["tls_expected", "no_route"].contains(&line["cause"].as_str().unwrap()), "{line}");
        assert_eq!(client.end(), End::Whole, "{ip}");
    }
    // With prior knowledge of HTTP/2 there is nobody to be told; the log says the same.
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    client.send_what_is_taken(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_ne!(client.rest().1, End::Silence);
    proxy.metrics_until("they are counted", |metrics| {
        let closed = |cause| metrics.sum("connections_closed_total", &[("cause", cause)]);
        (closed("tls_expected"), closed("no_route")) == (3, 1)
    });
    proxy.finish();
}
