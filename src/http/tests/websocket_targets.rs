//! WebSockets to targets that speak HTTP/2 (RFC 8441), for clients of both versions.

use std::future::poll_fn;

use bytes::Bytes;
use h2::ext::Protocol;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Method, Request, Response};
use tokio::io::AsyncReadExt;

use super::http2::{Client, text};
use super::websocket::{connect, piece};
use super::world::{Peer, Route, Scripted, World, field, milliseconds, until};
use crate::drain::Order;
use crate::http::TargetProtocol;
use crate::outcome::Cause;

/// The key and its accept are those of RFC 6455 section 1.3.
const ASK: &str = "GET /chat?room=1 HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Protocol: chat\r\n\r\n";

struct Tunnel {
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
}

impl Tunnel {
    /// Opens the tunnel.
    fn open(mut self) -> (RecvStream, SendStream<Bytes>) {
        assert_eq!(self.request.method(), Method::CONNECT);
        assert_eq!(self.request.extensions().get::<Protocol>().unwrap().as_str(), "websocket");
        assert_eq!(self.request.uri(), "http://a.test/chat?room=1");
        let headers = self.request.headers();
        assert_eq!(headers["sec-websocket-version"], "13");
        for gone in ["connection", "upgrade", "sec-websocket-key", "host"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
        let response = Response::builder().header("sec-websocket-protocol", "chat").body(()).unwrap();
        let sender = self.respond.send_response(response, false).unwrap();
        (self.request.into_body(), sender)
    }
}

/// A target that takes WebSockets, and plays `script` on each of its streams.
async fn target<F: Future<Output = ()> + Send + 'static>(
    script: impl Fn(Tunnel) -> F + Copy + Send + Sync + 'static,
) -> (Scripted, Route) {
    let target = Scripted::new(move |peer, _| async move {
        let mut builder = h2::server::Builder::new();
        let mut connection = builder.enable_connect_protocol().handshake::<_, Bytes>(peer.0).await.unwrap();
        while let Some(Ok((request, respond))) = connection.accept().await {
            tokio::spawn(script(Tunnel { request, respond }));
        }
    })
    .await;
    let mut route = Route::to(&[target.address]);
    route.protocol = TargetProtocol::Http2;
    (target, route)
}

/// Sends back what comes, and "bye" when the other side has finished.
async fn echo(tunnel: Tunnel) {
    let (mut receiver, mut sender) = tunnel.open();
    sender.send_data("hello".into(), false).unwrap();
    while let Some(data) = piece(&mut receiver).await {
        sender.send_data(data.unwrap(), false).unwrap();
    }
    sender.send_data("bye".into(), true).unwrap();
}

async fn asking(world: &World) -> (Peer, String) {
    let mut client = world.client().await;
    client.send(ASK).await;
    let head = client.head().await;
    (client, head)
}

#[tokio::test]
async fn a_client_of_http_1_1_gets_its_handshake_and_both_directions() {
    let (target, route) = target(echo).await;
    let world = World::http1(route).await;
    let (mut client, head) = asking(&world).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(field(&head, "sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!((field(&head, "connection"), field(&head, "upgrade")), (Some("upgrade"), Some("websocket")));
    assert_eq!(field(&head, "sec-websocket-protocol"), Some("chat"));
    assert_eq!(client.take(5).await, "hello");
    client.send("ping").await;
    assert_eq!(client.take(4).await, "ping");
    assert_eq!(world.route.in_flight(), 1);
    // Its FIN is the end of one direction only.
    client.send("last").await;
    client.finish().await;
    assert_eq!(client.rest().await, "lastbye");
    until(|| world.route.in_flight() == 0).await;
    assert_eq!(target.accepted(), 1);
    let lines = world.end().await;
    assert!(
        lines[0].contains("status=101") && lines[0].contains("cause=finished bytes_in=8 bytes_out=16"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_client_of_http_2_gets_a_stream_for_a_stream() {
    let (_target, route) = target(echo).await;
    let world = World::http2(route).await;
    let mut client = Client::new(&world).await;
    let (response, mut stream) = connect(&mut client, Some("websocket")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
    assert!(!response.headers().contains_key("sec-websocket-accept"));
    stream.send_data("ping".into(), true).unwrap();
    assert_eq!(text(response).await.unwrap().0, "hellopingbye");
    drop((stream, client));
    let lines = world.end().await;
    assert!(lines[0].contains("cause=finished bytes_in=4 bytes_out=12"), "{lines:?}");
}

#[tokio::test]
async fn a_target_that_takes_none_is_a_failure_that_says_so() {
    let plain = |peer: Peer, _| async move {
        let mut connection = h2::server::handshake(peer.0).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            respond.send_response(Response::new(()), true).unwrap();
        }
    };
    let target = Scripted::new(plain).await;
    let to = || {
        let mut route = Route::to(&[target.address]);
        route.protocol = TargetProtocol::Http2;
        route
    };
    let world = World::http1(to()).await;
    let (mut client, head) = asking(&world).await;
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    client.finish().await;
    assert!(client.rest().await.contains("no_websockets"));
    let lines = world.end().await;
    assert!(lines[0].contains("cause=no_websockets") && lines[0].contains("RFC 8441"), "{lines:?}");

    let world = World::http2(to()).await;
    let mut client = Client::new(&world).await;
    let (response, stream) = connect(&mut client, Some("websocket")).await;
    assert_eq!(response.status(), 502);
    // Other requests go on.
    assert_eq!(client.get("/").await.unwrap().status(), 200);
    drop((response, stream, client));
    world.end().await;
}

#[tokio::test]
async fn what_the_target_says_instead_reaches_the_client() {
    let refusing = |mut tunnel: Tunnel| async move {
        let response = Response::builder().status(403).body(()).unwrap();
        let mut stream = tunnel.respond.send_response(response, false).unwrap();
        stream.send_data("no".into(), true).unwrap();
    };
    let (_target, route) = target(refusing).await;
    let world = World::http1(route).await;
    let (mut client, head) = asking(&world).await;
    assert!(head.starts_with("HTTP/1.1 403 ") && field(&head, "upgrade").is_none(), "{head}");
    client.finish().await;
    assert!(client.rest().await.contains("no"));
    world.end().await;
}

#[tokio::test]
async fn a_side_that_is_lost_resets_the_other() {
    let waiting = |tunnel: Tunnel| async move {
        let (_receiver, mut sender) = tunnel.open();
        assert!(poll_fn(|context| sender.poll_reset(context)).await.is_ok_and(|reason| reason == Reason::CANCEL));
    };
    let (_target, route) = target(waiting).await;
    let world = World::http1(route).await;
    let (client, _) = asking(&world).await;
    client.reset();
    until(|| world.route.in_flight() == 0).await;
    let lines = world.end().await;
    assert!(lines[0].contains("party=client cause=reset"), "{lines:?}");

    let resetting = |tunnel: Tunnel| async move {
        let (mut receiver, mut sender) = tunnel.open();
        assert_eq!(piece(&mut receiver).await.unwrap().unwrap(), "go");
        sender.send_reset(Reason::INTERNAL_ERROR);
    };
    let (_target, route) = target(resetting).await;
    let world = World::http1(route).await;
    let (mut client, _) = asking(&world).await;
    client.send("go").await;
    let mut byte = [0; 1];
    let error = client.0.read(&mut byte).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let lines = world.end().await;
    assert!(lines[0].contains("party=target cause=reset"), "{lines:?}");
}

#[tokio::test]
async fn it_ends_after_half_closed_once_one_side_has_finished() {
    for client_ends in [true, false] {
        let silent = move |tunnel: Tunnel| async move {
            let (mut receiver, mut sender) = tunnel.open();
            if !client_ends {
                sender.send_data(Bytes::new(), true).unwrap();
            }
            while piece(&mut receiver).await.is_some_and(|piece| piece.is_ok()) {}
            std::future::pending().await
        };
        let (_target, mut route) = target(silent).await;
        route.timeouts.half_closed = milliseconds(100);
        let mut world = World::http1(route).await;
        let (mut client, head) = asking(&world).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        if client_ends {
            client.finish().await;
        }
        client.gone().await;
        assert_eq!(world.cause().await, Cause::HalfClosedTimeout);
        world.end().await;
    }
}

#[tokio::test]
async fn it_ends_after_its_time_with_its_lifetime_and_when_it_is_killed() {
    let silent = |tunnel: Tunnel| async move {
        let (mut receiver, _sender) = tunnel.open();
        while piece(&mut receiver).await.is_some_and(|piece| piece.is_ok()) {}
    };
    for (idle, lifetime, cause) in [
        (Some(100), None, Cause::TunnelTimeout),
        (None, Some(200), Cause::LifetimeReached),
        (None, None, Cause::Killed),
    ] {
        let (_target, mut route) = target(silent).await;
        route.timeouts.tunnel = idle.map_or(route.timeouts.tunnel, milliseconds);
        route.settings.max_lifetime = lifetime.map(milliseconds);
        let mut world = World::http1(route).await;
        let (mut client, head) = asking(&world).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        if cause == Cause::Killed {
            world.connection().order(Order::Kill);
        }
        client.gone().await;
        assert_eq!(world.cause().await, cause);
        world.end().await;
    }
}
