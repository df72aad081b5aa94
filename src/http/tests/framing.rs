use super::world::{Route, Scripted, World, field, milliseconds, until};
use crate::outcome::{Cause, Party};

/// What is sent after the request's line and Host.
async fn refused(request: &str, status: &str) {
    let target = Scripted::echoing().await;
    let mut route = Route::to(&[target.address]);
    // A head that is never complete for hyper is late; no such case has to be waited for.
    route.settings.request_head = milliseconds(100);
    route.settings.linger = milliseconds(200);
    let mut world = World::http1(route).await;
    let mut client = world.client().await;
    client.send(request).await;
    let head = client.head().await;
    assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{request:?}: {head}");
    let _body = client.rest().await;
    drop(client);
    let outcome = world.outcome().await;
    assert_eq!((outcome.party, outcome.cause), (Party::Client, Cause::RequestMalformed), "{request:?}");
    assert_eq!(target.accepted(), 0, "{request:?}");
    world.end().await;
}

#[tokio::test]
async fn ambiguous_framing_is_answered_with_400_and_the_connection_is_closed() {
    let fields = [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Content-Length: 3, 3\r\n",
        "Content-Length: +3\r\n",
        "Content-Length: -3\r\n",
        "Content-Length: 0x3\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length : 3\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        "X: a\r\n Transfer-Encoding: chunked\r\n",
        "X: a\0\r\n",
        "X: a\rb\r\n",
        "X\0: a\r\n",
        "X\t: a\r\n",
        ": a\r\n",
        "no colon\r\n",
        "Transfer-Encoding: chunked\r\n\tX: a\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding:\r\n",
        "Content-Length:\r\n",
        "Content-Length: 3 3\r\n",
    ];
    for fields in fields {
        refused(&format!("POST / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n0\r\n\r\n"), "400").await;
    }
}

#[tokio::test]
async fn lines_that_end_with_a_bare_lf_are_refused() {
    refused("GET / HTTP/1.1\nHost: a.test\n\n", "400").await;
    refused("POST / HTTP/1.1\r\nHost: a.test\r\nX: a\nContent-Length: 3\r\n\r\nabc", "400").await;
}

#[tokio::test]
async fn hosts_that_are_missing_repeated_or_contradictory_are_refused() {
    for head in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n",
        "GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a@b.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test/b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test:80:90\r\n\r\n",
    ] {
        refused(head, "400").await;
    }
}

#[tokio::test]
async fn a_connect_that_is_more_than_a_host_with_a_port_is_refused() {
    for head in [
        "CONNECT a.test:443 HTTP/1.1\r\nHost: b.test:443\r\n\r\n",
        "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nContent-Length: 5\r\n\r\nhello",
        "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "CONNECT a.test HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "CONNECT http://a.test:443/ HTTP/1.1\r\nHost: a.test:443\r\n\r\n",
    ] {
        refused(head, "400").await;
    }
}

#[tokio::test]
async fn transfer_encoding_before_http_1_1_is_refused() {
    refused("POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400").await;
}

#[tokio::test]
async fn a_refused_request_that_was_pipelined_is_answered_in_its_turn() {
    let target = Scripted::echoing().await;
    let mut world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    let sound = "GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let both = "POST /2 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    client.send(format!("{sound}{both}GET /3 HTTP/1.1\r\nHost: a.test\r\n\r\n")).await;
    let (head, body) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 200") && body.starts_with("GET /1 "), "{head}{body}");
    let (head, body) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    assert_eq!(field(&head, "connection"), Some("close"));
    assert!(body.contains(field(&head, "x-request-id").unwrap()));
    client.finish().await;
    assert_eq!(client.rest().await, "");
    assert_eq!(world.cause().await, Cause::RequestMalformed);
    let lines = world.end().await;
    assert!(lines[1].contains("status=400") && lines[1].contains("cause=request_malformed"), "{lines:?}");
    assert_eq!(lines.len(), 2);
}

#[tokio::test]
async fn a_head_above_the_limit_is_431_and_one_below_is_taken() {
    let target = Scripted::echoing().await;
    let mut world = World::http1(Route::to(&[target.address])).await;
    let limit = world.route.settings.max_request_head;
    let begin = "GET / HTTP/1.1\r\nHost: a.test\r\nX: ";
    let head = |length: usize| format!("{begin}{}\r\n\r\n", "x".repeat(length - begin.len() - 4));
    let mut client = world.client().await;
    client.send(head(limit - 1)).await;
    assert!(client.message().await.0.starts_with("HTTP/1.1 200"));
    client.send(head(limit + 1)).await;
    let (head, body) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 431") && body.contains("request id: "), "{head}{body}");
    client.finish().await;
    assert_eq!(client.rest().await, "");
    assert_eq!(world.cause().await, Cause::RequestHeadTooLarge);
    world.end().await;
}

#[tokio::test]
async fn an_answer_to_a_refused_upload_survives_what_the_client_still_sends() {
    let mut route = Route::to(&[]);
    route.max_request_body = Some(10);
    route.settings.linger = milliseconds(2000);
    let mut world = World::http1(route).await;
    let mut client = world.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\n").await;
    for _ in 0..10 {
        client.send([b'x'; 100_000]).await;
    }
    let (head, body) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 413"), "{head}");
    assert!(body.contains("request_body_too_large"), "{body}");
    client.finish().await;
    assert_eq!(client.rest().await, "");
    let outcome = world.outcome().await;
    assert_eq!((outcome.party, outcome.cause), (Party::Client, Cause::RequestBodyTooLarge));
    world.end().await;
}

#[tokio::test]
async fn a_chunked_body_is_stopped_one_byte_above_the_limit() {
    let target = Scripted::new(|mut peer, _| async move {
        let head = peer.head().await;
        assert_eq!(field(&head, "transfer-encoding"), Some("chunked"));
        if peer.take(20).await.ends_with("0\r\n\r\n") {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        }
        peer.gone().await;
    })
    .await;
    for (body, status) in [("a\r\n0123456789\r\n0\r\n\r\n", "200"), ("b\r\n0123456789a\r\n0\r\n\r\n", "413")] {
        let mut route = Route::to(&[target.address]);
        route.max_request_body = Some(10);
        let world = World::http1(route).await;
        let mut client = world.client().await;
        client.send(format!("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n{body}")).await;
        let head = client.head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        drop(client);
        world.end().await;
    }
}

#[tokio::test]
async fn a_chunk_whose_framing_is_broken_never_reaches_the_target() {
    let target = Scripted::new(|mut peer, _| async move {
        peer.head().await;
        peer.gone().await;
    })
    .await;
    let mut world = World::http1(Route::to(&[target.address])).await;
    for broken in [
        "3\nabc\r\n0\r\n\r\n",
        "x\r\n",
        "\r\n",
        ";a=b\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "3_\r\nabc\r\n0\r\n\r\n",
        "10000000000000000\r\nabc\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "3\rabc\r\n0\r\n\r\n",
        "3;a=\0\r\nabc\r\n0\r\n\r\n",
        "3;a=b\nc\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcX\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3 ;\r\nabc",
        "0\r\nbad trailer\r\n\r\n",
        "0\r\n\nGET /smuggled HTTP/1.1\r\n\r\n",
        "0\r\nx: a\rb\r\n\r\n",
        "0\r\nx: a\0b\r\n\r\n",
    ] {
        let mut client = world.client().await;
        client.send(format!("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n{broken}")).await;
        client.finish().await;
        client.gone().await;
        assert_eq!(world.cause().await, Cause::RequestMalformed, "{broken:?}");
    }
    until(|| world.pool().standing() == 0).await;
    world.end().await;
}
