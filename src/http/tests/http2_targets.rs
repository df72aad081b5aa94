use std::future::{Future, poll_fn};

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::http2::{Client, text};
use super::world::{Peer, Route, Scripted, World, milliseconds, until};
use crate::http::TargetProtocol;
use crate::outcome::Cause;

const GET: &str = "GET /a?b HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// The client's side of the connection preface (RFC 9113 section 3.4).
const PREFACE: usize = 24;

/// An empty SETTINGS frame, and one that acknowledges.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// GOAWAY with last stream 0 and NO_ERROR.
const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn to(target: &Scripted) -> Route {
    let mut route = Route::to(&[target.address]);
    route.protocol = TargetProtocol::Http2;
    route
}

async fn accept(peer: Peer) -> Connection<TcpStream, Bytes> {
    h2::server::handshake(peer.0).await.unwrap()
}

/// Serves each stream by `answer` until the connection ends.
async fn serve<F>(mut connection: Connection<TcpStream, Bytes>, answer: impl Fn(Asked) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(Asked { request, respond }));
    }
}

struct Asked {
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
}

impl Asked {
    fn head(&mut self) -> SendStream<Bytes> {
        self.respond.send_response(Response::new(()), false).unwrap()
    }

    /// Answers with the pseudo-fields, the fields and the body of the request; with its trailers if it has any.
    async fn echo(self) {
        let Self { request, mut respond } = self;
        let (parts, mut body) = request.into_parts();
        let mut lines = format!("{} {}\n", parts.method, parts.uri);
        for (name, value) in &parts.headers {
            lines.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
        }
        let mut bytes = lines.into_bytes();
        while let Some(data) = body.data().await {
            let Ok(data) = data else { return };
            body.flow_control().release_capacity(data.len()).unwrap();
            bytes.extend_from_slice(&data);
        }
        let Ok(trailers) = body.trailers().await else { return };
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream.send_data(bytes.into(), trailers.is_none()).unwrap();
        if let Some(trailers) = trailers {
            stream.send_trailers(trailers).unwrap();
        }
    }
}

async fn echoing() -> Scripted {
    Scripted::new(|peer, _| async move { serve(accept(peer).await, Asked::echo).await }).await
}

async fn get(world: &World) -> (String, String) {
    let mut client = world.client().await;
    client.send(GET).await;
    let head = client.head().await;
    let body = if head.contains("chunked") { chunked(&mut client).await } else { String::new() };
    (head, body)
}

async fn chunked(client: &mut Peer) -> String {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        while !line.ends_with("\r\n") {
            line.push_str(&client.take(1).await);
        }
        let count = usize::from_str_radix(line.trim(), 16).unwrap();
        text.push_str(&client.take(count).await);
        client.take(2).await;
        if count == 0 {
            return text;
        }
    }
}

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
async fn a_connection_that_gets_goaway_is_replaced_and_its_streams_end_well() {
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

/// Reads the preface and waits for a request; answers nothing but GOAWAY.
async fn leave(mut peer: Peer) {
    let mut preface = [0; PREFACE];
    tokio::io::AsyncReadExt::read_exact(&mut peer.0, &mut preface).await.unwrap();
    peer.send(SETTINGS).await;
    loop {
        let mut head = [0; 9];
        tokio::io::AsyncReadExt::read_exact(&mut peer.0, &mut head).await.unwrap();
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        tokio::io::AsyncReadExt::read_exact(&mut peer.0, &mut payload).await.unwrap();
        if head[3] == 1 {
            break;
        }
    }
    peer.send(GOAWAY).await;
    peer.gone().await;
}

#[tokio::test]
async fn what_the_target_has_not_taken_is_sent_once_more_with_its_body() {
    for refused in [false, true] {
        let target = Scripted::new(move |peer, number| async move {
            if number > 0 {
                serve(accept(peer).await, Asked::echo).await;
            } else if refused {
                serve(accept(peer).await, |mut asked| async move {
                    let _read = asked.request.body_mut().data().await;
                    asked.respond.send_reset(Reason::REFUSED_STREAM);
                })
                .await;
            } else {
                leave(peer).await;
            }
        })
        .await;
        let world = World::http1(to(&target)).await;
        let mut client = world.client().await;
        client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc").await;
        assert!(client.head().await.starts_with("HTTP/1.1 200"));
        assert!(chunked(&mut client).await.ends_with("abc"));
        assert_eq!(target.accepted(), 2);
        drop(client);
        let lines = world.end().await;
        assert!(lines[0].contains("cause=finished bytes_in=3 "), "{lines:?}");
    }
}

#[tokio::test]
async fn what_is_refused_twice_is_not_sent_a_third_time() {
    let target = Scripted::new(|peer, _| async move { leave(peer).await }).await;
    let world = World::http1(to(&target)).await;
    let (head, _) = get(&world).await;
    assert!(head.starts_with("HTTP/1.1 502"), "{head}");
    assert_eq!(target.accepted(), 2);
    world.end().await;
}

#[tokio::test]
async fn a_body_that_was_too_long_to_keep_is_not_sent_again() {
    let target = Scripted::new(|peer, _| async move {
        serve(accept(peer).await, |mut asked| async move {
            let mut read = 0;
            while read < 65_000 {
                let data = asked.request.body_mut().data().await.unwrap().unwrap();
                asked.request.body_mut().flow_control().release_capacity(data.len()).unwrap();
                read += data.len();
            }
            asked.respond.send_reset(Reason::REFUSED_STREAM);
        })
        .await;
    })
    .await;
    let mut world = World::http1(to(&target)).await;
    let mut client = world.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 200000\r\n\r\n").await;
    client.send(vec![b'x'; 200_000]).await;
    assert!(client.head().await.starts_with("HTTP/1.1 502"));
    assert_eq!(target.accepted(), 1);
    drop(client);
    assert_eq!(world.cause().await, Cause::Reset);
    world.end().await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_resets_the_clients_stream_for_the_same_reason() {
    let cases = [
        (Some(Reason::CANCEL), Reason::CANCEL, "cause=reset"),
        (Some(Reason::FLOW_CONTROL_ERROR), Reason::INTERNAL_ERROR, "cause=reset"),
        (None, Reason::INTERNAL_ERROR, "cause=target_closed"),
    ];
    for (sent, got, cause) in cases {
        let target = Scripted::new(move |peer, _| async move {
            let mut connection = accept(peer).await;
            let (request, respond) = connection.accept().await.unwrap().unwrap();
            let mut stream = Asked { request, respond }.head();
            stream.send_data("abc".into(), false).unwrap();
            match sent {
                Some(reason) => {
                    let driving = tokio::spawn(async move { connection.accept().await.is_none() });
                    tokio::task::yield_now().await;
                    stream.send_reset(reason);
                    driving.await.unwrap();
                }
                // Moves what is to be sent, and ends.
                None => {
                    poll_fn(|context| {
                        let _ = connection.poll_closed(context);
                        std::task::Poll::Ready(())
                    })
                    .await
                }
            }
        })
        .await;
        let world = World::http2(to(&target)).await;
        let mut client = Client::new(&world).await;
        let error = match client.get("/").await {
            Ok(response) => text(response).await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.reason(), Some(got));
        drop(client);
        let lines = world.end().await;
        assert!(lines[0].contains("party=target") && lines[0].contains(cause), "{lines:?}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_resets_its_stream_and_nothing_else() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let target = Scripted::new(move |peer, _| {
        let tell = tell.clone();
        async move {
            serve(accept(peer).await, move |mut asked| {
                let tell = tell.clone();
                async move {
                    if asked.request.uri().path() == "/held" {
                        tell.send(poll_fn(|context| asked.respond.poll_reset(context)).await.unwrap()).unwrap();
                    } else {
                        asked.echo().await;
                    }
                }
            })
            .await;
        }
    })
    .await;
    let world = World::http2(to(&target)).await;
    let mut client = Client::new(&world).await;
    let held = client.get("/held");
    until(|| world.route.in_flight() == 1).await;
    drop(held);
    assert_eq!(told.recv().await, Some(Reason::CANCEL));
    assert_eq!(client.get("/").await.unwrap().status(), 200);
    assert_eq!(target.accepted(), 1);
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
