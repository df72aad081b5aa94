//! Answers that come before the final one (RFC 9110 section 15.2), on streams.

use std::future::{Future, poll_fn};
use std::task::Poll;

use h2::client::ResponseFuture;
use http::{Request, StatusCode};

use super::http2::{Client, text};
use super::world::{Route, Scripted, World, field};

/// The status and the `link` of the next interim answer; none if the final one comes first.
async fn interim(answer: &mut ResponseFuture) -> Option<(StatusCode, String)> {
    let response = poll_fn(|context| answer.poll_informational(context)).await?.unwrap();
    let link = response.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
    assert!(!response.headers().contains_key("connection"));
    Some((response.status(), link.unwrap_or_default()))
}

#[tokio::test]
async fn each_stream_gets_its_own_before_its_answer() {
    let (release, released) = tokio::sync::watch::channel(false);
    let target = Scripted::new(move |mut peer, _| {
        let mut released = released.clone();
        async move {
            let head = peer.head().await;
            let path = head.split(' ').nth(1).unwrap();
            for count in 1..=2 {
                let hint =
                    format!("HTTP/1.1 103 Early Hints\r\nLink: <{path}/{count}>\r\nConnection: x\r\nX: 1\r\n\r\n");
                peer.send(hint).await;
            }
            released.wait_for(|released| *released).await.unwrap();
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            peer.gone().await;
        }
    })
    .await;
    let world = World::http2(Route::to(&[target.address])).await;
    let mut client = Client::new(&world).await;
    let mut answers = [client.get("/a"), client.get("/b")];
    for (answer, path) in answers.iter_mut().zip(["/a", "/b"]) {
        for count in 1..=2 {
            // While the answer itself is still being waited for.
            assert_eq!(interim(answer).await, Some((StatusCode::EARLY_HINTS, format!("<{path}/{count}>"))));
        }
    }
    release.send(true).unwrap();
    for mut answer in answers {
        assert_eq!(interim(&mut answer).await, None);
        assert_eq!(text(answer.await.unwrap()).await.unwrap().0, "ok");
    }
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn a_body_that_waits_for_100_is_asked_for_by_the_target() {
    let target = Scripted::new(|mut peer, _| async move {
        let head = peer.head().await;
        assert_eq!(field(&head, "expect"), Some("100-continue"));
        peer.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        assert_eq!(peer.take(5).await, "hello");
        // Nobody asks for this one.
        peer.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        peer.gone().await;
    })
    .await;
    let world = World::http2(Route::to(&[target.address])).await;
    let mut client = Client::new(&world).await;
    let request = Request::post("https://a.test/").header("expect", "100-continue").header("content-length", "5");
    let (mut answer, mut body) = client.sender.send_request(request.body(()).unwrap(), false).unwrap();
    assert_eq!(interim(&mut answer).await.unwrap().0, StatusCode::CONTINUE);
    body.send_data("hello".into(), true).unwrap();
    assert_eq!(interim(&mut answer).await, None);
    assert_eq!(text(answer.await.unwrap()).await.unwrap().0, "ok");
    drop((body, client));
    world.end().await;
}

#[tokio::test]
async fn a_body_that_waits_for_100_is_refused_or_asked_for_where_the_target_says_nothing() {
    let target = Scripted::new(|mut peer, number| async move {
        peer.head().await;
        if number == 0 {
            peer.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
        } else {
            // A server that does not know the field reads on (RFC 9110 section 10.1.1).
            assert_eq!(peer.take(5).await, "hello");
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
        peer.gone().await;
    })
    .await;
    let world = World::http2(Route::to(&[target.address])).await;
    let mut client = Client::new(&world).await;
    for asked in [None, Some(StatusCode::CONTINUE)] {
        let request = Request::post("https://a.test/").header("expect", "100-continue").header("content-length", "5");
        let (mut answer, mut body) = client.sender.send_request(request.body(()).unwrap(), false).unwrap();
        assert_eq!(interim(&mut answer).await.map(|(status, _)| status), asked);
        if asked.is_some() {
            body.send_data("hello".into(), true).unwrap();
        }
        let status = answer.await.unwrap().status();
        assert_eq!(status, if asked.is_some() { StatusCode::OK } else { StatusCode::FORBIDDEN });
    }
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn a_client_that_did_not_ask_for_100_gets_none() {
    let target = Scripted::new(|mut peer, _| async move {
        let head = peer.head().await;
        assert!(field(&head, "expect").is_none());
        peer.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        peer.gone().await;
    })
    .await;
    let world = World::http2(Route::to(&[target.address])).await;
    let mut client = Client::new(&world).await;
    let mut answer = client.get("/");
    assert_eq!(interim(&mut answer).await, None);
    assert_eq!(answer.await.unwrap().status(), 200);
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn those_that_a_client_does_not_read_are_not_kept_for_it() {
    const HINTS: usize = 1000;
    let (tell, mut said) = tokio::sync::watch::channel(false);
    let target = Scripted::new(move |mut peer, _| {
        let tell = tell.clone();
        async move {
            peer.head().await;
            // Together much more than all buffers on the way hold.
            let hint = format!("HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n", "x".repeat(15_000));
            for _ in 0..HINTS {
                peer.send(&hint).await;
            }
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            tell.send_replace(true);
            peer.gone().await;
        }
    })
    .await;
    let world = World::http2(Route::to(&[target.address])).await;
    let (mut sender, connection) = h2::client::handshake(world.client().await.0).await.unwrap();
    let mut connection = Box::pin(connection);
    let mut answer = sender.send_request(Request::get("https://a.test/").body(()).unwrap(), true).unwrap().0;
    // It sends its request, and reads only when the target has said all.
    assert!(poll_fn(|context| Poll::Ready(connection.as_mut().poll(context).is_pending())).await);
    said.wait_for(|said| *said).await.unwrap();
    let driving = tokio::spawn(connection);
    let mut count = 0;
    while interim(&mut answer).await.is_some() {
        count += 1;
    }
    assert!(count > 0 && count < HINTS, "{count}");
    assert_eq!(text(answer.await.unwrap()).await.unwrap().0, "ok");
    drop(sender);
    driving.await.unwrap().unwrap();
    world.end().await;
}
