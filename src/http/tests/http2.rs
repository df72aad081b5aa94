use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Request};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;

use super::world::{Route, Scripted, World, field, milliseconds, until};
use crate::drain::Order;
use crate::outcome::{Cause, Outcome, Party, Phase};

pub(super) struct Client {
    pub(super) sender: SendRequest<Bytes>,
    pub(super) driving: JoinHandle<Result<(), h2::Error>>,
}

impl Client {
    pub(super) async fn new(world: &World) -> Self {
        let (sender, connection) = h2::client::handshake(world.client().await.0).await.unwrap();
        Self { sender: sender.ready().await.unwrap(), driving: tokio::spawn(connection) }
    }

    pub(super) fn get(&mut self, path: &str) -> ResponseFuture {
        let uri = format!("https://a.test{path}");
        self.sender.send_request(Request::get(uri).body(()).unwrap(), true).unwrap().0
    }
}

pub(super) async fn text(response: http::Response<h2::RecvStream>) -> Result<(String, Option<HeaderMap>), h2::Error> {
    let mut body = response.into_body();
    let mut text = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        text.extend_from_slice(&data);
    }
    Ok((String::from_utf8(text).unwrap(), body.trailers().await?))
}

const fn serving(party: Party, cause: Cause) -> Outcome {
    Outcome::new(Phase::Serve, party, cause)
}

#[tokio::test]
async fn requests_become_http_1_1_with_one_cookie_and_a_host() {
    let target = Scripted::echoing().await;
    let mut world = World::http2(Route::to(&[target.address])).await;
    let mut client = Client::new(&world).await;
    let request = Request::get("https://a.test/p?q=1").header("cookie", "a=1").header("cookie", "b=2");
    let (response, _) = client.sender.send_request(request.body(()).unwrap(), true).unwrap();
    let (seen, _) = text(response.await.unwrap()).await.unwrap();
    assert!(seen.starts_with("GET /p?q=1 HTTP/1.1\r\n"), "{seen}");
    assert_eq!(field(&seen, "host"), Some("a.test"));
    assert_eq!(field(&seen, "cookie"), Some("a=1; b=2"));
    assert!(field(&seen, "transfer-encoding").is_none() && field(&seen, "content-length").is_none());
    drop(client);
    assert_eq!(world.outcome().await, serving(Party::Client, Cause::Finished));
    let lines = world.end().await;
    assert!(lines[0].contains("protocol=h2 status=200") && lines[0].contains("cause=finished"), "{lines:?}");
}

#[tokio::test]
async fn a_body_of_unknown_length_arrives_whole_with_trailers_both_ways() {
    let target = Scripted::new(|mut peer, _| async move {
        let head = peer.head().await;
        assert_eq!(field(&head, "transfer-encoding"), Some("chunked"));
        let mut body = String::new();
        while !body.ends_with("\r\n\r\n") {
            body.push_str(&peer.take(1).await);
        }
        assert_eq!(body, "5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n");
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\ngrpc-status: 0\r\n\r\n").await;
        peer.gone().await;
    })
    .await;
    let world = World::http2(Route::to(&[target.address])).await;
    let mut client = Client::new(&world).await;
    let request = Request::post("https://a.test/").header("te", "trailers").header("trailer", "x-sum");
    let (response, mut body) = client.sender.send_request(request.body(()).unwrap(), false).unwrap();
    body.send_data(Bytes::from_static(b"hello"), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    body.send_trailers(trailers).unwrap();
    let (seen, trailers) = text(response.await.unwrap()).await.unwrap();
    assert_eq!(seen, "ok");
    assert_eq!(trailers.unwrap()["grpc-status"], "0");
    drop((body, client));
    let lines = world.end().await;
    assert!(lines[0].contains("bytes_in=5 bytes_out=2 "), "{lines:?}");
}

#[tokio::test]
async fn an_authority_and_a_host_that_differ_are_refused_and_the_connection_goes_on() {
    let target = Scripted::echoing().await;
    let world = World::http2(Route::to(&[target.address])).await;
    let mut client = Client::new(&world).await;
    let request = Request::get("https://a.test/").header("host", "b.test").body(()).unwrap();
    let (response, _) = client.sender.send_request(request, true).unwrap();
    assert_eq!(response.await.unwrap().status(), 400);
    assert_eq!(target.accepted(), 0);
    assert_eq!(client.get("/").await.unwrap().status(), 200);
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn a_value_with_blanks_around_it_is_refused_and_the_connection_goes_on() {
    let target = Scripted::echoing().await;
    let world = World::http2(Route::to(&[target.address])).await;
    let mut client = Client::new(&world).await;
    for value in [" a", "a\t", " "] {
        let request = Request::get("https://a.test/").header("x-one", value).body(()).unwrap();
        let (response, _) = client.sender.send_request(request, true).unwrap();
        assert_eq!(response.await.unwrap().status(), 400, "{value:?}");
    }
    assert_eq!(target.accepted(), 0);
    let inside = Request::get("https://a.test/").header("x-one", "a b").header("x-two", "").body(()).unwrap();
    assert_eq!(client.sender.send_request(inside, true).unwrap().0.await.unwrap().status(), 200);
    drop(client);
    let lines = world.end().await;
    assert!(lines[0].contains("cause=request_malformed"), "{lines:?}");
}

#[tokio::test]
async fn an_answer_that_is_cut_off_resets_its_stream_only() {
    let target = Scripted::new(|mut peer, _| async move {
        let head = peer.head().await;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab").await;
        if head.starts_with("GET /whole") {
            peer.send("c").await;
        }
    })
    .await;
    let mut world = World::http2(Route::to(&[target.address])).await;
    let mut client = Client::new(&world).await;
    let cut = client.get("/cut").await.unwrap();
    assert!(text(cut).await.unwrap_err().is_reset());
    let whole = client.get("/whole").await.unwrap();
    assert_eq!(text(whole).await.unwrap().0, "abc");
    drop(client);
    assert_eq!(world.cause().await, Cause::Finished);
    let lines = world.end().await;
    assert!(lines[0].contains("party=target cause=target_closed"), "{lines:?}");
}

#[tokio::test]
async fn a_stream_that_the_client_resets_frees_the_target() {
    let target = Scripted::new(|mut peer, _| async move {
        peer.head().await;
        peer.gone().await;
    })
    .await;
    let world = World::http2(Route::to(&[target.address])).await;
    let mut client = Client::new(&world).await;
    let response = client.get("/");
    until(|| world.pool().standing() == 1).await;
    drop(response);
    until(|| world.pool().standing() == 0).await;
    assert_eq!(client.get("/own").await.unwrap().status(), 200);
    drop(client);
    let lines = world.end().await;
    assert!(lines[0].contains("party=client cause=closed_early"), "{lines:?}");
}

#[tokio::test]
async fn a_stream_whose_client_gives_no_window_is_given_up() {
    let target = Scripted::new(|mut peer, _| async move {
        peer.head().await;
        peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
        while peer.0.write_all(&[b'x'; 65_536]).await.is_ok() {}
    })
    .await;
    let mut route = Route::to(&[target.address]);
    route.settings.body = milliseconds(100);
    let world = World::http2(route).await;
    let mut client = Client::new(&world).await;
    let stalled = client.get("/").await.unwrap();
    until(|| world.pool().standing() == 0).await;
    assert_eq!(client.get("/own").await.unwrap().status(), 200);
    drop((stalled, client));
    let lines = world.end().await;
    assert!(lines[0].contains("party=client cause=body_timeout"), "{lines:?}");
}

#[tokio::test]
async fn an_answer_of_our_own_whose_client_gives_no_window_is_given_up() {
    let mut route = Route::to(&[]);
    route.settings.body = milliseconds(100);
    let world = World::http2(route).await;
    let mut builder = h2::client::Builder::new();
    let connecting = builder.initial_window_size(0).handshake::<_, Bytes>(world.client().await.0);
    let (sender, connection) = connecting.await.unwrap();
    let driving = tokio::spawn(connection);
    let mut client = Client { sender: sender.ready().await.unwrap(), driving };
    let answer = client.get("/own").await.unwrap();
    assert!(text(answer).await.unwrap_err().is_reset());
    drop(client);
    let lines = world.end().await;
    assert!(lines[0].contains("party=client cause=body_timeout"), "{lines:?}");
}

#[tokio::test]
async fn a_client_that_is_refused_is_answered_and_sent_away() {
    let mut world = World::http2(Route::to(&[])).await;
    let mut client = Client::new(&world).await;
    let answer = client.get("/refused").await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(text(answer).await.unwrap().0.contains("route_connection_limit"));
    client.driving.await.unwrap().unwrap();
    assert_eq!(world.cause().await, Cause::RouteConnectionLimit);
    world.end().await;
}

#[tokio::test]
async fn drain_lets_streams_end_and_then_the_connection() {
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
    let mut world = World::http2(Route::to(&[target.address])).await;
    let mut client = Client::new(&world).await;
    let response = client.get("/");
    until(|| world.pool().standing() == 1).await;
    world.connection().order(Order::Drain);
    release.send(true).unwrap();
    assert_eq!(text(response.await.unwrap()).await.unwrap().0, "ok");
    client.driving.await.unwrap().unwrap();
    assert_eq!(world.outcome().await, serving(Party::Operator, Cause::Drained));
    world.end().await;
}

#[tokio::test]
async fn an_idle_connection_is_sent_away_and_a_killed_one_takes_its_streams_with_it() {
    let mut route = Route::to(&[]);
    route.settings.keep_alive = milliseconds(50);
    let mut world = World::http2(route).await;
    let client = Client::new(&world).await;
    client.driving.await.unwrap().unwrap();
    assert_eq!(world.outcome().await, serving(Party::Proxy, Cause::KeepAliveTimeout));
    world.end().await;

    let target = Scripted::new(|mut peer, _| async move {
        peer.head().await;
        peer.gone().await;
    })
    .await;
    let mut world = World::http2(Route::to(&[target.address])).await;
    let mut client = Client::new(&world).await;
    let (one, two) = (client.get("/"), client.get("/"));
    until(|| world.pool().standing() == 2).await;
    world.connection().order(Order::Kill);
    assert!(one.await.is_err() && two.await.is_err());
    assert_eq!(world.outcome().await, serving(Party::Operator, Cause::Killed));
    let lines = world.end().await;
    assert!(lines.len() == 2 && lines.iter().all(|line| line.contains("cause=killed")), "{lines:?}");
}

#[tokio::test]
async fn a_client_that_breaks_the_protocol_or_says_nothing_is_told_apart() {
    let mut world = World::http2(Route::to(&[])).await;
    drop(world.client().await);
    assert_eq!(world.outcome().await, serving(Party::Client, Cause::Empty));
    let mut client = world.client().await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    // A DATA frame on stream 0 (RFC 9113 section 6.1).
    client.send([0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, b'x']).await;
    client.gone().await;
    assert_eq!(world.outcome().await, serving(Party::Client, Cause::ProtocolError));
    world.end().await;
}

#[tokio::test]
async fn a_panic_ends_its_stream_and_is_the_connections_outcome() {
    let mut world = World::http2(Route::to(&[])).await;
    let mut client = Client::new(&world).await;
    assert!(client.get("/panic").await.is_err());
    assert_eq!(client.get("/own").await.unwrap().status(), 200);
    drop(client);
    assert_eq!(world.outcome().await, serving(Party::Proxy, Cause::Internal));
    let lines = world.end().await;
    assert!(lines[0].contains("cause=internal"), "{lines:?}");
}

#[tokio::test]
async fn a_connection_whose_task_is_dropped_gives_its_streams_back() {
    let target = Scripted::new(|mut peer, _| async move {
        peer.head().await;
        peer.gone().await;
    })
    .await;
    let world = World::http2(Route::to(&[target.address])).await;
    let mut client = Client::new(&world).await;
    let response = client.get("/");
    until(|| world.pool().standing() == 1).await;
    world.abandon();
    assert!(response.await.is_err());
    let lines = world.end().await;
    assert!(lines[0].contains("party=operator cause=cut"), "{lines:?}");
}
