use super::world::{Route, Scripted, World, field, milliseconds, until};
use crate::outcome::Cause;

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

#[tokio::test]
async fn an_upgrade_becomes_a_tunnel_that_loses_no_early_byte() {
    let target = Scripted::new(|mut peer, _| async move {
        let head = peer.head().await;
        assert_eq!((field(&head, "connection"), field(&head, "upgrade")), (Some("upgrade"), Some("websocket")));
        peer.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello").await;
        let seen = peer.take(10).await;
        peer.send(seen).await;
        peer.rest().await;
        peer.send("bye").await;
    })
    .await;
    let mut world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    client.send(format!("{UPGRADE}early")).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 101") && field(&head, "upgrade") == Some("websocket"), "{head}");
    assert_eq!(client.take(5).await, "hello");
    client.send("later").await;
    assert_eq!(client.take(10).await, "earlylater");
    assert_eq!(world.connection().snapshot().state.as_str(), "relaying");
    client.finish().await;
    assert_eq!(client.rest().await, "bye");
    assert_eq!(world.cause().await, Cause::Finished);
    let lines = world.end().await;
    assert!(lines[0].contains("status=101") && lines[0].contains("cause=finished"), "{lines:?}");
}

#[tokio::test]
async fn an_idle_tunnel_ends_and_a_killed_one_too() {
    for kill in [false, true] {
        let target = Scripted::new(|mut peer, _| async move {
            peer.head().await;
            peer.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").await;
            peer.gone().await;
        })
        .await;
        let mut route = Route::to(&[target.address]);
        if !kill {
            route.timeouts.tunnel = milliseconds(50);
        }
        let mut world = World::http1(route).await;
        let mut client = world.client().await;
        client.send(UPGRADE).await;
        client.head().await;
        if kill {
            world.connection().order(crate::drain::Order::Kill);
        }
        client.gone().await;
        assert_eq!(world.cause().await, if kill { Cause::Killed } else { Cause::TunnelTimeout });
        world.end().await;
    }
}

#[tokio::test]
async fn a_half_closed_tunnel_ends_without_a_byte_long_before_an_open_one() {
    for (request, begin) in [(UPGRADE, "101 Switching Protocols"), (CONNECT, "200 Connection established")] {
        for client_ends in [true, false] {
            let target = Scripted::new(move |mut peer, _| async move {
                peer.head().await;
                let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\n";
                peer.send(format!("HTTP/1.1 {begin}\r\n{upgrade}\r\nhello")).await;
                if client_ends {
                    peer.rest().await;
                } else {
                    peer.finish().await;
                }
                std::future::pending().await
            })
            .await;
            let mut route = Route::to(&[target.address]);
            route.timeouts.half_closed = milliseconds(100);
            let mut world = World::http1(route).await;
            let mut client = world.client().await;
            client.send(request).await;
            client.head().await;
            assert_eq!(client.take(5).await, "hello");
            if client_ends {
                client.finish().await;
            }
            client.gone().await;
            assert_eq!(world.cause().await, Cause::HalfClosedTimeout, "{begin} {client_ends}");
            let lines = world.end().await;
            assert!(lines[0].contains("phase=relay party=proxy cause=half_closed_timeout"), "{lines:?}");
        }
    }
}

#[tokio::test]
async fn an_upgrade_to_another_http_does_not_pass() {
    let target = Scripted::echoing().await;
    let world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n").await;
    client.send("HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n").await;
    let (_, seen) = client.message().await;
    for name in ["upgrade", "http2-settings", "connection"] {
        assert!(field(&seen, name).is_none(), "{seen}");
    }
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn a_target_that_refuses_an_upgrade_answers_as_usual() {
    let target = Scripted::echoing().await;
    let world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    client.send(UPGRADE).await;
    assert!(client.message().await.0.starts_with("HTTP/1.1 200"));
    until(|| world.pool().idle() == 1).await;
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert!(client.message().await.0.starts_with("HTTP/1.1 200"));
    assert_eq!(target.accepted(), 1);
    drop(client);
    world.end().await;
}

const CONNECT: &str = "CONNECT b.test:443 HTTP/1.1\r\nHost: b.test:443\r\n\r\n";

#[tokio::test]
async fn a_connect_becomes_a_tunnel_when_the_target_says_so() {
    // Lengths of a success say nothing (RFC 9110 section 9.3.6).
    for success in
        ["200 Connection established\r\n\r\n", "200 OK\r\nContent-Length: 5\r\n\r\n", "204 No Content\r\n\r\n"]
    {
        let target = Scripted::new(move |mut peer, _| async move {
            let head = peer.head().await;
            assert!(head.starts_with("CONNECT b.test:443 HTTP/1.1\r\n"), "{head}");
            assert_eq!(field(&head, "host"), Some("b.test:443"));
            peer.send(format!("HTTP/1.1 {success}hello")).await;
            let seen = peer.take(10).await;
            peer.send(seen).await;
            peer.rest().await;
            peer.send("bye").await;
        })
        .await;
        let mut route = Route::to(&[target.address]);
        // The host of a CONNECT is not the target's.
        route.preserve_host = false;
        let mut world = World::http1(route).await;
        let mut client = world.client().await;
        client.send(format!("{CONNECT}early")).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        for absent in ["content-length", "transfer-encoding", "connection"] {
            assert!(field(&head, absent).is_none(), "{head}");
        }
        assert_eq!(client.take(5).await, "hello");
        client.send("later").await;
        assert_eq!(client.take(10).await, "earlylater");
        client.finish().await;
        assert_eq!(client.rest().await, "bye");
        assert_eq!(world.cause().await, Cause::Finished);
        let lines = world.end().await;
        assert!(lines[0].contains("method=CONNECT") && lines[0].contains("bytes_in=10 bytes_out=18"), "{lines:?}");
    }
}

#[tokio::test]
async fn what_follows_a_connect_that_is_refused_is_no_request() {
    let target = Scripted::new(|mut peer, _| async move {
        peer.head().await;
        peer.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
        peer.rest().await;
    })
    .await;
    let mut world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    client.send(format!("{CONNECT}GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n")).await;
    let (head, body) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 403") && field(&head, "connection") == Some("close"), "{head}");
    assert_eq!(body, "no");
    client.rest().await;
    assert_eq!(world.cause().await, Cause::Finished);
    let lines = world.end().await;
    assert!(lines.len() == 1 && target.accepted() == 1, "{lines:?}");
}
