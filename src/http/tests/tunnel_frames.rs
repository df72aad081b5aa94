//! WebSockets of an HTTP/2 client, frame by frame (RFC 8441): what a client of the h2 crate does not do, and what its target does
//! at the worst moment. Whatever it is, nothing is left of the tunnel and its cause is in the log.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use super::frames::{self, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, SETTINGS, block, frame};
use super::http2::Client;
use super::websocket::{connect, piece, switching};
use super::world::{Peer, Route, Scripted, World, milliseconds, until};
use crate::drain::Order;
use crate::http::H2_STREAMS_MAX;
use crate::outcome::Cause;

/// The head of an answer with 200, which begins with it by its index in the static table.
const OK: u8 = 0x88;

/// One frame of the proxy's.
#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// The next frame of the proxy's; `None` at the end.
async fn next(client: &mut Peer) -> Option<Frame> {
    let reading = async {
        let mut header = [0; 9];
        client.0.read_exact(&mut header).await.ok()?;
        let [high, middle, low, kind, flags, one, two, three, four] = header;
        let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
        client.0.read_exact(&mut payload).await.ok()?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes([one, two, three, four]), payload })
    };
    timeout(milliseconds(10_000), reading).await.expect("no frame came")
}

/// The next frame of this kind.
async fn next_of(client: &mut Peer, kind: u8) -> Frame {
    loop {
        match next(client).await {
            Some(frame) if frame.kind == kind => return frame,
            Some(_) => {}
            None => panic!("the connection has ended"),
        }
    }
}

/// A client with an open tunnel on stream 1.
async fn open(world: &World) -> Peer {
    let mut client = world.client().await;
    client.send([frames::opening(), frames::websocket(1)].concat()).await;
    let head = next_of(&mut client, HEADERS).await;
    assert_eq!((head.stream, head.payload[0], head.flags & END_STREAM), (1, OK, 0));
    client
}

/// Answers each piece with itself, and the end with "bye".
async fn echo(mut peer: Peer) {
    let head = peer.head().await;
    peer.send(switching(&head)).await;
    let mut piece = [0; 1024];
    while let Ok(count @ 1..) = peer.0.read(&mut piece).await {
        peer.send(&piece[..count]).await;
    }
    // Who is gone hears no more.
    let _gone = peer.0.write_all(b"bye").await;
}

async fn echoing() -> (Scripted, World) {
    let target = Scripted::new(|peer, _| echo(peer)).await;
    let world = World::http2(Route::to(&[target.address])).await;
    (target, world)
}

/// Sends a piece through the tunnel of stream 1, and takes it back.
async fn goes_on(client: &mut Peer) {
    client.send(frame(DATA, 0, 1, b"ping")).await;
    assert_eq!(next_of(client, DATA).await.payload, b"ping");
}

/// Finishes the tunnel of stream 1, and takes what its target says to that.
async fn finish(client: &mut Peer) {
    client.send(frame(DATA, END_STREAM, 1, b"")).await;
    let mut last = Vec::new();
    loop {
        let data = next_of(client, DATA).await;
        last.extend_from_slice(&data.payload);
        if data.flags & END_STREAM != 0 {
            break;
        }
    }
    assert_eq!(last, b"bye");
}

#[tokio::test]
async fn a_target_that_cannot_be_reached_opens_no_tunnel() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let world = World::http2(Route::to(&[closed])).await;
    let mut client = Client::new(&world).await;
    let (response, stream) = connect(&mut client, Some("websocket")).await;
    assert_eq!(response.status(), 502);
    drop((response, stream, client));
    let lines = world.end().await;
    assert!(lines[0].contains("status=502") && lines[0].contains("party=target cause=refused"), "{lines:?}");
}

#[tokio::test]
async fn a_target_that_ends_within_a_message_ends_its_direction_and_the_client_may_still_send() {
    let target = Scripted::new(|mut peer, _| async move {
        let head = peer.head().await;
        // A message of 16 bytes, of which two come.
        peer.send([switching(&head).as_bytes(), b"\x82\x10ab"].concat()).await;
        peer.finish().await;
        assert_eq!(peer.rest().await, "last");
    })
    .await;
    let world = World::http2(Route::to(&[target.address])).await;
    let mut client = Client::new(&world).await;
    let (response, mut stream) = connect(&mut client, Some("websocket")).await;
    let mut body = response.into_body();
    assert_eq!(piece(&mut body).await.unwrap().unwrap(), &b"\x82\x10ab"[..]);
    while let Some(rest) = piece(&mut body).await {
        assert_eq!(rest.unwrap(), "", "only the end is left");
    }
    stream.send_data("last".into(), true).unwrap();
    until(|| world.route.in_flight() == 0).await;
    drop((stream, body, client));
    let lines = world.end().await;
    assert!(lines[0].contains("party=target cause=finished bytes_in=4 bytes_out=4"), "{lines:?}");
}

#[tokio::test]
async fn a_client_that_has_finished_with_its_head_gets_what_its_target_says() {
    let (_target, world) = echoing().await;
    let mut client = world.client().await;
    let mut head = frames::websocket(1);
    head[4] = END_STREAM | END_HEADERS;
    client.send([frames::opening(), head].concat()).await;
    assert_eq!(next_of(&mut client, HEADERS).await.payload[0], OK);
    let said = next_of(&mut client, DATA).await;
    assert_eq!(said.payload, b"bye");
    until(|| world.route.in_flight() == 0).await;
    drop(client);
    let lines = world.end().await;
    assert!(lines[0].contains("party=client cause=finished bytes_in=0 bytes_out=3"), "{lines:?}");
}

#[tokio::test]
async fn a_client_that_leaves_the_connection_keeps_its_tunnel_until_that_ends() {
    let (_target, world) = echoing().await;
    let mut client = open(&world).await;
    client.send(frame(GOAWAY, 0, 0, &[0; 8])).await;
    goes_on(&mut client).await;
    finish(&mut client).await;
    client.finish().await;
    while next(&mut client).await.is_some() {}
    let lines = world.end().await;
    assert!(lines[0].contains("party=client cause=finished bytes_in=4 bytes_out=7"), "{lines:?}");
}

#[tokio::test]
async fn a_drain_tells_the_client_and_waits_for_its_tunnel() {
    let (_target, mut world) = echoing().await;
    let mut client = open(&world).await;
    world.connection().order(Order::Drain);
    // The first of two steps says no more than that it is time to go.
    assert_eq!(next_of(&mut client, GOAWAY).await.payload[4..8], [0; 4]);
    goes_on(&mut client).await;
    finish(&mut client).await;
    client.finish().await;
    while next(&mut client).await.is_some() {}
    assert_eq!(world.cause().await, Cause::Drained);
    let lines = world.end().await;
    assert!(lines[0].contains("party=client cause=finished"), "{lines:?}");
}

#[tokio::test]
async fn a_head_that_is_no_websockets_reaches_no_target() {
    const METHOD: (&str, &str) = (":method", "CONNECT");
    const PROTOCOL: (&str, &str) = (":protocol", "websocket");
    const SCHEME: (&str, &str) = (":scheme", "http");
    const PATH: (&str, &str) = (":path", "/chat");
    const AUTHORITY: (&str, &str) = (":authority", "a.test");
    let (target, world) = echoing().await;
    for fields in [
        &[METHOD, PROTOCOL, PATH, AUTHORITY][..],
        &[METHOD, PROTOCOL, SCHEME, AUTHORITY],
        &[METHOD, PROTOCOL, SCHEME, PATH],
        &[METHOD, PROTOCOL, AUTHORITY],
        &[METHOD, SCHEME, PATH, AUTHORITY],
        &[METHOD, PROTOCOL, PROTOCOL, SCHEME, PATH, AUTHORITY],
        &[METHOD, (":protocol", ""), SCHEME, PATH, AUTHORITY],
        &[METHOD, (":protocol", "websocket, h2c"), SCHEME, PATH, AUTHORITY],
        &[METHOD, PROTOCOL, SCHEME, (":path", ""), AUTHORITY],
        &[METHOD, PROTOCOL, SCHEME, (":path", "chat"), AUTHORITY],
        &[METHOD, PROTOCOL, SCHEME, (":path", "*"), AUTHORITY],
        &[METHOD, PROTOCOL, SCHEME, PATH, (":authority", "a.test"), ("host", "b.test")],
        &[METHOD, PROTOCOL, SCHEME, PATH, AUTHORITY, ("upgrade", "websocket")],
        &[METHOD, PROTOCOL, SCHEME, PATH, AUTHORITY, ("connection", "upgrade")],
        &[(":method", "GET"), PROTOCOL, SCHEME, PATH, AUTHORITY],
        &[METHOD, (":authority", "a.test")],
    ] {
        let mut client = world.client().await;
        client.send([frames::opening(), frame(HEADERS, END_HEADERS, 1, &block(fields))].concat()).await;
        loop {
            match next(&mut client).await {
                Some(Frame { kind: RST_STREAM | GOAWAY, .. }) | None => break,
                Some(Frame { kind: HEADERS, stream: 1, payload, .. }) => {
                    assert_ne!(payload[0], OK, "{fields:?}");
                    break;
                }
                Some(_) => {}
            }
        }
    }
    assert_eq!(target.accepted(), 0);
    world.end().await;
}

#[tokio::test]
async fn a_plain_connect_without_a_port_is_malformed_and_an_unknown_protocol_is_not_implemented() {
    let (_target, world) = echoing().await;
    let mut client = Client::new(&world).await;
    let request = http::Request::builder().method("CONNECT").uri("a.test").body(()).unwrap();
    let (response, stream) = client.sender.send_request(request, false).unwrap();
    assert_eq!(response.await.unwrap().status(), 400);
    let (response, other) = connect(&mut client, Some("connect-udp")).await;
    assert_eq!(response.status(), 501);
    drop((response, stream, other, client));
    world.end().await;
}

/// A target that opens the tunnel and sends without end.
async fn flooding() -> Scripted {
    Scripted::new(|mut peer, _| async move {
        let head = peer.head().await;
        peer.send(switching(&head)).await;
        while peer.0.write_all(&[b'x'; 65_536]).await.is_ok() {}
    })
    .await
}

#[tokio::test]
async fn a_tunnel_whose_client_gives_no_window_ends_after_its_time() {
    let target = flooding().await;
    let mut route = Route::to(&[target.address]);
    route.timeouts.tunnel = milliseconds(200);
    let world = World::http2(route).await;
    let mut client = world.client().await;
    let no_window = [&4_u16.to_be_bytes()[..], &[0; 4]].concat();
    client.send([frames::PREFACE, &frame(SETTINGS, 0, 0, &no_window), &frames::websocket(1)].concat()).await;
    assert_eq!(next_of(&mut client, HEADERS).await.payload[0], OK);
    until(|| world.route.in_flight() == 0).await;
    // The connection goes on, and the stream does not.
    client.send(frames::get(3, "/own")).await;
    let head = next_of(&mut client, HEADERS).await;
    assert_eq!((head.stream, head.payload[0]), (3, OK));
    drop(client);
    let lines = world.end().await;
    let line = lines.iter().find(|line| line.contains("path=/chat")).unwrap();
    assert!(line.contains("phase=relay party=proxy cause=tunnel_timeout"), "{lines:?}");
}

/// `timeouts.body` is not the time of a tunnel, which by HTTP/1.1 may rest for `timeouts.tunnel`.
#[tokio::test]
async fn a_client_that_takes_nothing_of_its_tunnel_is_left_alone_until_the_tunnels_time() {
    let target = flooding().await;
    let mut route = Route::to(&[target.address]);
    route.settings.body = milliseconds(200);
    route.timeouts.tunnel = milliseconds(1500);
    route.settings.linger = milliseconds(200);
    let mut world = World::http2(route).await;
    let client = open(&world).await;
    sleep(milliseconds(700)).await;
    assert_eq!((world.registry.live(), world.route.in_flight()), (1, 1), "it is cut before its time");
    until(|| world.route.in_flight() == 0).await;
    // What is left for the client is the end of the stream, which it does not take either.
    assert_eq!(world.cause().await, Cause::LingerTimeout);
    drop(client);
    let lines = world.end().await;
    assert!(lines[0].contains("phase=relay party=proxy cause=tunnel_timeout"), "{lines:?}");
}

#[tokio::test]
async fn tunnels_are_as_many_as_streams_may_be_and_all_end_with_their_connection() {
    let (target, world) = echoing().await;
    let mut client = world.client().await;
    client.send(frames::opening()).await;
    let tunnels = usize::try_from(H2_STREAMS_MAX).unwrap();
    for number in 0..H2_STREAMS_MAX {
        client.send(frames::websocket(2 * number + 1)).await;
        assert_eq!(next_of(&mut client, HEADERS).await.payload[0], OK);
    }
    client.send(frames::websocket(2 * H2_STREAMS_MAX + 1)).await;
    let refused = next_of(&mut client, RST_STREAM).await;
    assert_eq!((refused.stream, &refused.payload[..]), (2 * H2_STREAMS_MAX + 1, &[0, 0, 0, 7][..]), "REFUSED_STREAM");
    assert_eq!((target.accepted(), world.route.in_flight() as usize), (tunnels, tunnels));
    // The place of one that ends is free.
    client.send(frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])).await;
    until(|| world.route.in_flight() as usize == tunnels - 1).await;
    client.send(frames::websocket(2 * H2_STREAMS_MAX + 3)).await;
    assert_eq!(next_of(&mut client, HEADERS).await.payload[0], OK);
    client.reset();
    let lines = world.end().await;
    let by_client = lines.iter().filter(|line| line.contains("party=client cause=reset")).count();
    assert_eq!((lines.len(), by_client), (tunnels + 1, tunnels + 1), "{lines:?}");
}
