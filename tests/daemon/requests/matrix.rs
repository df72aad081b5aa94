//! {FIN, RST, close_notify, silence} by {client, target} at each moment of a request, on every handler that serves HTTP.

use std::fmt;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{
    CERTIFICATES, End, HOST, Message, PATIENCE, Peer, Proxy, Way, case_ip, listener, parsed_head, play,
};

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
    /// Before a byte of HTTP from this side.
    Before,
    /// Within the request's body.
    Upload,
    /// Within the answer.
    During,
    /// After the answer.
    After,
}

/// How a target says where its answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Told,
    Chunked,
    /// Its connection's end is the answer's.
    UntilClose,
}

/// One cell of the matrix.
struct Case {
    way: Way,
    side: Side,
    act: Act,
    moment: Moment,
    length: Length,
}

/// What bounds a client that has not said anything yet, by whichever of them its handler goes.
const FIRST_BYTE: &str = "timeouts.sniff = \"1s\"\ntimeouts.keep_alive = \"1s\"\ntimeouts.request_head = \"1s\"";

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}-{:?}-{:?}-{:?}-{:?}", self.way, self.side, self.act, self.moment, self.length);
        formatter.write_str(&text.to_ascii_lowercase())
    }
}

impl Case {
    fn all() -> Vec<Self> {
        let mut cases = Vec::new();
        for way in Way::REQUESTS {
            for side in [Side::Client, Side::Target] {
                for act in [Act::Fin, Act::Rst, Act::CloseNotify, Act::Silence] {
                    for moment in [Moment::Before, Moment::Upload, Moment::During, Moment::After] {
                        for length in [Length::Told, Length::Chunked, Length::UntilClose] {
                            cases.push(Self { way, side, act, moment, length });
                        }
                    }
                }
            }
        }
        cases.retain(|case| {
            // Only where TLS ends at the proxy can it see a close_notify.
            let seen = case.act != Act::CloseNotify || case.is_tls(case.side);
            // The length of an answer matters where there is half of one only.
            seen && (case.moment == Moment::During || case.length == Length::Told)
        });
        cases
    }

    fn is_tls(&self, side: Side) -> bool {
        match side {
            Side::Client => self.way.terminates(),
            Side::Target => self.way.reencrypts(),
        }
    }

    /// An answer without a length is whole when its target has said that it has ended, which inside TLS a FIN does not say.
    fn is_whole(&self) -> bool {
        match (self.side, self.moment, self.length, self.act) {
            (Side::Target, Moment::During, Length::UntilClose, Act::CloseNotify) => true,
            (Side::Target, Moment::During, Length::UntilClose, Act::Fin) => !self.is_tls(Side::Target),
            _ => self.moment == Moment::After,
        }
    }

    /// Party and causes of the line, of which it has one.
    fn outcome(&self) -> (&'static str, &'static [&'static str]) {
        if self.is_whole() {
            return ("client", &["finished"]);
        }
        match (self.side, self.act, self.moment) {
            (Side::Client, Act::Fin | Act::CloseNotify, Moment::Before) => ("client", &["empty"]),
            // Inside TLS its hello has told what it speaks, and a request is waited for as between two of them.
            (Side::Client, Act::Silence, Moment::Before) if self.is_tls(Side::Client) => {
                ("proxy", &["keep_alive_timeout"])
            }
            (Side::Client, Act::Silence, Moment::Before) => ("client", &["sniff_timeout"]),
            (Side::Client, Act::Fin | Act::CloseNotify, _) => ("client", &["closed_early"]),
            (Side::Client, Act::Silence, _) => ("client", &["body_timeout"]),
            // Between two reads a reset may look like an end.
            (Side::Client, Act::Rst, Moment::Before) => ("client", &["reset"]),
            (Side::Client, Act::Rst, _) => ("client", &["reset", "closed_early"]),
            (Side::Target, Act::Fin | Act::CloseNotify, _) => ("target", &["target_closed"]),
            (Side::Target, Act::Rst, _) => ("target", &["reset", "target_closed"]),
            (Side::Target, Act::Silence, Moment::Before) => ("target", &["response_head_timeout"]),
            (Side::Target, Act::Silence, _) => ("target", &["body_timeout"]),
        }
    }

    /// The status that a client is answered with which has nothing of the target's answer.
    fn status(&self) -> u16 {
        if self.act == Act::Silence { 504 } else { 502 }
    }

    fn more(&self) -> &'static str {
        match (self.act, self.moment, self.side) {
            (Act::Silence, Moment::Before, Side::Target) => "timeouts.response_head = \"1s\"",
            (Act::Silence, Moment::Before, Side::Client) => FIRST_BYTE,
            // Longer than a busy machine takes for the handshakes of all.
            (Act::Silence, Moment::Upload | Moment::During, _) => "timeouts.body = \"3s\"",
            (Act::Silence, Moment::After, _) => "timeouts.keep_alive = \"1s\"",
            (Act::Fin | Act::Rst | Act::CloseNotify, _, _) => "",
        }
    }

    fn play(&self, proxy: &Proxy, listener: &TcpListener, number: usize) {
        let mut client = self.way.silent_client(proxy.address(&case_ip(number)));
        let ends = client.ends();
        if (self.side, self.moment) == (Side::Client, Moment::Before) {
            if self.act == Act::Rst {
                client.reset();
            } else {
                begin(&mut client, self.act);
                assert_ne!(client.rest().1, End::Silence, "the client is released");
            }
            return self.found(&proxy.line_of(ends));
        }
        if self.moment == Moment::Upload {
            let head = format!("POST / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 1000000000\r\n\r\n0123");
            client.send(head.as_bytes());
        } else {
            client.request(HOST, "/");
        }
        let target = self.way.silent_target(Peer::accept(listener), &CERTIFICATES.server());
        self.talk(client, target);
        let line = proxy.line("request", &self.to_string(), |line| line["route"] == self.to_string());
        self.found(&line);
    }

    fn talk(&self, mut client: Peer, mut target: Peer) {
        assert!(parsed_head(&target.head()).start.contains(" / HTTP/1.1"));
        match self.moment {
            Moment::Before => {}
            Moment::Upload => target.expect(b"0123"),
            Moment::During => {
                target.send(match self.length {
                    Length::Told => b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\nhalf-",
                    Length::Chunked => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhalf-\r\n",
                    Length::UntilClose => b"HTTP/1.1 200 OK\r\n\r\nhalf-",
                });
                let head = parsed_head(&client.head());
                assert_eq!(head.status(), 200, "{head:?}");
                client.expect(if self.length == Length::Told { b"half-" } else { b"5\r\nhalf-\r\n" });
            }
            Moment::After => {
                target.answer("whole");
                assert_eq!(client.message().text(), "whole");
            }
        }
        match self.side {
            Side::Client => self.by_client(client, target),
            Side::Target => self.by_target(client, target),
        }
    }

    fn by_client(&self, mut client: Peer, mut target: Peer) {
        if (self.act, self.moment) == (Act::Silence, Moment::During) {
            // Who takes nothing of the answer is silent only once there is more than the kernels hold.
            let content = "x".repeat(0x1_0000);
            let piece = if self.length == Length::Chunked { format!("10000\r\n{content}\r\n") } else { content };
            while target.write_all(piece.as_bytes()).is_ok() {}
            return drop(client);
        }
        let rest = match self.act {
            Act::Rst => {
                client.reset();
                None
            }
            act => {
                begin(&mut client, act);
                Some(client.rest())
            }
        };
        if let Some((bytes, end)) = rest {
            assert_ne!(end, End::Silence, "the client is released");
            assert!(!bytes.ends_with(b"0\r\n\r\n"), "half an answer looks whole");
            assert!(self.moment != Moment::After || (bytes.is_empty() && end == End::Whole), "{end:?}");
        }
        assert_ne!(target.rest().1, End::Silence, "the target is released");
    }

    fn by_target(&self, mut client: Peer, mut target: Peer) {
        // Whoever is waited for holds its connection: the test's own, which is dropped at the end.
        let held = match (self.act, self.moment) {
            (Act::Rst, _) => {
                target.reset();
                None
            }
            (Act::Silence, Moment::Upload) => {
                assert_eq!(answered_while_sending(&mut client).status(), self.status());
                return drop((client, target));
            }
            (act, _) => {
                begin(&mut target, act);
                Some(target)
            }
        };
        match self.moment {
            Moment::Before | Moment::Upload => self.refused(&mut client),
            Moment::During if self.is_whole() => {
                client.expect(b"0\r\n\r\n");
                client.finish();
                assert_eq!(client.end(), End::Whole);
            }
            Moment::During => {
                let (bytes, end) = client.rest();
                assert_ne!(end, End::Silence, "the client is released");
                assert!(bytes.is_empty(), "nothing was sent after the half: {bytes:?}");
            }
            // The client's connection is none of the target's business.
            Moment::After => {
                client.finish();
                assert_eq!(client.end(), End::Whole);
            }
        }
        if let Some(mut target) = held {
            assert_ne!(target.rest().1, End::Silence, "the target is released");
        }
    }

    fn refused(&self, client: &mut Peer) {
        let answer = client.message();
        assert_eq!(answer.status(), self.status(), "{answer:?}");
        if self.moment == Moment::Before {
            client.finish();
            assert_eq!(client.end(), End::Whole);
        }
    }

    fn found(&self, line: &Value) {
        let (party, causes) = self.outcome();
        let cause = line["cause"].as_str().unwrap_or_default();
        assert!(causes.contains(&cause) && line["party"] == party, "{party} {causes:?}: {line}");
    }
}

fn begin(peer: &mut Peer, act: Act) {
    match act {
        Act::Fin => peer.fin(),
        Act::CloseNotify => peer.close_notify(),
        Act::Silence => {}
        Act::Rst => unreachable!("a reset takes its peer"),
    }
}

/// The answer that comes while more is sent than the kernels hold.
fn answered_while_sending(client: &mut Peer) -> Message {
    let moment = Duration::from_millis(20);
    client.patience(moment);
    client.tcp().set_write_timeout(Some(moment)).unwrap();
    let (begin, mut head, mut buffer) = (Instant::now(), Vec::new(), [0; 1024]);
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        assert!(begin.elapsed() < PATIENCE, "no answer comes");
        // What does not fit is sent with the next.
        let _ = client.write(&[b'x'; 16 * 1024]);
        match client.read(&mut buffer) {
            Ok(length) => {
                assert!(length > 0, "the end came instead of an answer");
                head.extend(&buffer[..length]);
            }
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}"),
        }
    }
    parsed_head(&String::from_utf8_lossy(&head))
}

#[test]
fn every_ending_by_either_side_at_any_moment_is_recorded_on_every_http_handler() {
    let cases = Case::all();
    let (listeners, addresses): (Vec<_>, Vec<_>) = cases.iter().map(|_| listener()).unzip();
    let mut config = String::new();
    for (number, (case, address)) in cases.iter().zip(&addresses).enumerate() {
        config += &case.way.route(&case.to_string(), &case_ip(number), address, case.more());
    }
    let proxy = Proxy::start(&config);
    play(&cases, |number, case| case.play(&proxy, &listeners[number], number));
    let before = cases.iter().filter(|case| (case.side, case.moment) == (Side::Client, Moment::Before)).count();
    assert_eq!(proxy.lines("request").len(), cases.len() - before, "each request has one line, and no other has");
    proxy.finish();
}
