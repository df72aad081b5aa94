//! What RFC 9113 and RFC 7541 demand of a server, frame by frame over a plain connection, in the manner of h2spec: each row is what
//! a client sends and what has to come back.

mod connection;
pub(crate) mod frames;
mod headers;
mod smuggling;
mod streams;

use std::fmt;

use crate::harness::{Peer, Proxy, Target, Way, play};
use frames::{ACK, PING, PREFACE, QUESTION, SETTINGS, Said, frame, next};

/// Error codes (RFC 9113 section 7).
const PROTOCOL_ERROR: u32 = 0x1;
const FLOW_CONTROL_ERROR: u32 = 0x3;
const STREAM_CLOSED: u32 = 0x5;
const FRAME_SIZE_ERROR: u32 = 0x6;
const REFUSED_STREAM: u32 = 0x7;
const COMPRESSION_ERROR: u32 = 0x9;

/// What has to come back. Of several in a row each is allowed by the RFC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Must {
    /// An error of the connection, with this code; then its end.
    Connection(u32),
    /// An error of a stream, with this code; the connection goes on.
    Stream(u32, u32),
    /// An answer on a stream, with this status; the connection goes on.
    Answer(u32, u16),
    /// Nothing; the connection goes on.
    Fine,
    /// The end of the connection, whatever is said before.
    Closed,
}

/// A generic code in the place of a more specific one, which is always allowed (RFC 9113 section 5.4). The rows that have it are those
/// in which the h2 crate says no more than this.
const GENERIC: Must = Connection(PROTOCOL_ERROR);

use Must::{Answer, Closed, Connection, Fine, Stream};

struct Row {
    name: &'static str,
    section: &'static str,
    bytes: Vec<u8>,
    /// What is sent when the answer to the first has come.
    then: Vec<u8>,
    must: Vec<Must>,
    /// Whether the preface and SETTINGS are sent before.
    opened: bool,
}

fn row(section: &'static str, name: &'static str, bytes: Vec<u8>, must: &[Must]) -> Row {
    Row { name, section, bytes, then: Vec::new(), must: must.to_vec(), opened: true }
}

impl Row {
    /// Sends more when the first has been answered with 200.
    fn then(self, then: Vec<u8>) -> Self {
        Self { then, ..self }
    }

    fn unopened(self) -> Self {
        Self { opened: false, ..self }
    }

    fn play(&self, proxy: &Proxy) {
        let mut client = Peer::connect(proxy.address("127.0.0.2"));
        if self.opened {
            client.send(PREFACE);
            client.send(&frame(SETTINGS, 0, 0, &[]));
        }
        client.send_what_is_taken(&self.bytes);
        if !self.then.is_empty() {
            while next(&mut client) != Said::Head(1, 200) {}
            client.send_what_is_taken(&self.then);
        }
        client.send_what_is_taken(&frame(PING, 0, 0, QUESTION));
        let mut said = Vec::new();
        while !self.must.iter().any(|must| must.is_met(&said)) {
            let ended = said.last() == Some(&Said::End);
            let unwanted = |said: &Said| matches!(said, Said::Goaway(code) if *code != 0);
            let ends = self.must.iter().any(|must| must.ends());
            let failed = ended || (!ends && said.iter().any(unwanted));
            assert!(!failed, "{:?} must come, and {said:?} did", self.must);
            said.push(next(&mut client));
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.name, self.section)
    }
}

impl Must {
    fn ends(self) -> bool {
        matches!(self, Self::Connection(_) | Self::Closed)
    }

    fn is_met(self, said: &[Said]) -> bool {
        let goes_on = said.contains(&Said::Answered);
        let unharmed = !said.iter().any(|said| matches!(said, Said::Goaway(_) | Said::Reset(..)));
        match self {
            Self::Connection(code) => said.contains(&Said::Goaway(code)) && said.contains(&Said::End),
            Self::Stream(stream, code) => goes_on && said.contains(&Said::Reset(stream, code)),
            Self::Answer(stream, status) => goes_on && said.contains(&Said::Head(stream, status)),
            Self::Fine => goes_on && unharmed,
            Self::Closed => said.contains(&Said::End),
        }
    }
}

/// Plays all rows against one daemon; with `guarded`, nothing of them may reach the target.
fn hold(rows: &[Row], guarded: bool) {
    let target = Target::http("target");
    let config = String::from("defaults.timeouts.linger = \"1s\"\ndefaults.timeouts.keep_alive = \"10s\"\n")
        + &Way::Http.route("web", "127.0.0.2", target.address, "");
    let proxy = Proxy::start(&config);
    play(rows, |_, row| row.play(&proxy));
    if guarded {
        assert_eq!(target.accepted(), 0, "something reached the target");
    }
    // Nobody else has been harmed.
    assert_eq!(Peer::connect(proxy.address("127.0.0.2")).get(crate::harness::HOST, "/after").status(), 200);
    proxy.finish();
}

/// The proxy tells its own settings first, and acknowledges those of the client (RFC 9113 sections 3.4 and 6.5.3).
#[test]
fn settings_are_told_first_and_acknowledged() {
    let target = Target::http("target");
    let proxy = Proxy::start(&Way::Http.route("web", "127.0.0.2", target.address, ""));
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    client.send(PREFACE);
    client.send(&frame(SETTINGS, 0, 0, &[]));
    let header = client.receive(9);
    assert_eq!((header[3], header[4]), (SETTINGS, 0), "the first frame is SETTINGS: {header:?}");
    let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
    client.receive(length);
    loop {
        let header = client.receive(9);
        if (header[3], header[4]) == (SETTINGS, ACK) {
            break;
        }
        client.receive(u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize);
    }
    drop(client);
    proxy.finish();
}
