//! Connections that many requests share.

use tokio::sync::watch;

use super::http2_target::{Asked, GET, accept, chunked, echoing, get, serve, to};
use super::world::{Scripted, World, milliseconds, until};

#[tokio::test]
async fn a_request_above_the_targets_limit_on_streams_gets_a_connection_beside() {
    let (release, released) = watch::channel(false);
    let target = Scripted::new(move |peer, _| {
        let released = released.clone();
        async move {
            let connection = h2::server::Builder::new().max_concurrent_streams(2).handshake(peer.0).await.unwrap();
            serve(connection, move |asked| {
                let mut released = released.clone();
                async move {
                    released.wait_for(|released| *released).await.unwrap();
                    asked.echo().await;
                }
            })
            .await;
        }
    })
    .await;
    let world = World::http1(to(&target)).await;
    let clients = async { tokio::join!(get(&world), get(&world), get(&world), get(&world), get(&world)) };
    let releasing = async {
        until(|| target.accepted() == 3 && world.route.in_flight() == 5).await;
        release.send(true).unwrap();
    };
    let (answers, ()) = tokio::join!(clients, releasing);
    assert!(answers.4.0.starts_with("HTTP/1.1 200"));
    assert_eq!(target.accepted(), 3);
    world.end().await;
}

#[tokio::test]
async fn b6_a_connection_that_gets_goaway_is_replaced_and_its_streams_end_well() {
    let (release, released) = watch::channel(false);
    let (leaving, mut left) = watch::channel(false);
    let target = Scripted::new(move |peer, number| {
        let (mut released, leaving) = (released.clone(), leaving.clone());
        async move {
            let mut connection = accept(peer).await;
            if number > 0 {
                return serve(connection, Asked::echo).await;
            }
            let (request, respond) = connection.accept().await.unwrap().unwrap();
            connection.graceful_shutdown();
            leaving.send_replace(true);
            let held = tokio::spawn(async move {
                released.wait_for(|released| *released).await.unwrap();
                Asked { request, respond }.echo().await;
            });
            assert!(connection.accept().await.is_none());
            held.await.unwrap();
        }
    })
    .await;
    let world = World::http1(to(&target)).await;
    let mut held = world.client().await;
    held.send(GET).await;
    left.wait_for(|left| *left).await.unwrap();
    // GOAWAY takes a moment to come; until it has, the target would wait for a second stream in vain.
    until(|| world.pool().shared_open() == 0).await;
    assert!(get(&world).await.0.starts_with("HTTP/1.1 200"));
    assert_eq!((target.accepted(), world.pool().standing()), (2, 2));
    release.send(true).unwrap();
    assert!(held.head().await.starts_with("HTTP/1.1 200"));
    chunked(&mut held).await;
    until(|| world.pool().standing() == 1).await;
    drop(held);
    let lines = world.end().await;
    assert!(lines.iter().all(|line| line.contains("cause=finished")), "{lines:?}");
}

#[tokio::test]
async fn a_connection_that_leaves_a_request_unanswered_takes_no_more() {
    let target = Scripted::new(|peer, number| async move {
        serve(accept(peer).await, move |asked| async move {
            if number > 0 {
                asked.echo().await;
            } else {
                std::future::pending::<()>().await;
            }
        })
        .await;
    })
    .await;
    let mut route = to(&target);
    route.timeouts.response_head = milliseconds(50);
    let world = World::http1(route).await;
    assert!(get(&world).await.0.starts_with("HTTP/1.1 504"));
    assert!(get(&world).await.0.starts_with("HTTP/1.1 200"));
    assert_eq!(target.accepted(), 2);
    world.end().await;
}

#[tokio::test]
async fn an_idle_connection_ends_after_its_time() {
    let target = echoing().await;
    let mut route = to(&target);
    route.timeouts.upstream_keep_alive = milliseconds(30);
    let world = World::http1(route).await;
    get(&world).await;
    until(|| {
        world.pool().sweep();
        world.pool().standing() == 0
    })
    .await;
    assert_eq!(world.pool().idle(), 0);
    get(&world).await;
    assert_eq!(target.accepted(), 2);
    world.end().await;
}

#[tokio::test]
async fn who_waits_for_a_connection_opens_it_when_the_one_before_has_left() {
    let (release, released) = watch::channel(false);
    let target = Scripted::new(move |peer, number| {
        let mut released = released.clone();
        async move {
            if number == 0 {
                // Its settings never come.
                released.wait_for(|released| *released).await.unwrap();
            } else {
                serve(accept(peer).await, Asked::echo).await;
            }
        }
    })
    .await;
    let world = World::http1(to(&target)).await;
    let mut first = world.client().await;
    first.send(GET).await;
    until(|| target.accepted() == 1).await;
    let mut second = world.client().await;
    second.send(GET).await;
    until(|| world.registry.connections().len() == 2).await;
    first.reset();
    assert!(second.head().await.starts_with("HTTP/1.1 200"));
    assert_eq!(target.accepted(), 2);
    release.send(true).unwrap();
    drop(second);
    world.end().await;
}

#[tokio::test]
async fn b5_a_stream_outlives_the_time_of_idle_connections_and_its_connections_goaway() {
    let (release, released) = watch::channel(0);
    let target = Scripted::new(move |peer, _| {
        let released = released.clone();
        async move {
            let mut connection = accept(peer).await;
            let (mut goaway, mut left) = (released.clone(), false);
            loop {
                let told = async { drop(goaway.wait_for(|step| *step >= 1).await) };
                let asked = tokio::select! {
                    asked = connection.accept() => asked,
                    () = told, if !left => {
                        connection.graceful_shutdown();
                        left = true;
                        continue;
                    }
                };
                let Some(asked) = asked else { return };
                let (_request, mut respond) = asked.unwrap();
                let mut released = released.clone();
                tokio::spawn(async move {
                    let mut stream = respond.send_response(http::Response::new(()), false).unwrap();
                    stream.send_data("first".into(), false).unwrap();
                    let _released = released.wait_for(|step| *step == 2).await;
                    stream.send_data("last".into(), true).unwrap();
                });
            }
        }
    })
    .await;
    let mut route = to(&target);
    route.timeouts.upstream_keep_alive = milliseconds(10);
    let world = World::http1(route).await;
    let mut client = world.client().await;
    client.send(GET).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    assert_eq!(client.take(10).await, "5\r\nfirst\r\n");
    for step in [0, 1] {
        release.send_replace(step);
        // Many times as long as an idle connection is kept.
        for _ in 0..20 {
            tokio::time::sleep(milliseconds(10)).await;
            world.pool().sweep();
        }
        assert_eq!(world.pool().standing(), 1, "{step}");
    }
    release.send_replace(2);
    assert_eq!(chunked(&mut client).await, "last");
    drop(client);
    let lines = world.end().await;
    assert!(lines[0].contains("cause=finished"), "{lines:?}");
}
