use std::sync::Arc;

use super::world::{Route, Scripted, World, until};
use crate::http::Pool;
use crate::outcome::Cause;

const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn requests_of_several_clients_share_a_connection_to_the_target() {
    let target = Scripted::echoing().await;
    let mut world = World::http1(Route::to(&[target.address])).await;
    for _ in 0..3 {
        let mut client = world.client().await;
        for _ in 0..3 {
            client.send(GET).await;
            assert!(client.message().await.0.starts_with("HTTP/1.1 200"));
            until(|| world.pool().idle() == 1).await;
        }
        client.finish().await;
        assert_eq!(world.cause().await, Cause::Finished);
    }
    assert_eq!(target.accepted(), 1);
    assert_eq!(world.end().await.len(), 9);
}

#[tokio::test]
async fn targets_take_turns_and_each_keeps_its_connection() {
    let (one, two) = (Scripted::echoing().await, Scripted::echoing().await);
    let world = World::http1(Route::to(&[one.address, two.address])).await;
    let mut client = world.client().await;
    for _ in 0..6 {
        client.send(GET).await;
        client.message().await;
        until(|| world.pool().idle() == world.pool().standing()).await;
    }
    assert_eq!((one.accepted(), two.accepted()), (1, 1));
    assert_eq!(world.pool().idle(), 2);
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn a_connection_that_the_target_ends_resets_or_speaks_on_unasked_leaves_the_pool() {
    for way in 0..3 {
        let target = Scripted::new(move |mut peer, number| async move {
            peer.head().await;
            peer.send(OK).await;
            if number == 0 {
                match way {
                    0 => peer.finish().await,
                    1 => return peer.reset(),
                    _ => peer.send("HTTP/1.1 200 OK\r\n").await,
                }
            }
            peer.gone().await;
        })
        .await;
        let world = World::http1(Route::to(&[target.address])).await;
        let mut client = world.client().await;
        for accepted in 1..=2 {
            client.send(GET).await;
            assert_eq!(client.message().await.1, "ok");
            assert_eq!(target.accepted(), accepted);
            if accepted == 1 {
                until(|| world.pool().standing() == 0).await;
                assert_eq!(world.pool().idle(), 0);
            }
        }
        drop(client);
        world.end().await;
    }
}

/// The target answers the first request of its first connection, and ends that at the second, in the way asked for.
async fn stale(reset: bool) -> Scripted {
    Scripted::new(move |mut peer, number| async move {
        peer.head().await;
        peer.send(OK).await;
        if number == 0 {
            peer.head().await;
            if reset {
                peer.reset();
            }
            return;
        }
        peer.gone().await;
    })
    .await
}

#[tokio::test]
async fn a_get_that_met_a_stale_connection_is_sent_once_more() {
    for reset in [false, true] {
        let target = stale(reset).await;
        let world = World::http1(Route::to(&[target.address])).await;
        let mut client = world.client().await;
        for _ in 0..2 {
            client.send(GET).await;
            let (head, body) = client.message().await;
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            assert_eq!(body, "ok");
            until(|| world.pool().idle() == 1).await;
        }
        assert_eq!(target.accepted(), 2);
        drop(client);
        let lines = world.end().await;
        assert!(lines.iter().all(|line| line.contains("cause=finished")), "{lines:?}");
    }
}

#[tokio::test]
async fn a_post_with_a_body_that_met_a_stale_connection_is_not_sent_again() {
    for reset in [false, true] {
        let target = stale(reset).await;
        let mut world = World::http1(Route::to(&[target.address])).await;
        let mut client = world.client().await;
        client.send(GET).await;
        client.message().await;
        until(|| world.pool().idle() == 1).await;
        client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc").await;
        let (head, body) = client.message().await;
        assert!(head.starts_with("HTTP/1.1 502"), "{head}");
        assert!(body.contains("target_closed"), "{body}");
        assert_eq!(target.accepted(), 1);
        drop(client);
        // A target was reached and a request has ended well: what failed is in the request's line.
        assert_eq!(world.cause().await, Cause::Finished);
        let lines = world.end().await;
        assert!(lines[1].contains("status=502") && lines[1].contains("party=target cause=target_closed"), "{lines:?}");
    }
}

/// Without a body nothing but the method says whether it may be done twice (RFC 9110 section 9.2.2).
#[tokio::test]
async fn a_request_that_met_a_stale_connection_is_sent_once_more_only_if_it_may_be_done_twice() {
    for (method, again) in
        [("PUT", true), ("DELETE", true), ("OPTIONS", true), ("POST", false), ("PATCH", false), ("MOVE", false)]
    {
        let target = stale(false).await;
        let world = World::http1(Route::to(&[target.address])).await;
        let mut client = world.client().await;
        client.send(GET).await;
        client.message().await;
        until(|| world.pool().idle() == 1).await;
        client.send(format!("{method} / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n")).await;
        let (head, _) = client.message().await;
        let (status, accepted) = if again { ("200", 2) } else { ("502", 1) };
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{method}: {head}");
        assert_eq!(target.accepted(), accepted, "{method}");
        drop(client);
        world.end().await;
    }
}

#[tokio::test]
async fn a_target_that_answers_nothing_is_not_asked_a_third_time() {
    let target = Scripted::new(move |mut peer, number| async move {
        peer.head().await;
        if number == 0 {
            peer.send(OK).await;
            peer.head().await;
        }
    })
    .await;
    let world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    client.send(GET).await;
    client.message().await;
    until(|| world.pool().idle() == 1).await;
    client.send(GET).await;
    assert!(client.message().await.0.starts_with("HTTP/1.1 502"));
    assert_eq!(target.accepted(), 2);
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn a_get_is_not_sent_again_when_something_of_an_answer_came() {
    let target = Scripted::new(move |mut peer, _| async move {
        peer.head().await;
        peer.send(OK).await;
        peer.head().await;
        peer.send("HTTP/1.1 2").await;
    })
    .await;
    let world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    client.send(GET).await;
    client.message().await;
    until(|| world.pool().idle() == 1).await;
    client.send(GET).await;
    assert!(client.message().await.0.starts_with("HTTP/1.1 502"));
    assert_eq!(target.accepted(), 1);
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn idle_connections_expire_at_the_sweep_and_at_checkout() {
    let target = Scripted::echoing().await;
    let mut route = Route::to(&[target.address]);
    route.timeouts.upstream_keep_alive = super::world::milliseconds(30);
    let world = World::http1(route).await;
    let mut client = world.client().await;
    client.send(GET).await;
    client.message().await;
    until(|| {
        world.pool().sweep();
        world.pool().standing() == 0
    })
    .await;
    assert_eq!(world.pool().idle(), 0);
    client.send(GET).await;
    client.message().await;
    until(|| world.pool().idle() == 1).await;
    let kept = std::time::Instant::now();
    until(|| kept.elapsed() > super::world::milliseconds(30)).await;
    client.send(GET).await;
    client.message().await;
    assert_eq!(target.accepted(), 3);
    drop(client);
    world.end().await;
}

/// Has one request more than is kept of idle connections be answered at the same time, by each of the targets in turn.
async fn one_more_than_is_kept(targets: usize, pool: Arc<Pool>, kept: usize) {
    let mut all = Vec::new();
    for _ in 0..targets {
        all.push(Scripted::echoing().await);
    }
    let mut route = Route::to(&all.iter().map(|target| target.address).collect::<Vec<_>>());
    route.pool = pool;
    let world = World::http1(route).await;
    let mut clients = Vec::new();
    for _ in 0..=kept {
        let mut client = world.client().await;
        // The body that is still to come keeps each request, and so each connection, in use.
        client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\n\r\n").await;
        clients.push(client);
    }
    until(|| world.pool().standing() == kept + 1).await;
    for client in &mut clients {
        client.send("x").await;
        client.message().await;
    }
    until(|| world.pool().standing() == kept).await;
    assert_eq!(world.pool().idle(), kept);
    drop(clients);
    world.end().await;
}

#[tokio::test]
async fn no_more_idle_connections_of_a_target_are_kept_than_the_limit() {
    one_more_than_is_kept(1, Pool::new(), crate::http::IDLE_PER_KEY_MAX).await;
}

#[tokio::test]
async fn no_more_idle_connections_of_all_targets_are_kept_than_the_limit() {
    // As many as the process keeps would be more descriptors than a test may take.
    one_more_than_is_kept(3, Pool::keeping(6), 6).await;
}
