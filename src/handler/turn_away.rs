use std::time::Duration;

use http::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::connection::{Connection, Refusal};
use crate::http::answer::status_of;
use crate::http::{RequestId, Version};
use crate::net::Prefixed;
use crate::outcome::{Cause, Outcome, Party, Phase};
use crate::tls::close_in_order;

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

impl TurnedAway {
    fn outcome(self) -> Outcome {
        match self {
            Self::NoRoute => Outcome::new(Phase::Route, Party::Proxy, Cause::NoRoute),
            Self::TlsExpected => Outcome::new(Phase::Route, Party::Client, Cause::TlsExpected),
            Self::Refused(refusal) => refusal.outcome(),
        }
    }

    /// What the client may know beside the status.
    fn hint(self) -> &'static str {
        match self {
            Self::TlsExpected => ": plain HTTP was sent to a port that takes TLS; use https://...",
            Self::NoRoute | Self::Refused(_) => "",
        }
    }
}

/// Tells a plain HTTP client that it is turned away, without waiting for its request, and closes in order.
///
/// Whoever is over a limit must not hold a connection for as long as a request may take to come.
pub async fn turn_away(
    mut stream: Prefixed<TcpStream>,
    version: Version,
    why: TurnedAway,
    linger: Duration,
    connection: &Connection,
) -> Outcome {
    let deadline = Instant::now() + linger;
    match version {
        // A client that does not take the answer is turned away all the same.
        Version::Http1 => {
            let id = RequestId::random();
            connection.set_request(id.as_str());
            let _ = timeout_at(deadline, stream.write_all(answer(why, id.as_str()).as_bytes())).await;
        }
        // A preface of ours and a GOAWAY would say no more than the close.
        Version::Http2 => {}
    }
    close_in_order(stream, deadline).await;
    why.outcome()
}

/// What an HTTP/1 client is told: in text, as its request is not read, which might ask for another form.
fn answer(why: TurnedAway, id: &str) -> String {
    let status = status_of(why.outcome().cause);
    let title = format!("{} {}", status.as_str(), reason(status));
    let body = format!("{title}{}\nrequest id: {id}\n", why.hint());
    format!(
        "HTTP/1.1 {title}\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\n\
         x-request-id: {id}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_has_its_status_the_id_and_its_length() {
        for (why, first) in [
            (TurnedAway::NoRoute, "404 Not Found"),
            (TurnedAway::TlsExpected, "400 Bad Request: plain HTTP was sent to a port that takes TLS; use https://..."),
            (TurnedAway::Refused(Refusal::Blocked), "403 Forbidden"),
            (TurnedAway::Refused(Refusal::RouteConnectionLimit), "503 Service Unavailable"),
            (TurnedAway::Refused(Refusal::ClientConnectionLimit), "503 Service Unavailable"),
        ] {
            let text = answer(why, "abc");
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(first.starts_with(head.lines().next().unwrap().strip_prefix("HTTP/1.1 ").unwrap()), "{text}");
            assert!(head.contains("\r\nx-request-id: abc\r\n"), "{text}");
            assert!(head.ends_with(&format!("content-length: {}", body.len())), "{text}");
            assert_eq!(body, format!("{first}\nrequest id: abc\n"));
        }
    }
}
