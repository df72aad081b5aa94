//! Clients that reset their connection while nobody reads from it.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::time::timeout;

use super::world::{Peer, Route, Scripted, World, milliseconds, until};
use crate::outcome::{Cause, Outcome, Party, Phase};

const RESET: Outcome = Outcome::new(Phase::Serve, Party::Client, Cause::Reset);

/// A target that takes a request's head and nothing more, for as long as its connection stands.
async fn deaf() -> Scripted {
    Scripted::new(|mut peer, _| async move {
        peer.head().await;
        while peer.0.write_all(b"").await.is_ok() {
            tokio::time::sleep(milliseconds(10)).await;
        }
    })
    .await
}

/// Writes until nothing more is taken.
async fn fill(client: &mut Peer, bytes: &[u8]) {
    while let Ok(written) = timeout(milliseconds(300), client.0.write_all(bytes)).await {
        written.unwrap();
    }
}

#[tokio::test]
async fn a_reset_behind_more_than_is_read_of_pipelined_requests_is_noticed() {
    let target = deaf().await;
    let mut world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    let request = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
    client.send(request).await;
    until(|| target.accepted() == 1).await;
    fill(&mut client, request.repeat(1000).as_bytes()).await;
    client.reset();
    assert_eq!(world.outcome().await, RESET);
    let lines = world.end().await;
    assert!(lines[0].contains("party=client cause=reset"), "{lines:?}");
}

#[tokio::test]
async fn a_reset_behind_a_body_that_the_target_does_not_take_is_noticed() {
    let target = deaf().await;
    let mut world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000000000\r\n\r\n").await;
    until(|| target.accepted() == 1).await;
    fill(&mut client, &[b'x'; 65_536]).await;
    client.reset();
    assert_eq!(world.outcome().await, RESET);
    let lines = world.end().await;
    assert!(lines[0].contains("party=client cause=reset"), "{lines:?}");
}

/// The answer has been sent, and the rest of the body is thrown away: a little of it, or more than is.
#[tokio::test]
async fn a_reset_in_a_body_that_is_thrown_away_is_the_clients() {
    for length in [1000, 100_000_000] {
        let mut world = World::http1(Route::to(&[])).await;
        let mut client = world.client().await;
        client.send(format!("POST /own HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\nxxx")).await;
        let (head, _) = client.message().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        client.reset();
        assert_eq!(world.outcome().await, RESET, "{length}");
        let lines = world.end().await;
        assert!(lines[0].contains("cause=finished"), "the answer was whole: {lines:?}");
    }
}

fn number(line: &str, key: &str) -> u64 {
    line.split(' ').find_map(|field| field.strip_prefix(key)?.strip_prefix('=')).unwrap().parse().unwrap()
}

/// What came from the target and was not handed to the client is nothing that the client was sent.
#[tokio::test]
async fn a_request_that_is_cut_has_not_sent_more_than_its_connection() {
    for whole in [false, true] {
        let target = Scripted::new(move |mut peer: Peer, _| async move {
            let body = [b'x'; 60_000];
            let length = if whole { "Content-Length: 60000\r\n" } else { "" };
            while peer.0.peek(&mut [0]).await.is_ok_and(|count| count > 0) {
                peer.head().await;
                peer.send(format!("HTTP/1.1 200 OK\r\n{length}\r\n")).await;
                while peer.0.write_all(&body).await.is_ok() && !whole {}
            }
        })
        .await;
        let mut route = Route::to(&[target.address]);
        route.settings.body = milliseconds(500);
        route.settings.linger = milliseconds(500);
        let mut world = World::http1(route).await;
        let mut client = world.client().await;
        // Answers of which the last ones find no room.
        let count = if whole { 400 } else { 1 };
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n".repeat(count)).await;
        client.head().await;
        let connection = world.connection();
        assert_eq!(timeout(Duration::from_secs(9), world.outcome()).await.unwrap().party, Party::Client);
        let lines = world.end().await;
        let sent: u64 = lines.iter().map(|line| number(line, "bytes_out")).sum();
        assert!(sent > 0 && sent <= connection.traffic().bytes_out(), "{sent} of {}", connection.traffic().bytes_out());
        let last = lines.last().unwrap();
        let taken_none = ["cause=body_timeout", "cause=linger_timeout"].iter().any(|cause| last.contains(cause));
        assert!(last.contains("party=client") && taken_none, "{last}");
    }
}

/// The same for the streams of a client of HTTP/2 that gives window without end and reads nothing.
#[tokio::test]
async fn streams_that_are_cut_have_not_sent_more_than_their_connection() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    // SETTINGS_INITIAL_WINDOW_SIZE, and WINDOW_UPDATE for the connection (RFC 9113 sections 6.5.2 and 6.9).
    const SETTINGS: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x04\x7f\xff\xff\xff";
    const WINDOW: &[u8] = b"\0\0\x04\x08\0\0\0\0\0\x7f\xfe\0\0";
    const HEAD: &[u8] = b"\x82\x86\x84\x01\x06a.test";
    for whole in [false, true] {
        let target = Scripted::new(move |mut peer: Peer, _| async move {
            let body = [b'x'; 60_000];
            let length = if whole { "Content-Length: 60000\r\n" } else { "" };
            while peer.0.peek(&mut [0]).await.is_ok_and(|count| count > 0) {
                peer.head().await;
                peer.send(format!("HTTP/1.1 200 OK\r\n{length}\r\n")).await;
                while peer.0.write_all(&body).await.is_ok() && !whole {}
            }
        })
        .await;
        let mut route = Route::to(&[target.address]);
        route.settings.body = milliseconds(500);
        route.settings.linger = milliseconds(500);
        let mut world = World::http2(route).await;
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut client = Peer(socket.connect(world.address).await.unwrap());
        client.send([PREFACE, SETTINGS, WINDOW].concat()).await;
        // With a whole answer, all of some streams is made and does not leave.
        let count: u32 = if whole { 120 } else { 3 };
        for number in 0..count {
            let stream = (2 * number + 1).to_be_bytes();
            client.send([&[0, 0, u8::try_from(HEAD.len()).unwrap(), 1, 5], &stream[..], HEAD].concat()).await;
            if number == 0 {
                client.take(9).await;
                // The others share what room is left, so that none of them need come to its end.
                until(|| world.connection().traffic().bytes_out() > 60_000).await;
            }
        }
        let connection = world.connection();
        let outcome = timeout(Duration::from_secs(9), world.outcome()).await.unwrap();
        assert_eq!(outcome.party, Party::Client, "{outcome:?}");
        let lines = world.end().await;
        assert_eq!(lines.len(), count as usize);
        let sent: u64 = lines.iter().map(|line| number(line, "bytes_out")).sum();
        let all = connection.traffic().bytes_out();
        // What is not payload is a head of each stream and the headers of frames.
        assert!(sent <= all && sent + 20_000 + all / 100 > all, "{sent} of {all}");
        let causes = ["party=client cause=body_timeout", "party=client cause=linger_timeout"];
        let cut = lines.iter().filter(|line| causes.iter().any(|cause| line.contains(cause))).count();
        assert!(cut > 0 && (!whole || cut < lines.len()), "{cut} of {count}");
        for line in lines.iter().filter(|line| line.contains("cause=finished")) {
            assert_eq!(number(line, "bytes_out"), 60_000, "{line}");
        }
    }
}
