//! Connections of the pool that end at the worst moment: just when a request is about to go out, or goes out.

use h2::Reason;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::world::{Peer, Route, Scripted, World, until};
use crate::http::TargetProtocol;
use crate::outcome::Cause;

const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// An answer to nothing. Whoever takes it for its own has got another's.
const UNASKED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad";

/// How a target spoils a connection that waits.
#[derive(Clone, Copy, Debug)]
enum Spoilt {
    Eof,
    Reset,
    Unsolicited,
}

impl Spoilt {
    /// At once, without a chance for anybody else. Gives the connection if it is still there.
    fn spoil(self, peer: Peer) -> Option<Peer> {
        match self {
            Self::Eof => drop(peer),
            Self::Reset => peer.reset(),
            Self::Unsolicited => {
                assert_eq!(peer.0.try_write(UNASKED.as_bytes()).unwrap(), UNASKED.len());
                return Some(peer);
            }
        }
        None
    }
}

/// A target whose connections the test itself plays.
async fn played() -> (Scripted, UnboundedReceiver<Peer>) {
    let (sender, peers) = unbounded_channel();
    let target = Scripted::new(move |peer, _| {
        let sender = sender.clone();
        async move { drop(sender.send(peer)) }
    })
    .await;
    (target, peers)
}

async fn answered(peer: &mut Peer, client: &mut Peer) {
    peer.head().await;
    peer.send(OK).await;
    let (head, body) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 200") && body == "ok", "{head}{body}");
}

/// The request and what spoils the connection are there at once, in either order, before the proxy has looked at any of it.
#[tokio::test]
async fn a_connection_that_is_spoilt_just_before_its_request_is_not_used() {
    for spoilt in [Spoilt::Eof, Spoilt::Reset, Spoilt::Unsolicited] {
        let (target, mut peers) = played().await;
        let world = World::http1(Route::to(&[target.address])).await;
        let mut client = world.client().await;
        client.send(GET).await;
        let mut peer = peers.recv().await.unwrap();
        answered(&mut peer, &mut client).await;
        for round in 0..20 {
            until(|| world.pool().idle() == 1).await;
            let request = || assert_eq!(client.0.try_write(GET.as_bytes()).unwrap(), GET.len());
            let left = if round % 2 == 0 {
                let left = spoilt.spoil(peer);
                request();
                left
            } else {
                request();
                spoilt.spoil(peer)
            };
            peer = peers.recv().await.unwrap();
            answered(&mut peer, &mut client).await;
            drop(left);
        }
        assert_eq!(target.accepted(), 21, "{spoilt:?}");
        drop((client, peer));
        let lines = world.end().await;
        assert!(lines.iter().all(|line| line.contains("cause=finished")), "{spoilt:?}: {lines:?}");
    }
}

/// The target's end and the request's way out run on two threads, so that it is met at any point of it: a write that fails, an end
/// before the first byte of the answer, or none of both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_get_survives_a_connection_that_ends_at_any_moment() {
    for spoilt in [Spoilt::Eof, Spoilt::Reset] {
        let (target, mut peers) = played().await;
        let world = World::http1(Route::to(&[target.address])).await;
        let mut client = world.client().await;
        client.send(GET).await;
        let mut peer = peers.recv().await.unwrap();
        answered(&mut peer, &mut client).await;
        for round in 0..200 {
            until(|| world.pool().idle() == 1).await;
            let spoiling = tokio::spawn(async move {
                for _ in 0..round % 20 {
                    tokio::task::yield_now().await;
                }
                spoilt.spoil(peer);
            });
            client.send(GET).await;
            spoiling.await.unwrap();
            peer = peers.recv().await.unwrap();
            answered(&mut peer, &mut client).await;
        }
        drop((client, peer));
        world.end().await;
    }
}

#[tokio::test]
async fn a_write_that_fails_within_a_body_is_502_and_the_body_is_not_sent_again() {
    const LENGTH: usize = 16 * 1024 * 1024;
    let (target, mut peers) = played().await;
    let mut world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    client.send(GET).await;
    let mut peer = peers.recv().await.unwrap();
    answered(&mut peer, &mut client).await;
    until(|| world.pool().idle() == 1).await;
    client.send(format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {LENGTH}\r\n\r\n")).await;
    client.send([b'x'; 65_536]).await;
    peer.head().await;
    peer.reset();
    // More of it may be taken, or not.
    let rest = vec![b'x'; LENGTH - 65_536];
    let (mut reading, mut writing) = client.0.into_split();
    let sending = tokio::spawn(async move { drop(tokio::io::AsyncWriteExt::write_all(&mut writing, &rest).await) });
    let mut answer = [0; 12];
    tokio::io::AsyncReadExt::read_exact(&mut reading, &mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 502");
    sending.abort();
    let _cancelled = sending.await;
    drop(reading);
    world.outcome().await;
    assert_eq!(target.accepted(), 1);
    let lines = world.end().await;
    assert!(lines[1].contains("status=502") && lines[1].contains("party=target cause=target_closed"), "{lines:?}");
}

/// A target of HTTP/2 whose first connection answers one request and ends at the second, in the way asked for.
async fn ending(reset: bool) -> Scripted {
    Scripted::new(move |peer, number| async move {
        let tcp = socket2::SockRef::from(&peer.0).try_clone().unwrap();
        let mut connection = h2::server::handshake(peer.0).await.unwrap();
        let mut asked = 0;
        while let Some(Ok((_request, mut respond))) = connection.accept().await {
            asked += 1;
            if number == 0 && asked == 2 {
                if reset {
                    tcp.set_linger(Some(std::time::Duration::ZERO)).unwrap();
                } else {
                    // FIN, with nothing said of the stream.
                    tcp.shutdown(std::net::Shutdown::Both).unwrap();
                }
                return;
            }
            respond.send_response(http::Response::new(()), true).unwrap();
        }
    })
    .await
}

#[tokio::test]
async fn a_shared_connection_that_ends_at_a_request_is_replaced_for_a_get_and_is_502_for_a_post() {
    for reset in [false, true] {
        for (request, status, connections) in
            [(GET, "200", 2), ("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc", "502", 1)]
        {
            let target = ending(reset).await;
            let mut route = Route::to(&[target.address]);
            route.protocol = TargetProtocol::Http2;
            let mut world = World::http1(route).await;
            let mut client = world.client().await;
            client.send(GET).await;
            assert!(client.message().await.0.starts_with("HTTP/1.1 200"));
            client.send(request).await;
            let (head, _body) = client.message().await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "reset: {reset}, {request:?}: {head}");
            assert_eq!(target.accepted(), connections, "reset: {reset}, {request:?}");
            drop(client);
            assert_eq!(world.cause().await, Cause::Finished);
            world.end().await;
        }
    }
}

/// GOAWAY is there at once with the request, before the proxy has looked at either.
#[tokio::test]
async fn a_shared_connection_that_gets_goaway_just_before_a_request_is_replaced() {
    let (leaving, left) = tokio::sync::watch::channel(false);
    let (gone, mut is_gone) = tokio::sync::watch::channel(0);
    let target = Scripted::new(move |peer, number| {
        let (mut left, gone) = (left.clone(), gone.clone());
        async move {
            let mut connection = h2::server::handshake(peer.0).await.unwrap();
            loop {
                tokio::select! {
                    () = async { drop(left.wait_for(|left| *left).await) }, if number == 0 => {
                        connection.abrupt_shutdown(Reason::NO_ERROR);
                        // Ready when GOAWAY has been written.
                        let _over = std::future::poll_fn(|context| connection.poll_closed(context)).await;
                        gone.send_replace(1);
                        return;
                    }
                    asked = connection.accept() => match asked {
                        Some(Ok((_request, mut respond))) => {
                            respond.send_response(http::Response::new(()), true).unwrap();
                        }
                        Some(Err(_)) | None => return,
                    },
                }
            }
        }
    })
    .await;
    let mut route = Route::to(&[target.address]);
    route.protocol = TargetProtocol::Http2;
    let world = World::http1(route).await;
    let mut client = world.client().await;
    client.send(GET).await;
    assert!(client.message().await.0.starts_with("HTTP/1.1 200"));
    leaving.send(true).unwrap();
    client.send(GET).await;
    assert!(client.message().await.0.starts_with("HTTP/1.1 200"));
    is_gone.wait_for(|gone| *gone == 1).await.unwrap();
    assert_eq!(target.accepted(), 2);
    drop(client);
    let lines = world.end().await;
    assert!(lines.iter().all(|line| line.contains("cause=finished")), "{lines:?}");
}
