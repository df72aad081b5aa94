//! Every cause of the vocabulary, reached from outside, with its line in the access log.

mod alone;
mod proof;
mod upstream;

use std::fmt;

use serde_json::Value;
use smartproxy::outcome::Cause;

use crate::harness::{End, Peer, Proxy, case_ip, play};
use proof::{Proof, proof};

/// Waits for the end of what the test began.
fn released(mut client: Peer) {
    let (_, end) = client.rest();
    assert_ne!(end, End::Silence, "the client is released");
}

/// Shows that the target has been reached.
fn echoed(client: &mut Peer) {
    client.send(b"ping");
    client.expect(b"ping");
}

/// Gets an answer of this status, and leaves.
fn answered(mut client: Peer, status: u16) {
    assert_eq!(client.message().status(), status);
    client.finish();
    released(client);
}

fn found(line: &Value, cause: Cause, phase: &str, party: &str) {
    let found = (line["cause"].as_str(), line["phase"].as_str(), line["party"].as_str());
    assert_eq!(found, (Some(cause.as_str()), Some(phase), Some(party)), "{line}");
}

/// A cause with its route, as the table is played.
struct Case {
    cause: Cause,
    proof: Proof,
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.cause.as_str())
    }
}

#[test]
fn every_cause_is_reached_from_outside_and_its_line_read() {
    let cases: Vec<_> = Cause::ALL.iter().map(|&cause| Case { cause, proof: proof(cause) }).collect();
    let (mut listeners, mut routes) = (String::new(), String::new());
    for (number, case) in cases.iter().enumerate() {
        if let Proof::Route(route) = &case.proof {
            let ip = case_ip(number);
            routes += &route.way.route(case.cause.as_str(), &ip, &route.target, route.more);
            if !route.listener.is_empty() {
                listeners +=
                    &format!("[[listeners]]\naddress = \"{ip}:0\"\nproxy_protocol = {{ {} }}\n", route.listener);
            }
        }
    }
    let proxy = Proxy::start(&(listeners + &routes));
    play(&cases, |number, case| match &case.proof {
        Proof::Route(route) => {
            let address = proxy.address(&case_ip(number));
            (route.act)(&proxy, address);
            let (kind, phase, party) = route.line;
            let line = proxy.line(kind, case.cause.as_str(), |line| {
                let here =
                    |line: &Value| line["listener"] == address.to_string() || line["route"] == case.cause.as_str();
                // A misdirected request has no route, and the line of a request no listener.
                let nowhere = case.cause == Cause::Misdirected && line["route"] == "-";
                line["cause"] == case.cause.as_str() && (here(line) || nowhere)
            });
            found(&line, case.cause, phase, party);
        }
        Proof::Alone(test) => test(),
        Proof::Elsewhere(reason) => assert!(!reason.is_empty()),
    });
    let elsewhere = cases.iter().filter(|case| matches!(case.proof, Proof::Elsewhere(_))).count();
    assert_eq!(elsewhere, 2, "only these two cannot be reached from outside");
    proxy.finish();
}
