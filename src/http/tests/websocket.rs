use std::future::poll_fn;

use bytes::Bytes;
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::{Method, Request, Response};
use tokio::sync::watch;

use super::http2::{Client, text};
use super::world::{Peer, Route, Scripted, World, field, milliseconds, until};

/// The accept of the key that the target has been sent, by other means than ours.
fn accept(head: &str) -> String {
    let key = field(head, "sec-websocket-key").unwrap();
    assert_eq!(key.len(), 24);
    super::super::websocket::accept(key.as_bytes())
}

pub(super) fn switching(head: &str) -> String {
    let accept = accept(head);
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    )
}

pub(super) async fn connect(
    client: &mut Client,
    protocol: Option<&'static str>,
) -> (Response<RecvStream>, SendStream<Bytes>) {
    until(|| client.sender.is_extended_connect_protocol_enabled()).await;
    let request = Request::builder().method(Method::CONNECT).header("sec-websocket-version", "13");
    let request = match protocol {
        Some(name) => request.uri("http://a.test/chat?room=1").extension(Protocol::from_static(name)),
        None => request.uri("a.test:443"),
    };
    let (response, stream) = client.sender.send_request(request.body(()).unwrap(), false).unwrap();
    (response.await.unwrap(), stream)
}

pub(super) async fn piece(body: &mut RecvStream) -> Option<Result<Bytes, h2::Error>> {
    let data = body.data().await;
    if let Some(Ok(data)) = &data {
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    data
}

/// A target that opens the tunnel and plays on.
async fn opening<F: Future<Output = ()> + Send + 'static>(
    script: impl Fn(Peer) -> F + Copy + Send + 'static,
) -> Scripted {
    Scripted::new(move |mut peer, _| async move {
        let head = peer.head().await;
        peer.send(switching(&head)).await;
        script(peer).await;
    })
    .await
}

#[tokio::test]
async fn a_stream_becomes_a_tunnel_both_ways_until_both_have_ended() {
    let target = Scripted::new(|mut peer, _| async move {
        let head = peer.head().await;
        assert!(head.starts_with("GET /chat?room=1 HTTP/1.1\r\n"), "{head}");
        assert_eq!((field(&head, "connection"), field(&head, "upgrade")), (Some("upgrade"), Some("websocket")));
        assert_eq!((field(&head, "host"), field(&head, "sec-websocket-version")), (Some("a.test"), Some("13")));
        // The first bytes come with the head.
        peer.send(format!("{}hello", switching(&head))).await;
        assert_eq!(peer.take(4).await, "ping");
        peer.send("pong").await;
        assert_eq!(peer.rest().await, "last");
        peer.send("bye").await;
    })
    .await;
    let world = World::http2(Route::to(&[target.address])).await;
    let mut client = Client::new(&world).await;
    let (response, mut stream) = connect(&mut client, Some("websocket")).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["sec-websocket-protocol"]),
        (200, &"chat".parse().unwrap())
    );
    for gone in ["connection", "upgrade", "sec-websocket-accept", "content-length"] {
        assert!(!response.headers().contains_key(gone), "{gone}");
    }
    let mut body = response.into_body();
    assert_eq!(piece(&mut body).await.unwrap().unwrap(), "hello");
    stream.send_data("ping".into(), false).unwrap();
    assert_eq!(piece(&mut body).await.unwrap().unwrap(), "pong");
    assert_eq!(world.route.in_flight(), 1);
    // Another stream of the connection goes on beside it.
    assert_eq!(client.get("/own").await.unwrap().status(), 200);
    stream.send_data("last".into(), true).unwrap();
    assert_eq!(piece(&mut body).await.unwrap().unwrap(), "bye");
    while let Some(rest) = piece(&mut body).await {
        assert_eq!(rest.unwrap(), "", "only the end is left");
    }
    drop((stream, body, client));
    let lines = world.end().await;
    let line = lines.iter().find(|line| line.contains("/chat")).unwrap();
    assert!(line.contains("method=GET") && line.contains("protocol=h2 status=200"), "{line}");
    assert!(line.contains("cause=finished bytes_in=8 bytes_out=12"), "{line}");
}

#[tokio::test]
async fn a_side_that_is_lost_resets_the_other() {
    let target = opening(|mut peer| async move { peer.gone().await }).await;
    let world = World::http2(Route::to(&[target.address])).await;
    let mut client = Client::new(&world).await;
    let (response, mut stream) = connect(&mut client, Some("websocket")).await;
    stream.send_reset(Reason::CANCEL);
    until(|| world.route.in_flight() == 0).await;
    drop((response, stream, client));
    let lines = world.end().await;
    assert!(lines[0].contains("party=client cause=reset"), "{lines:?}");

    let target = opening(|peer| async move { peer.reset() }).await;
    let world = World::http2(Route::to(&[target.address])).await;
    let mut client = Client::new(&world).await;
    let (response, mut stream) = connect(&mut client, Some("websocket")).await;
    assert!(poll_fn(|context| stream.poll_reset(context)).await.is_ok());
    drop((response, stream));
    assert_eq!(client.get("/own").await.unwrap().status(), 200);
    drop(client);
    let lines = world.end().await;
    assert!(lines[0].contains("party=target cause=reset"), "{lines:?}");
}

#[tokio::test]
async fn a_silent_tunnel_ends_after_its_time_and_one_that_lives_does_not() {
    let target = opening(|mut peer| async move {
        for _ in 0..5 {
            // Above the limit in all, and each far below it.
            tokio::time::sleep(milliseconds(150)).await;
            peer.send("x").await;
        }
        peer.gone().await;
    })
    .await;
    let mut route = Route::to(&[target.address]);
    route.timeouts.tunnel = milliseconds(600);
    let world = World::http2(route).await;
    let mut client = Client::new(&world).await;
    let (response, stream) = connect(&mut client, Some("websocket")).await;
    assert_eq!(text(response).await.unwrap().0, "xxxxx");
    drop((stream, client));
    let lines = world.end().await;
    assert!(lines[0].contains("party=proxy cause=tunnel_timeout"), "{lines:?}");
}

#[tokio::test]
async fn a_half_closed_tunnel_has_a_time_of_its_own() {
    let target = opening(|mut peer| async move {
        peer.rest().await;
        peer.gone().await;
        std::future::pending().await
    })
    .await;
    let mut route = Route::to(&[target.address]);
    route.timeouts.half_closed = milliseconds(100);
    let world = World::http2(route).await;
    let mut client = Client::new(&world).await;
    let (response, mut stream) = connect(&mut client, Some("websocket")).await;
    stream.send_data("last".into(), true).unwrap();
    assert_eq!(text(response).await.unwrap().0, "");
    drop((stream, client));
    let lines = world.end().await;
    assert!(lines[0].contains("party=proxy cause=half_closed_timeout"), "{lines:?}");
}

#[tokio::test]
async fn a_protocol_that_is_not_known_is_refused() {
    let world = World::http2(Route::to(&[])).await;
    let mut client = Client::new(&world).await;
    let (response, stream) = connect(&mut client, Some("connect-udp")).await;
    assert_eq!(response.status(), 501);
    drop((response, stream, client));
    let lines = world.end().await;
    assert!(
        lines.iter().all(|line| line.contains("status=501") && line.contains("cause=request_malformed")),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_stream_of_a_connect_becomes_a_tunnel_if_the_target_says_so() {
    let target = Scripted::new(|mut peer, _| async move {
        let head = peer.head().await;
        assert!(head.starts_with("CONNECT a.test:443 HTTP/1.1\r\n"), "{head}");
        assert_eq!((field(&head, "host"), field(&head, "connection")), (Some("a.test:443"), None));
        peer.send("HTTP/1.1 200 OK\r\n\r\nhello").await;
        assert_eq!(peer.rest().await, "ping");
        peer.send("bye").await;
    })
    .await;
    let world = World::http2(Route::to(&[target.address])).await;
    let mut client = Client::new(&world).await;
    let (response, mut stream) = connect(&mut client, None).await;
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    assert_eq!(piece(&mut body).await.unwrap().unwrap(), "hello");
    stream.send_data("ping".into(), true).unwrap();
    assert_eq!(piece(&mut body).await.unwrap().unwrap(), "bye");
    while let Some(rest) = piece(&mut body).await {
        assert_eq!(rest.unwrap(), "", "only the end is left");
    }
    drop((stream, body, client));
    let lines = world.end().await;
    assert!(
        lines[0].contains("method=CONNECT") && lines[0].contains("cause=finished bytes_in=4 bytes_out=8"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_target_that_does_not_switch_or_answers_another_key_opens_no_tunnel() {
    let wrong = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let cases = [
        (wrong, 502, "cause=response_malformed"),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", 403, "cause=finished"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 501, "cause=finished"),
    ];
    for (answer, status, cause) in cases {
        let target = Scripted::new(move |mut peer, _| async move {
            peer.head().await;
            peer.send(answer).await;
            peer.gone().await;
        })
        .await;
        let world = World::http2(Route::to(&[target.address])).await;
        let mut client = Client::new(&world).await;
        let (response, stream) = connect(&mut client, Some("websocket")).await;
        assert_eq!(response.status(), status);
        assert!(!text(response).await.unwrap().0.is_empty());
        drop((stream, client));
        let lines = world.end().await;
        assert!(lines[0].contains(&format!("status={status} ")) && lines[0].contains(cause), "{lines:?}");
    }
}

#[tokio::test]
async fn a_tunnel_ends_with_its_connection() {
    for whole in [false, true] {
        let target = opening(|mut peer| async move { peer.gone().await }).await;
        let world = World::http2(Route::to(&[target.address])).await;
        let mut client = Client::new(&world).await;
        let (response, stream) = connect(&mut client, Some("websocket")).await;
        if whole {
            client.driving.abort();
        } else {
            world.connection().order(crate::drain::Order::Kill);
        }
        until(|| world.route.in_flight() == 0).await;
        drop((response, stream, client));
        let lines = world.end().await;
        let cause = if whole { "party=client" } else { "cause=killed" };
        assert!(lines[0].contains(cause), "{lines:?}");
    }
}

#[tokio::test]
async fn a_client_that_finishes_and_leaves_ends_the_targets_direction_in_order() {
    for whole in [false, true] {
        let (finished, mut hear_finished) = watch::channel(false);
        let (gone, hear_gone) = watch::channel(false);
        let (error, mut hear_error) = watch::channel(None);
        let script = move |mut peer: Peer, _| {
            let (finished, mut gone, error) = (finished.clone(), hear_gone.clone(), error.clone());
            async move {
                let head = peer.head().await;
                peer.send(switching(&head)).await;
                assert_eq!(peer.rest().await, "last");
                finished.send_replace(true);
                gone.wait_for(|gone| *gone).await.unwrap();
                error.send_replace(Some(peer.0.take_error().unwrap().is_some()));
            }
        };
        let target = Scripted::new(script).await;
        let world = World::http2(Route::to(&[target.address])).await;
        let mut client = Client::new(&world).await;
        let (response, mut stream) = connect(&mut client, Some("websocket")).await;
        stream.send_data("last".into(), true).unwrap();
        hear_finished.wait_for(|finished| *finished).await.unwrap();
        if whole {
            client.driving.abort();
        } else {
            stream.send_reset(Reason::CANCEL);
        }
        until(|| world.route.in_flight() == 0).await;
        gone.send_replace(true);
        let reset = *hear_error.wait_for(Option::is_some).await.unwrap();
        assert_eq!(reset, Some(false), "its FIN was followed by a reset");
        drop((response, stream, client));
        world.end().await;
    }
}
