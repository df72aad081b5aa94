//! Bodies on the streams of clients: their ends, and who waits for whom.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, SendStream};
use http::Request;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;

use super::http2::{Client, text};
use super::world::{Route, Scripted, World, milliseconds, until};

fn post(client: &mut Client, length: Option<usize>) -> (ResponseFuture, SendStream<Bytes>) {
    let mut request = Request::post("https://a.test/");
    if let Some(length) = length {
        request = request.header("content-length", length);
    }
    client.sender.send_request(request.body(()).unwrap(), false).unwrap()
}

/// A target that answers with this, and waits for the end.
async fn answering(answer: &'static str) -> Scripted {
    Scripted::new(move |mut peer, _| async move {
        peer.head().await;
        peer.send(answer).await;
        peer.gone().await;
    })
    .await
}

#[tokio::test]
async fn an_upload_that_is_broken_off_does_not_look_whole() {
    for reason in [Reason::CANCEL, Reason::NO_ERROR, Reason::INTERNAL_ERROR] {
        let (tell, mut told) = watch::channel(None);
        let target = Scripted::new(move |mut peer, _| {
            let tell = tell.clone();
            async move {
                peer.head().await;
                let mut body = Vec::new();
                let _ended = peer.0.read_to_end(&mut body).await;
                tell.send_replace(Some(String::from_utf8(body).unwrap()));
            }
        })
        .await;
        let world = World::http2(Route::to(&[target.address])).await;
        let mut client = Client::new(&world).await;
        let (answer, mut body) = post(&mut client, None);
        body.send_data("half".into(), false).unwrap();
        until(|| world.pool().standing() == 1).await;
        body.send_reset(reason);
        let seen = told.wait_for(Option::is_some).await.unwrap().clone().unwrap();
        assert!(seen.is_empty() || seen == "4\r\nhalf\r\n", "{reason}: {seen:?}");
        drop((answer, body, client));
        let lines = world.end().await;
        assert!(lines[0].contains("party=client cause=closed_early"), "{lines:?}");
        assert!(!lines[0].contains("status="), "no head was sent: {lines:?}");
    }
}

#[tokio::test]
async fn an_upload_that_is_not_as_long_as_it_says_is_refused() {
    for (length, body) in [(3, "long"), (5, "half")] {
        let target = Scripted::new(|mut peer, _| async move { peer.gone().await }).await;
        let world = World::http2(Route::to(&[target.address])).await;
        let mut client = Client::new(&world).await;
        let (answer, mut sender) = post(&mut client, Some(length));
        sender.send_data(body.into(), true).unwrap();
        assert_eq!(answer.await.unwrap_err().reason(), Some(Reason::PROTOCOL_ERROR));
        assert_eq!(client.get("/own").await.unwrap().status(), 200);
        drop((sender, client));
        world.end().await;
    }
}

#[tokio::test]
async fn an_answer_to_half_of_a_request_is_whole_and_the_rest_is_not_wanted() {
    let target = answering("HTTP/1.1 413 Payload Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno").await;
    let world = World::http2(Route::to(&[target.address])).await;
    let mut client = Client::new(&world).await;
    let (answer, mut sender) = post(&mut client, None);
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 413);
    assert_eq!(text(answer).await.unwrap().0, "no");
    // It may send on for a while, and is then told to stop (RFC 9113 section 8.1).
    let stopped = loop {
        sender.reserve_capacity(16 * 1024);
        let capacity = poll_fn(|context| {
            if let std::task::Poll::Ready(reason) = sender.poll_reset(context) {
                return std::task::Poll::Ready(Err(reason.unwrap()));
            }
            sender.poll_capacity(context).map(|capacity| Ok(capacity.unwrap().unwrap()))
        });
        match capacity.await {
            Ok(capacity) => sender.send_data(vec![0; capacity].into(), false).unwrap(),
            Err(reason) => break reason,
        }
    };
    assert_eq!(stopped, Reason::NO_ERROR);
    drop((sender, client));
    let lines = world.end().await;
    assert!(lines[0].contains("status=413") && lines[0].contains("cause=finished"), "{lines:?}");
}

#[tokio::test]
async fn what_came_of_an_answer_reaches_the_client_before_it_breaks_off() {
    let target = Scripted::new(|mut peer, _| async move {
        peer.head().await;
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
        peer.send([head.as_bytes(), &[b'x'; 60_000]].concat()).await;
    })
    .await;
    let world = World::http2(Route::to(&[target.address])).await;
    let mut client = Client::new(&world).await;
    let mut body = client.get("/").await.unwrap().into_body();
    let mut count = 0;
    let error = loop {
        match body.data().await.unwrap() {
            Ok(data) => count += data.len(),
            Err(error) => break error,
        }
    };
    assert_eq!((count, error.reason()), (60_000, Some(Reason::INTERNAL_ERROR)));
    drop((body, client));
    let lines = world.end().await;
    assert!(lines[0].contains("party=target cause=target_closed"), "{lines:?}");
}

#[tokio::test]
async fn an_answer_without_a_body_ends_with_its_head() {
    let answers = [
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", None),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", Some("7")),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", Some("7")),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Some("0")),
    ];
    for (method, answer, length) in answers {
        let target = answering(answer).await;
        let world = World::http2(Route::to(&[target.address])).await;
        let mut client = Client::new(&world).await;
        let request = Request::builder().method(method).uri("https://a.test/").body(()).unwrap();
        let (response, _) = client.sender.send_request(request, true).unwrap();
        let response = response.await.unwrap();
        let said = response.headers().get("content-length").map(|length| length.to_str().unwrap());
        assert_eq!((said, response.body().is_end_stream()), (length, true), "{answer}");
        assert!(response.headers().contains_key("date"), "{answer}");
        drop((response, client));
        let lines = world.end().await;
        assert!(lines[0].contains("cause=finished"), "{lines:?}");
    }
    // Of our own making, too.
    let world = World::http2(Route::to(&[])).await;
    let mut client = Client::new(&world).await;
    let request = Request::head("https://a.test/own").body(()).unwrap();
    let response = client.sender.send_request(request, true).unwrap().0.await.unwrap();
    assert_eq!((&response.headers()["content-length"], response.body().is_end_stream()), (&"3".parse().unwrap(), true));
    drop((response, client));
    world.end().await;
}

#[tokio::test]
async fn a_client_may_send_no_more_than_its_target_takes() {
    let (release, released) = watch::channel(false);
    let taken = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&taken);
    let target = Scripted::new(move |mut peer, _| {
        let (mut released, count) = (released.clone(), Arc::clone(&count));
        async move {
            peer.head().await;
            released.wait_for(|released| *released).await.unwrap();
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let length = peer.0.read(&mut buffer).await.unwrap();
                count.fetch_add(length, Ordering::SeqCst);
                if buffer[..length].ends_with(b"0\r\n\r\n") {
                    break;
                }
            }
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            peer.gone().await;
        }
    })
    .await;
    let mut route = Route::to(&[target.address]);
    route.settings.body = milliseconds(60_000);
    let world = World::http2(route).await;
    let mut client = Client::new(&world).await;
    let (answer, mut sender) = post(&mut client, None);
    const WHOLE: usize = 24 * 1024 * 1024;
    let mut sent = 0;
    let mut waited = false;
    while sent < WHOLE {
        sender.reserve_capacity(1024 * 1024);
        if sender.capacity() == 0 {
            let capacity = poll_fn(|context| sender.poll_capacity(context));
            let pause = if waited { milliseconds(10_000) } else { milliseconds(300) };
            // The windows and the sockets' buffers are full, and nothing moves.
            if tokio::time::timeout(pause, capacity).await.is_err() {
                assert!(!waited && taken.load(Ordering::SeqCst) == 0, "stuck after {sent}");
                waited = true;
                release.send(true).unwrap();
                continue;
            }
        }
        let count = sender.capacity().min(WHOLE - sent);
        sender.send_data(vec![b'x'; count].into(), false).unwrap();
        sent += count;
    }
    sender.send_data(Bytes::new(), true).unwrap();
    assert!(waited, "all {sent} bytes were taken from the client, and none by the target");
    assert_eq!(text(answer.await.unwrap()).await.unwrap().0, "ok");
    assert!(taken.load(Ordering::SeqCst) > WHOLE);
    drop((sender, client));
    let lines = world.end().await;
    assert!(lines[0].contains(&format!("bytes_in={WHOLE} ")), "{lines:?}");
}
