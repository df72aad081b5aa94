use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::connection::Refusal;
use crate::http::Version;
use crate::net::Prefixed;
use crate::outcome::{Cause, Outcome, Party, Phase};
use crate::tls::close_in_order;

/// What an HTTP/1 client is told whom `security` does not let in.
const FORBIDDEN: &[u8] =
    b"HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: 14\r\n\r\n403 Forbidden\n";

/// What an HTTP/1 client is told for whom there is no room.
const NO_ROOM: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: 24\r\n\r\n503 Service Unavailable\n";

/// What an HTTP/1 client is told for whom there is nothing at this address.
const NOT_FOUND: &[u8] =
    b"HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: 14\r\n\r\n404 Not Found\n";

/// What an HTTP/1 client is told that speaks plainly where TLS is expected.
const TLS_EXPECTED: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: 79\r\n\r\n\
    400 Bad Request: plain HTTP was sent to a port that takes TLS; use https://...\n";

/// Why an HTTP client is turned away before its request is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// No plain HTTP route of the address could take any request of it.
    NoRoute,
    /// All routes of the address take TLS.
    TlsExpected,
    /// No route that could take its requests admits it.
    Refused(Refusal),
}

/// Tells a plain HTTP client that it is turned away, without waiting for its request, and closes in order.
///
/// Whoever is over a limit must not hold a connection for as long as a request may take to come.
pub async fn turn_away(
    mut stream: Prefixed<TcpStream>,
    version: Version,
    why: TurnedAway,
    linger: Duration,
) -> Outcome {
    let deadline = Instant::now() + linger;
    let (answer, outcome) = match why {
        TurnedAway::NoRoute => (NOT_FOUND, Outcome::new(Phase::Route, Party::Proxy, Cause::NoRoute)),
        TurnedAway::TlsExpected => (TLS_EXPECTED, Outcome::new(Phase::Route, Party::Client, Cause::TlsExpected)),
        TurnedAway::Refused(refusal @ Refusal::Blocked) => (FORBIDDEN, refusal.outcome()),
        TurnedAway::Refused(refusal @ (Refusal::RouteConnectionLimit | Refusal::ClientConnectionLimit)) => {
            (NO_ROOM, refusal.outcome())
        }
    };
    match version {
        // A client that does not take the answer is turned away all the same.
        Version::Http1 => {
            let _ = timeout_at(deadline, stream.write_all(answer)).await;
        }
        // A preface of ours and a GOAWAY would say no more than the close.
        Version::Http2 => {}
    }
    close_in_order(stream, deadline).await;
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lengths_are_those_of_the_bodies() {
        for answer in [FORBIDDEN, NO_ROOM, NOT_FOUND, TLS_EXPECTED] {
            let text = std::str::from_utf8(answer).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.ends_with(&format!("content-length: {}", body.len())), "{text}");
        }
    }
}
