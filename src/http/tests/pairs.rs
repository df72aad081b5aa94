//! What holds whichever version of HTTP either side speaks.

use std::future::poll_fn;

use h2::client::ResponseFuture;
use http::{HeaderMap, Method, Request, Response};
use tokio::sync::watch;

use super::http2::{Client, text};
use super::http2_target::{Asked, accept, serve, to};
use super::world::{Peer, Route, Scripted, World, field};

/// Whether the client, and whether the target, speaks HTTP/2.
const PAIRS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

async fn world(client: bool, target: bool, scripted: &Scripted) -> World {
    let route = if target { to(scripted) } else { Route::to(&[scripted.address]) };
    if client { World::http2(route).await } else { World::http1(route).await }
}

/// What a client has seen of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    before: Vec<u16>,
    status: u16,
    length: Option<String>,
    body: String,
    trailer: Option<String>,
}

impl Seen {
    fn of(status: u16, length: Option<&str>, body: &str) -> Self {
        Self { status, length: length.map(ToOwned::to_owned), body: body.into(), ..Self::default() }
    }
}

/// A target of HTTP/1.1 that does what the path says.
async fn plain_target() -> Scripted {
    Scripted::new(|mut peer, _| async move {
        while peer.0.peek(&mut [0]).await.is_ok_and(|count| count > 0) {
            let head = peer.head().await;
            match head.split(' ').nth(1).unwrap() {
                "/hint" => peer.send("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await,
                "/post" => {
                    if field(&head, "expect").is_some() {
                        peer.send("HTTP/1.1 100 Continue\r\n\r\n").await;
                    }
                    let mut body = String::new();
                    while !body.contains("0\r\n") || !body.ends_with("\r\n\r\n") {
                        body.push_str(&peer.take(1).await);
                    }
                    peer.send(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}")).await;
                    continue;
                }
                "/204" => {
                    peer.send("HTTP/1.1 204 No Content\r\n\r\n").await;
                    continue;
                }
                "/304" => {
                    peer.send("HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n").await;
                    continue;
                }
                _ => {}
            }
            let body = if head.starts_with("HEAD") { "" } else { "content" };
            peer.send(format!("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{body}")).await;
        }
    })
    .await
}

/// The same of HTTP/2.
async fn http2_target() -> Scripted {
    async fn answer(mut asked: Asked) {
        let head = |status: u16| Response::builder().status(status);
        let seven = head(200).header("content-length", "7").body(()).unwrap();
        match asked.request.uri().path() {
            "/post" => {
                if asked.request.headers().contains_key("expect") {
                    asked.respond.send_informational(head(100).body(()).unwrap()).unwrap();
                }
                let mut stream = asked.head();
                while let Some(Ok(data)) = asked.request.body_mut().data().await {
                    asked.request.body_mut().flow_control().release_capacity(data.len()).unwrap();
                    stream.send_data(data, false).unwrap();
                }
                let trailers = asked.request.body_mut().trailers().await.unwrap();
                return stream.send_trailers(trailers.unwrap()).unwrap();
            }
            "/hint" => {
                let hint = head(103).header("link", "</a>").body(()).unwrap();
                asked.respond.send_informational(hint).unwrap();
            }
            "/204" => return drop(asked.respond.send_response(head(204).body(()).unwrap(), true).unwrap()),
            "/304" => {
                let unchanged = head(304).header("content-length", "7").body(()).unwrap();
                return drop(asked.respond.send_response(unchanged, true).unwrap());
            }
            _ => {}
        }
        let without = asked.request.method() == Method::HEAD;
        let mut stream = asked.respond.send_response(seven, without).unwrap();
        if !without {
            stream.send_data("content".into(), true).unwrap();
        }
    }
    Scripted::new(|peer, _| async move { serve(accept(peer).await, answer).await }).await
}

enum Asking {
    Http1(Peer),
    Http2(Client),
}

impl Asking {
    async fn new(world: &World, http2: bool) -> Self {
        if http2 { Self::Http2(Client::new(world).await) } else { Self::Http1(world.client().await) }
    }

    /// Asks; a POST has a body and trailers, with `waits` only when it is told to go on.
    async fn ask(&mut self, method: Method, path: &str, waits: bool) -> Seen {
        match self {
            Self::Http1(client) => ask_http1(client, method, path, waits).await,
            Self::Http2(client) => ask_http2(client, method, path, waits).await,
        }
    }
}

async fn ask_http1(client: &mut Peer, method: Method, path: &str, waits: bool) -> Seen {
    let mut seen = Seen::default();
    let expect = if waits { "expect: 100-continue\r\n" } else { "" };
    let chunked = if method == Method::POST { "transfer-encoding: chunked\r\n" } else { "" };
    client.send(format!("{method} {path} HTTP/1.1\r\nhost: a.test\r\nte: trailers\r\n{expect}{chunked}\r\n")).await;
    let status = |head: &str| head.split(' ').nth(1).unwrap().parse::<u16>().unwrap();
    if waits {
        seen.before.push(status(&client.head().await));
    }
    if method == Method::POST {
        client.send("5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n").await;
    }
    let mut head = client.head().await;
    while status(&head) < 200 {
        seen.before.push(status(&head));
        head = client.head().await;
    }
    (seen.status, seen.length) = (status(&head), field(&head, "content-length").map(ToOwned::to_owned));
    let without = method == Method::HEAD || [204, 304].contains(&seen.status);
    if without {
        assert!(!head.contains("chunked"), "{head}");
    } else if let Some(length) = &seen.length {
        seen.body = client.take(length.parse().unwrap()).await;
    } else {
        // Each line, until the empty one behind the trailers.
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line: &String| !line.is_empty()) {
            let mut line = String::new();
            while !line.ends_with("\r\n") {
                line.push_str(&client.take(1).await);
            }
            lines.push(line.trim_end().to_owned());
        }
        seen.body = lines.iter().skip(1).step_by(2).take_while(|line| !line.contains(':')).cloned().collect();
        seen.trailer = lines.iter().find_map(|line| Some(line.strip_prefix("x-sum: ")?.to_owned()));
    }
    seen
}

async fn before(answer: &mut ResponseFuture) -> Option<u16> {
    Some(poll_fn(|context| answer.poll_informational(context)).await?.unwrap().status().as_u16())
}

async fn ask_http2(client: &mut Client, method: Method, path: &str, waits: bool) -> Seen {
    let mut seen = Seen::default();
    let post = method == Method::POST;
    let mut request = Request::builder().method(method).uri(format!("https://a.test{path}")).header("te", "trailers");
    if waits {
        request = request.header("expect", "100-continue");
    }
    let (mut answer, mut body) = client.sender.send_request(request.body(()).unwrap(), !post).unwrap();
    if waits {
        seen.before.extend(before(&mut answer).await);
    }
    if post {
        body.send_data("hello".into(), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".parse().unwrap());
        body.send_trailers(trailers).unwrap();
    }
    while let Some(status) = before(&mut answer).await {
        seen.before.push(status);
    }
    let answer = answer.await.unwrap();
    seen.status = answer.status().as_u16();
    seen.length = answer.headers().get("content-length").map(|length| length.to_str().unwrap().to_owned());
    let (body, trailers) = text(answer).await.unwrap();
    seen.body = body;
    seen.trailer = trailers.and_then(|trailers| Some(trailers.get("x-sum")?.to_str().unwrap().to_owned()));
    seen
}

#[tokio::test]
async fn hints_bodies_that_wait_trailers_and_answers_without_a_body_pass_between_all_versions() {
    for (client, target) in PAIRS {
        let scripted = if target { http2_target().await } else { plain_target().await };
        let world = world(client, target, &scripted).await;
        let mut asking = Asking::new(&world, client).await;
        let posted = Seen { trailer: Some("1".into()), ..Seen::of(200, None, "hello") };
        let waited = Seen { before: vec![100], trailer: Some("1".into()), ..Seen::of(200, None, "hello") };
        let hinted = Seen { before: vec![103], ..Seen::of(200, Some("7"), "content") };
        let cases = [
            (Method::GET, "/hint", false, hinted),
            (Method::POST, "/post", false, posted),
            (Method::POST, "/post", true, waited),
            (Method::HEAD, "/", false, Seen::of(200, Some("7"), "")),
            (Method::GET, "/204", false, Seen::of(204, None, "")),
            (Method::GET, "/304", false, Seen::of(304, Some("7"), "")),
            (Method::HEAD, "/304", false, Seen::of(304, Some("7"), "")),
            // One after the other on the same connections, so nothing was left of any.
            (Method::GET, "/", false, Seen::of(200, Some("7"), "content")),
        ];
        for (method, path, waits, expected) in cases {
            let seen = asking.ask(method.clone(), path, waits).await;
            assert_eq!(seen, expected, "{method} {path} by {client} to {target}");
        }
        assert_eq!(scripted.accepted(), 1, "{client} {target}");
        drop(asking);
        world.end().await;
    }
}

#[tokio::test]
async fn each_event_arrives_while_the_stream_is_open_between_all_versions() {
    const EVENTS: [&str; 3] = ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"];
    for (client, target) in PAIRS {
        let (had, heard) = watch::channel(0);
        let scripted = Scripted::new(move |mut peer, _| {
            let heard = heard.clone();
            async move {
                let wait = move |count| {
                    let mut heard = heard.clone();
                    async move { drop(heard.wait_for(|had| *had >= count).await) }
                };
                if target {
                    let stream = |mut asked: Asked| {
                        let wait = wait.clone();
                        async move {
                            let mut stream = asked.head();
                            for (count, event) in EVENTS.into_iter().enumerate() {
                                wait(count).await;
                                stream.send_data(event.into(), false).unwrap();
                            }
                            wait(EVENTS.len()).await;
                            stream.send_data("".into(), true).unwrap();
                        }
                    };
                    serve(accept(peer).await, stream).await;
                } else {
                    peer.head().await;
                    peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
                    for (count, event) in EVENTS.into_iter().enumerate() {
                        wait(count).await;
                        peer.send(format!("{:x}\r\n{event}\r\n", event.len())).await;
                    }
                    wait(EVENTS.len()).await;
                    peer.send("0\r\n\r\n").await;
                    peer.gone().await;
                }
            }
        })
        .await;
        let world = world(client, target, &scripted).await;
        match Asking::new(&world, client).await {
            Asking::Http1(mut client) => {
                client.send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").await;
                client.head().await;
                for (count, event) in EVENTS.into_iter().enumerate() {
                    assert_eq!(client.take(event.len() + 5).await, format!("9\r\n{event}\r\n"));
                    had.send_replace(count + 1);
                }
                assert_eq!(client.take(5).await, "0\r\n\r\n");
            }
            Asking::Http2(mut client) => {
                let mut body = client.get("/").await.unwrap().into_body();
                for (count, event) in EVENTS.into_iter().enumerate() {
                    let data = body.data().await.unwrap().unwrap();
                    assert_eq!(data, event);
                    body.flow_control().release_capacity(data.len()).unwrap();
                    had.send_replace(count + 1);
                }
                // The end may be an empty frame of its own.
                assert!(body.data().await.is_none_or(|last| last.unwrap().is_empty()));
            }
        }
        let lines = world.end().await;
        assert!(lines[0].contains("cause=finished bytes_in=0 bytes_out=27"), "{lines:?}");
    }
}
