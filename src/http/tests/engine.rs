//! What our own HTTP/1.1 does beyond one request and its answer.

use super::world::{Peer, Route, Scripted, World, field, milliseconds, until};
use crate::outcome::{Cause, Party};

const OWN: &str = "GET /own HTTP/1.1\r\nHost: a.test\r\n\r\n";

#[tokio::test]
async fn answers_before_the_final_one_are_passed_on_but_not_to_http_1_0() {
    let target = Scripted::new(|mut peer, _| async move {
        peer.head().await;
        peer.send(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x\r\nX: 1\r\n\r\n",
        )
        .await;
        peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").await;
    })
    .await;
    let mut world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    // The 100 was not asked for, and is the target's only.
    assert_eq!(client.head().await, "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n");
    assert_eq!(client.message().await.1, "ok");
    client.send("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    assert_eq!(client.rest().await, "ok");
    drop(client);
    assert_eq!(world.cause().await, Cause::Finished);
    world.end().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order_however_they_are_cut() {
    let target = Scripted::echoing().await;
    let world = World::http1(Route::to(&[target.address])).await;
    let post = |path: &str, body: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let all = ["/one", "/two", "/three"].map(|path| post(path, path)).concat();
    for cut in [1, 7, 33, all.len()] {
        let mut client = world.client().await;
        for piece in all.as_bytes().chunks(cut) {
            client.send(piece).await;
        }
        for path in ["/one", "/two", "/three"] {
            let (_, seen) = client.message().await;
            assert!(seen.starts_with(&format!("POST {path} ")) && seen.ends_with(path), "{cut}: {seen}");
        }
        drop(client);
    }
    world.end().await;
}

#[tokio::test]
async fn a_small_body_that_nobody_wanted_leaves_the_connection_whole() {
    for body in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: 1\r\n\r\n"]
    {
        let mut world = World::http1(Route::to(&[])).await;
        let mut client = world.client().await;
        let (head, rest) = body.split_at(body.find("hello").unwrap());
        client.send(format!("POST /own HTTP/1.1\r\nHost: a.test\r\n{head}")).await;
        assert_eq!(client.message().await.1, "own");
        // It comes behind its answer, and is no request.
        client.send(rest).await;
        client.send(OWN).await;
        assert_eq!(client.message().await.1, "own");
        drop(client);
        assert_eq!(world.cause().await, Cause::Finished);
        assert_eq!(world.end().await.len(), 2);
    }
}

#[tokio::test]
async fn a_large_body_that_nobody_wanted_ends_the_connection() {
    let mut world = World::http1(Route::to(&[])).await;
    for (length, stays) in [(256 * 1024, true), (256 * 1024 + 1, false)] {
        let mut client = world.client().await;
        client.send(format!("POST /own HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n")).await;
        assert_eq!(client.message().await.1, "own");
        client.send(vec![b'x'; length]).await;
        if stays {
            client.send(OWN).await;
            assert_eq!(client.message().await.1, "own");
        }
        client.finish().await;
        assert_eq!(client.rest().await, "");
        assert_eq!(world.cause().await, Cause::Finished);
    }
    world.end().await;
}

#[tokio::test]
async fn http_1_0_keeps_its_connection_if_it_asks_for_that() {
    let target = Scripted::echoing().await;
    let mut world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    let (head, _) = client.message().await;
    assert_eq!(field(&head, "connection"), Some("keep-alive"));
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let (head, _) = client.message().await;
    assert_eq!(field(&head, "connection"), Some("close"));
    assert_eq!(client.rest().await, "");
    assert_eq!(world.cause().await, Cause::Finished);
    world.end().await;
}

/// The answer of a target to a request with this method, as its bytes.
async fn through(method: &str, answer: &'static str) -> (String, String) {
    let target = Scripted::new(move |mut peer, _| async move {
        peer.head().await;
        peer.send(answer).await;
        peer.finish().await;
        peer.gone().await;
    })
    .await;
    let world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    client.send(format!("{method} / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")).await;
    let head = client.head().await;
    let rest = client.rest().await;
    drop(client);
    world.end().await;
    (head, rest)
}

#[tokio::test]
async fn answers_that_are_not_sound_are_502_and_nothing_of_them_is_passed_on() {
    let large = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(super::super::RESPONSE_HEAD_MAX));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: 1\r\n".repeat(129));
    let answers = [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnone\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nno colon\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "nonsense\r\n\r\n",
        Box::leak(large.into_boxed_str()),
        Box::leak(many.into_boxed_str()),
    ];
    for answer in answers {
        let (head, rest) = through("GET", answer).await;
        assert!(head.starts_with("HTTP/1.1 502"), "{answer:?}: {head}");
        assert!(rest.contains("response_malformed"), "{answer:?}: {rest}");
    }
}

#[tokio::test]
async fn answers_without_a_body_have_none_whatever_their_fields_say() {
    let cases = [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", Some("7")),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", Some("7")),
        ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", None),
        ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", None),
    ];
    for (method, answer, length) in cases {
        let (head, rest) = through(method, answer).await;
        assert_eq!(field(&head, "content-length"), length, "{answer:?}: {head}");
        assert_eq!(field(&head, "transfer-encoding"), None, "{answer:?}: {head}");
        assert_eq!(rest, "", "{answer:?}");
    }
}

#[tokio::test]
async fn a_reason_and_an_odd_status_of_the_target_reach_the_client() {
    assert!(
        through("GET", "HTTP/1.1 200 Fine by me\r\nContent-Length: 0\r\n\r\n")
            .await
            .0
            .starts_with("HTTP/1.1 200 Fine by me\r\n")
    );
    assert!(through("GET", "HTTP/1.1 599 \r\nContent-Length: 0\r\n\r\n").await.0.starts_with("HTTP/1.1 599 \r\n"));
}

#[tokio::test]
async fn a_request_with_a_body_is_never_an_upgrade() {
    let target = Scripted::new(|mut peer, _| async move {
        let head = peer.head().await;
        assert_eq!((field(&head, "upgrade"), field(&head, "connection")), (None, None));
        peer.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await;
        peer.gone().await;
    })
    .await;
    let mut world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\nhel")
        .await;
    assert!(client.message().await.0.starts_with("HTTP/1.1 502"));
    client.finish().await;
    client.rest().await;
    assert_eq!(world.cause().await, Cause::Finished);
    world.end().await;
}

#[tokio::test]
async fn a_target_that_says_less_than_it_promised_is_not_asked_again_on_that_connection() {
    let target = Scripted::new(|mut peer: Peer, _| async move {
        peer.head().await;
        // More than the answer: what follows may be anybody's.
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
            .await;
        peer.gone().await;
    })
    .await;
    let world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        assert_eq!(client.message().await.1, "ok");
    }
    assert_eq!(target.accepted(), 3);
    until(|| world.pool().standing() == 0).await;
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn empty_lines_before_a_request_do_not_count_and_are_bounded() {
    let mut world = World::http1(Route::to(&[])).await;
    let limit = world.route.settings.max_request_head;
    let mut client = world.client().await;
    client.send(format!("\r\n\r\n{OWN}\r\n{OWN}")).await;
    assert_eq!(client.message().await.1, "own");
    assert_eq!(client.message().await.1, "own");
    client.send("\r\n".repeat(limit / 2 + 1)).await;
    assert!(client.message().await.0.starts_with("HTTP/1.1 4"));
    client.finish().await;
    client.rest().await;
    assert_eq!(world.cause().await, Cause::RequestHeadTooLarge);
    world.end().await;
}

#[tokio::test]
async fn heads_that_are_no_requests_have_the_status_that_says_why() {
    let cases = [
        ("GET / HTTP/2.0\r\n\r\n", "505"),
        ("GET / HTTP/1.2\r\n\r\n", "505"),
        ("GET /\r\n\r\n", "400"),
        ("GET  / HTTP/1.1\r\nHost: a.test\r\n\r\n", "400"),
        ("G(T / HTTP/1.1\r\nHost: a.test\r\n\r\n", "400"),
        ("GET a.test HTTP/1.1\r\nHost: a.test\r\n\r\n", "400"),
        ("GET * HTTP/1.1\r\nHost: a.test\r\n\r\n", "400"),
        ("GET /#x HTTP/1.1\r\nHost: a.test\r\n\r\n", "400"),
        ("GET /\u{e9} HTTP/1.1\r\nHost: a.test\r\n\r\n", "400"),
        ("GET ftp://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", "400"),
        ("CONNECT / HTTP/1.1\r\nHost: a.test\r\n\r\n", "400"),
    ];
    for (request, status) in cases {
        let world = World::http1(Route::to(&[])).await;
        let mut client = world.client().await;
        client.send(request).await;
        let (head, body) = client.message().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{request:?}: {head}");
        assert!(body.contains("request id: "), "{request:?}: {body}");
        client.finish().await;
        client.rest().await;
        let lines = world.end().await;
        assert!(lines.len() == 1 && lines[0].contains(&format!("status={status}")), "{request:?}: {lines:?}");
        assert!(lines[0].contains(" error="), "{request:?}: {lines:?}");
    }
    let world = World::http1(Route::to(&[])).await;
    let limit = world.route.settings.max_request_head;
    let mut client = world.client().await;
    client.send(format!("GET /{}", "x".repeat(limit))).await;
    assert!(client.message().await.0.starts_with("HTTP/1.1 414"));
    client.finish().await;
    client.rest().await;
    world.end().await;
}

#[tokio::test]
async fn an_upgrade_whose_client_is_gone_before_its_101_gives_the_target_back() {
    let (go, gone) = tokio::sync::watch::channel(false);
    let target = Scripted::new(move |mut peer, _| {
        let mut gone = gone.clone();
        async move {
            peer.head().await;
            gone.wait_for(|gone| *gone).await.unwrap();
            peer.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").await;
            peer.gone().await;
        }
    })
    .await;
    let mut world = World::http1(Route::to(&[target.address])).await;
    for _ in 0..50 {
        let mut client = world.client().await;
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").await;
        until(|| world.pool().standing() == 1).await;
        // Both in one turn of the runtime, so that the proxy finds them at once.
        go.send_replace(true);
        client.reset();
        let outcome = world.outcome().await;
        assert_eq!(outcome.party, Party::Client, "{outcome:?}");
        until(|| world.pool().standing() == 0).await;
        go.send_replace(false);
    }
    assert_eq!(world.end().await.len(), 50);
}

#[tokio::test]
async fn half_an_answer_without_a_length_does_not_look_whole_to_a_client_that_closed_its_side() {
    let target = Scripted::new(|mut peer, _| async move {
        peer.head().await;
        peer.send("HTTP/1.0 200 OK\r\n\r\nhalf").await;
        peer.gone().await;
    })
    .await;
    let mut world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    client.send("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n").await;
    client.head().await;
    assert_eq!(client.take(4).await, "half");
    client.finish().await;
    let mut rest = [0; 1];
    let end = tokio::io::AsyncReadExt::read(&mut client.0, &mut rest).await;
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(world.cause().await, Cause::ClosedEarly);
    world.end().await;
}

#[tokio::test]
async fn interim_answers_that_a_client_does_not_take_are_dropped() {
    let (sent, mut all) = tokio::sync::watch::channel(false);
    let target = Scripted::new(move |mut peer, _| {
        let sent = sent.clone();
        async move {
            peer.head().await;
            let hint = format!("HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n", "x".repeat(60_000));
            for _ in 0..400 {
                peer.send(&hint).await;
            }
            sent.send_replace(true);
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            peer.gone().await;
        }
    })
    .await;
    let world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await;
    // The target gets rid of all of them, more than the sockets hold, although the client takes none.
    tokio::time::timeout(milliseconds(10_000), all.wait_for(|all| *all)).await.unwrap().unwrap();
    let text = client.rest().await;
    let hints = text.matches("HTTP/1.1 103 ").count();
    assert!(hints < 400 && text.ends_with("\r\n\r\nok"), "{hints}");
    drop(client);
    world.end().await;
}
