use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::world::{Peer, Route, Scripted, World, milliseconds, until};
use crate::drain::Order;
use crate::outcome::{Cause, Outcome, Party, Phase};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const OWN: &str = "GET /own HTTP/1.1\r\nHost: a.test\r\n\r\n";

const fn serving(party: Party, cause: Cause) -> Outcome {
    Outcome::new(Phase::Serve, party, cause)
}

/// A target that never answers, and the world before it.
async fn silent() -> (Scripted, World) {
    silent_with(|_| {}).await
}

async fn silent_with(adjust: impl FnOnce(&mut Route)) -> (Scripted, World) {
    let target = Scripted::new(|mut peer, _| async move {
        peer.head().await;
        peer.gone().await;
    })
    .await;
    let mut route = Route::to(&[target.address]);
    adjust(&mut route);
    let world = World::http1(route).await;
    (target, world)
}

#[tokio::test]
async fn a_client_that_says_nothing_and_closes_was_empty() {
    let mut world = World::http1(Route::to(&[])).await;
    drop(world.client().await);
    assert_eq!(world.outcome().await, serving(Party::Client, Cause::Empty));
    assert!(world.end().await.is_empty());
}

#[tokio::test]
async fn a_client_that_closes_between_requests_has_finished() {
    let mut world = World::http1(Route::to(&[])).await;
    let mut client = world.client().await;
    client.send(OWN).await;
    assert_eq!(client.message().await.1, "own");
    drop(client);
    assert_eq!(world.outcome().await, serving(Party::Client, Cause::Finished));
    let lines = world.end().await;
    assert!(lines[0].contains("method=GET host=a.test path=/own protocol=http/1.1 status=200"), "{lines:?}");
    assert!(lines[0].contains("party=client cause=finished bytes_in=0 bytes_out=3 "), "{lines:?}");
}

#[tokio::test]
async fn a_client_that_closes_in_a_head_has_closed_early() {
    let mut world = World::http1(Route::to(&[])).await;
    let mut client = world.client().await;
    client.send("GET / HT").await;
    drop(client);
    assert_eq!(world.outcome().await, serving(Party::Client, Cause::ClosedEarly));
    world.end().await;
}

#[tokio::test]
async fn a_client_that_resets_is_told_from_one_that_closes() {
    let (_target, mut world) = silent().await;
    let mut client = world.client().await;
    client.send(GET).await;
    until(|| world.pool().standing() == 1).await;
    client.reset();
    assert_eq!(world.outcome().await, serving(Party::Client, Cause::Reset));
    let lines = world.end().await;
    assert!(lines[0].contains("party=client cause=reset") && !lines[0].contains("status="), "{lines:?}");
}

#[tokio::test]
async fn a_client_that_leaves_while_the_target_works_frees_the_target_at_once() {
    let (_target, mut world) = silent().await;
    let mut client = world.client().await;
    client.send(GET).await;
    until(|| world.pool().standing() == 1).await;
    drop(client);
    assert_eq!(world.outcome().await, serving(Party::Client, Cause::ClosedEarly));
    until(|| world.pool().standing() == 0).await;
    world.end().await;
}

#[tokio::test]
async fn keep_alive_and_slow_heads_have_their_own_times_and_causes() {
    let mut route = Route::to(&[]);
    route.settings.keep_alive = milliseconds(50);
    let mut world = World::http1(route).await;
    let mut client = world.client().await;
    client.send(OWN).await;
    client.message().await;
    assert_eq!(client.rest().await, "");
    assert_eq!(world.outcome().await, serving(Party::Proxy, Cause::KeepAliveTimeout));
    world.end().await;

    let mut route = Route::to(&[]);
    route.settings.request_head = milliseconds(50);
    route.settings.linger = milliseconds(50);
    let mut world = World::http1(route).await;
    for before in ["", OWN] {
        let mut client = world.client().await;
        if !before.is_empty() {
            client.send(before).await;
            client.message().await;
        }
        client.send("GET / HTTP/1.1\r\nHost:").await;
        let (head, body) = client.message().await;
        assert!(head.starts_with("HTTP/1.1 408"), "{head}");
        assert_eq!(body, "408 Request Timeout\n");
        assert_eq!(client.rest().await, "");
        assert_eq!(world.outcome().await, serving(Party::Client, Cause::RequestHeadTimeout));
    }
    world.end().await;
}

#[tokio::test]
async fn a_head_is_not_late_while_the_request_before_it_is_served() {
    let target = Scripted::new(|mut peer, _| async move {
        peer.head().await;
        peer.head().await;
    })
    .await;
    let mut route = Route::to(&[target.address]);
    route.settings.request_head = milliseconds(50);
    route.timeouts.response_head = milliseconds(150);
    let mut world = World::http1(route).await;
    let mut client = world.client().await;
    client.send(format!("{GET}GET /late")).await;
    assert!(client.message().await.0.starts_with("HTTP/1.1 504"));
    assert!(client.message().await.0.starts_with("HTTP/1.1 408"));
    drop(client);
    assert_eq!(world.cause().await, Cause::RequestHeadTimeout);
    world.end().await;
}

#[tokio::test]
async fn drain_serves_a_request_whose_head_has_begun_to_come() {
    let mut world = World::http1(Route::to(&[])).await;
    let mut client = world.client().await;
    let (begun, rest) = OWN.split_at(8);
    client.send(begun).await;
    until(|| world.registry.live() == 1).await;
    until(|| world.connection().traffic().bytes_in() == begun.len() as u64).await;
    world.connection().order(Order::Drain);
    tokio::task::yield_now().await;
    client.send(rest).await;
    let (head, _body) = client.message().await;
    assert!(head.to_ascii_lowercase().contains("connection: close"), "{head}");
    assert_eq!(client.rest().await, "");
    assert_eq!(world.cause().await, Cause::Drained);
    world.end().await;
}

#[tokio::test]
async fn drain_ends_an_idle_connection() {
    for sent in ["", OWN] {
        let mut world = World::http1(Route::to(&[])).await;
        let mut client = world.client().await;
        client.send(sent).await;
        if sent == OWN {
            client.message().await;
        }
        until(|| world.registry.live() == 1).await;
        until(|| world.connection().traffic().bytes_in() == sent.len() as u64).await;
        world.connection().order(Order::Drain);
        assert_eq!(client.rest().await, "");
        assert_eq!(world.cause().await, Cause::Drained, "{sent}");
        world.end().await;
    }
}

#[tokio::test]
async fn drain_lets_a_request_in_progress_end_and_says_close() {
    let (release, released) = tokio::sync::watch::channel(false);
    let target = Scripted::new(move |mut peer, _| {
        let mut released = released.clone();
        async move {
            peer.head().await;
            released.wait_for(|released| *released).await.unwrap();
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            peer.gone().await;
        }
    })
    .await;
    let mut world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    client.send(GET).await;
    until(|| world.pool().standing() == 1).await;
    world.connection().order(Order::Drain);
    release.send(true).unwrap();
    let (head, body) = client.message().await;
    assert_eq!(super::world::field(&head, "connection"), Some("close"));
    assert_eq!(body, "ok");
    assert_eq!(client.rest().await, "");
    assert_eq!(world.outcome().await, serving(Party::Operator, Cause::Drained));
    world.end().await;
}

#[tokio::test]
async fn kill_and_cut_end_everything_at_once() {
    for (order, cause) in [(Order::Kill, Cause::Killed), (Order::Cut, Cause::Cut)] {
        let (_target, mut world) = silent().await;
        let mut client = world.client().await;
        client.send(GET).await;
        until(|| world.pool().standing() == 1).await;
        world.connection().order(order);
        client.gone().await;
        assert_eq!(world.outcome().await, serving(Party::Operator, cause));
        until(|| world.pool().standing() == 0).await;
        let lines = world.end().await;
        assert!(lines[0].contains(&format!("party=operator cause={}", cause.as_str())), "{lines:?}");
    }
}

#[tokio::test]
async fn a_connection_at_the_end_of_its_lifetime_is_cut_with_its_request() {
    let (_target, mut world) = silent_with(|route| route.settings.max_lifetime = Some(milliseconds(200))).await;
    let mut client = world.client().await;
    client.send(GET).await;
    client.gone().await;
    assert_eq!(world.outcome().await, serving(Party::Proxy, Cause::LifetimeReached));
    let lines = world.end().await;
    assert!(lines[0].contains("party=proxy cause=lifetime_reached"), "{lines:?}");
}

#[tokio::test]
async fn an_answer_without_a_length_does_not_look_whole_when_the_lifetime_ends_in_it() {
    let target = Scripted::new(|mut peer, _| async move {
        peer.head().await;
        peer.send("HTTP/1.1 200 OK\r\n\r\nhalf").await;
        peer.gone().await;
    })
    .await;
    let mut route = Route::to(&[target.address]);
    route.settings.max_lifetime = Some(milliseconds(200));
    let mut world = World::http1(route).await;
    let mut client = world.client().await;
    client.send("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n").await;
    client.head().await;
    assert_eq!(client.take(4).await, "half");
    assert_eq!(client.0.read(&mut [0]).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(world.cause().await, Cause::LifetimeReached);
    world.end().await;
}

#[tokio::test]
async fn an_idle_connection_ends_at_the_end_of_its_lifetime() {
    let mut route = Route::to(&[]);
    route.settings.max_lifetime = Some(milliseconds(100));
    let mut world = World::http1(route).await;
    let mut client = world.client().await;
    client.send(OWN).await;
    client.message().await;
    client.gone().await;
    assert_eq!(world.outcome().await, serving(Party::Proxy, Cause::LifetimeReached));
    world.end().await;
}

#[tokio::test]
async fn a_tunnel_ends_at_the_end_of_its_connections_lifetime() {
    let target = Scripted::new(|mut peer, _| async move {
        peer.head().await;
        peer.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: test\r\n\r\n").await;
        peer.gone().await;
    })
    .await;
    let mut route = Route::to(&[target.address]);
    route.settings.max_lifetime = Some(milliseconds(200));
    let mut world = World::http1(route).await;
    let mut client = world.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: test\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 101"));
    client.gone().await;
    assert_eq!(world.cause().await, Cause::LifetimeReached);
    world.end().await;
}

#[tokio::test]
async fn a_client_that_is_refused_is_answered_and_does_not_stay() {
    let mut world = World::http1(Route::to(&[])).await;
    let mut client = world.client().await;
    client.send("GET /refused HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    let (head, _) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    assert_eq!(super::world::field(&head, "connection"), Some("close"));
    assert_eq!(client.rest().await, "");
    assert_eq!(world.cause().await, Cause::RouteConnectionLimit);
    world.end().await;
}

#[tokio::test]
async fn a_connection_whose_task_is_dropped_gives_everything_back() {
    let (_target, world) = silent().await;
    let mut client = world.client().await;
    client.send(GET).await;
    until(|| world.pool().standing() == 1).await;
    world.abandon();
    client.gone().await;
    let lines = world.end().await;
    assert!(lines[0].contains("party=operator cause=cut"), "{lines:?}");
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_cut() {
    let target = Scripted::new(|mut peer: Peer, _| async move {
        peer.head().await;
        let endless = [b'x'; 65_536];
        peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
        while peer.0.write_all(&endless).await.is_ok() {}
    })
    .await;
    let mut route = Route::to(&[target.address]);
    route.settings.body = milliseconds(1500);
    let mut world = World::http1(route).await;
    let mut client = world.client().await;
    client.send(GET).await;
    client.head().await;
    let begun = std::time::Instant::now();
    assert_eq!(world.outcome().await, serving(Party::Client, Cause::BodyTimeout));
    // Not at twice its time, as it would be if what the kernels take meanwhile counted for the client.
    assert!(begun.elapsed() < milliseconds(2700), "{:?}", begun.elapsed());
    drop(client);
    let lines = world.end().await;
    assert!(lines[0].contains("party=client cause=body_timeout"), "{lines:?}");
}

#[tokio::test]
async fn a_panic_ends_the_connection_and_the_books_are_right() {
    let world = World::http1(Route::to(&[])).await;
    let mut client = world.client().await;
    client.send("GET /panic HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    client.gone().await;
    let registry = std::sync::Arc::clone(&world.registry);
    until(|| registry.live() == 0).await;
    assert!(registry.meters().text().contains(r#"cause="internal",party="proxy",phase="serve",route="test"} 1"#));
    drop(registry);
    let lines = world.end().await;
    assert!(lines[0].contains("party=proxy cause=internal"), "{lines:?}");
}

#[tokio::test]
async fn a_connection_whose_every_request_failed_before_a_target_has_failed() {
    let refusing = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = refusing.local_addr().unwrap();
    drop(refusing);
    let mut world = World::http1(Route::to(&[address])).await;
    let mut client = world.client().await;
    for _ in 0..2 {
        client.send(GET).await;
        let (head, body) = client.message().await;
        assert!(head.starts_with("HTTP/1.1 502"), "{head}");
        let id = super::world::field(&head, "x-request-id").unwrap();
        assert!(body.starts_with("502 Bad Gateway: refused\n") && body.contains(id), "{body}");
    }
    drop(client);
    assert_eq!(world.outcome().await, Outcome::new(Phase::Connect, Party::Target, Cause::Refused));
    let text = world.registry.meters().text();
    assert!(
        text.contains(r#"connections_failed_total{cause="refused",party="target",phase="connect",route="test"} 1"#)
    );
    assert!(text.contains(r#"smartproxy_requests_total{route="test",status="5xx"} 2"#), "{text}");
    let lines = world.end().await;
    assert!(lines[0].contains(&format!("target={address} phase=connect party=target cause=refused")), "{lines:?}");
}

#[tokio::test]
async fn no_target_at_all_is_503() {
    let mut world = World::http1(Route::to(&[])).await;
    let mut client = world.client().await;
    client.send(GET).await;
    assert!(client.message().await.0.starts_with("HTTP/1.1 503"));
    drop(client);
    assert_eq!(world.cause().await, Cause::NoTarget);
    world.end().await;
}

#[tokio::test]
async fn the_state_of_a_connection_stays_small() {
    let world = World::http1(Route::to(&[])).await;
    let stream = world.client().await.0;
    let registry = std::sync::Arc::clone(&world.registry);
    until(|| registry.live() == 1).await;
    let connection = world.connection();
    let settings = world.route.settings;
    let service = |_, exchange| async { crate::http::answer::whole(http::StatusCode::OK, "", exchange) };
    let version = crate::http::Version::Http1;
    let size = size_of_val(&crate::http::serve(stream, version, &settings, &registry, &connection, service));
    drop((connection, registry));
    // Ten thousand connections at 3 KiB are 30 MiB. That of HTTP/2 is on the heap.
    assert!(size <= 3 * 1024, "{size}");
    world.end().await;
}
