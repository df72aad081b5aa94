//! Requests and answers of targets that speak HTTP/2.

use std::future::poll_fn;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};

use super::http2::{Client, text};
use super::http2_target::{GET, accept, echoing, get, serve, to};
use super::world::{Scripted, World, milliseconds, until};

#[tokio::test]
async fn requests_at_once_share_one_connection_and_become_http_2() {
    let target = echoing().await;
    let world = World::http1(to(&target)).await;
    let answers = tokio::join!(get(&world), get(&world), get(&world), get(&world), get(&world));
    for (head, body) in [answers.0, answers.1, answers.2, answers.3, answers.4] {
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(body.starts_with("GET http://a.test/a?b\n"), "{body}");
        assert!(!body.contains("\nhost:") && !body.contains("\nconnection:"), "{body}");
        assert!(body.contains("\nx-forwarded-for: 127.0.0.1\n"), "{body}");
    }
    assert_eq!((target.accepted(), world.pool().standing()), (1, 1));
    until(|| world.pool().idle() == 1).await;
    world.end().await;
}

#[tokio::test]
async fn bodies_and_trailers_go_both_ways() {
    let target = echoing().await;
    let world = World::http2(to(&target)).await;
    let mut client = Client::new(&world).await;
    let request = Request::post("http://a.test/").header("te", "trailers").header("grpc-timeout", "1S");
    let (response, mut stream) = client.sender.send_request(request.body(()).unwrap(), false).unwrap();
    stream.send_data("abc".into(), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    stream.send_trailers(trailers.clone()).unwrap();
    let (body, answered) = text(response.await.unwrap()).await.unwrap();
    assert!(
        body.contains("\nte: trailers\n") && body.contains("\ngrpc-timeout: 1S\n") && body.ends_with("abc"),
        "{body}"
    );
    assert_eq!(answered, Some(trailers));
    drop((stream, client));
    let lines = world.end().await;
    assert!(lines[0].contains("cause=finished bytes_in=3"), "{lines:?}");
}

#[tokio::test]
async fn an_answer_of_trailers_only_and_an_interim_one_reach_the_client() {
    let target = Scripted::new(|peer, _| async move {
        serve(accept(peer).await, |mut asked| async move {
            let early = Response::builder().status(103).header("link", "</x>").body(()).unwrap();
            asked.respond.send_informational(early).unwrap();
            let only = Response::builder().header("grpc-status", "12").body(()).unwrap();
            asked.respond.send_response(only, true).unwrap();
        })
        .await;
    })
    .await;
    let world = World::http2(to(&target)).await;
    let mut client = Client::new(&world).await;
    let response = client.get("/").await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["grpc-status"]), (200, &"12".parse().unwrap()));
    assert!(response.body().is_end_stream());
    drop((response, client));
    world.end().await;

    let world = World::http1(to(&target)).await;
    let mut client = world.client().await;
    client.send(GET).await;
    assert!(client.head().await.starts_with("HTTP/1.1 103"));
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn a_target_that_speaks_something_else_or_nothing_gets_no_request() {
    let target = Scripted::new(|mut peer, _| async move {
        peer.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        peer.gone().await;
    })
    .await;
    let world = World::http1(to(&target)).await;
    assert!(get(&world).await.0.starts_with("HTTP/1.1 502"));
    let lines = world.end().await;
    assert!(lines[0].contains("cause=response_malformed") && lines[0].contains("upstream_protocol"), "{lines:?}");

    let target = Scripted::new(|mut peer, _| async move { peer.gone().await }).await;
    let mut route = to(&target);
    route.connect.connect = milliseconds(50);
    let world = World::http1(route).await;
    assert!(get(&world).await.0.starts_with("HTTP/1.1 504"));
    let lines = world.end().await;
    assert!(lines[0].contains("cause=connect_timeout"), "{lines:?}");
}

#[tokio::test]
async fn both_directions_flow_at_once_and_one_that_is_not_read_stops_no_other() {
    // As much as no window holds.
    const BYTES: usize = 1_000_000;
    let target = Scripted::new(|peer, _| async move {
        let connection = h2::server::Builder::new().initial_window_size(1_000_000).handshake(peer.0).await.unwrap();
        serve(connection, |mut asked| async move {
            let mut stream = asked.head();
            // More than the client's window is given before anything of the request is read.
            stream.send_data(vec![b'x'; BYTES].into(), false).unwrap();
            let mut read = 0;
            while let Some(Ok(data)) = asked.request.body_mut().data().await {
                asked.request.body_mut().flow_control().release_capacity(data.len()).unwrap();
                read += data.len();
            }
            stream.send_data(read.to_string().into(), true).unwrap();
        })
        .await;
    })
    .await;
    let world = World::http2(to(&target)).await;
    let (mut stuck, mut client) = (Client::new(&world).await, Client::new(&world).await);
    let open = |client: &mut Client| {
        let request = Request::post("http://a.test/").body(()).unwrap();
        client.sender.send_request(request, false).unwrap()
    };
    let (unread, _held) = open(&mut stuck);
    let unread = unread.await.unwrap();
    for _ in 0..2 {
        let (response, mut stream) = open(&mut client);
        let response = response.await.unwrap();
        let mut left = BYTES;
        while left > 0 {
            stream.reserve_capacity(left);
            let room = poll_fn(|context| stream.poll_capacity(context)).await.unwrap().unwrap().min(left);
            stream.send_data(vec![b'y'; room].into(), false).unwrap();
            left -= room;
        }
        stream.send_data(Bytes::new(), true).unwrap();
        let (body, _) = text(response).await.unwrap();
        assert!(body.len() == BYTES + 7 && body.ends_with("1000000"));
    }
    assert_eq!(target.accepted(), 1);
    drop((unread, _held, stuck, client));
    world.end().await;
}

#[tokio::test]
async fn a_silent_direction_lives_as_long_as_the_other_moves() {
    // Above the limit in all, and each far below it.
    const PIECES: usize = 5;
    let pace = || tokio::time::sleep(milliseconds(150));
    let target = Scripted::new(move |peer, _| async move {
        serve(accept(peer).await, move |mut asked| async move {
            let mut stream = asked.head();
            let mut read = 0;
            while read < PIECES {
                read += asked.request.body_mut().data().await.unwrap().unwrap().len();
            }
            for _ in 0..PIECES {
                pace().await;
                stream.send_data("x".into(), false).unwrap();
            }
            // Neither side says any more.
            while asked.request.body_mut().data().await.is_some_and(|data| data.is_ok()) {}
        })
        .await;
    })
    .await;
    let mut route = to(&target);
    route.timeouts.body = milliseconds(600);
    let world = World::http2(route).await;
    let mut client = Client::new(&world).await;
    let request = Request::post("http://a.test/").body(()).unwrap();
    let (response, mut stream) = client.sender.send_request(request, false).unwrap();
    let mut body = response.await.unwrap().into_body();
    for _ in 0..PIECES {
        pace().await;
        stream.send_data("y".into(), false).unwrap();
    }
    for _ in 0..PIECES {
        assert_eq!(body.data().await.unwrap().unwrap(), "x");
    }
    assert!(body.data().await.unwrap().is_err(), "both are silent");
    drop((stream, body, client));
    let lines = world.end().await;
    assert!(lines[0].contains("cause=body_timeout bytes_in=5 bytes_out=5"), "{lines:?}");
}
