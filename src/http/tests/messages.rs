use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::world::{Route, Scripted, World, field, milliseconds, until};
use crate::http::HeaderEdits;
use crate::name::FieldValue;
use crate::net::AddressSet;
use crate::outcome::{Cause, Party};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const MEBIBYTE: usize = 1024 * 1024;

/// A target that reads one head, sends `answer` and closes.
async fn answering(answer: &'static str) -> Scripted {
    Scripted::new(move |mut peer, _| async move {
        peer.head().await;
        peer.send(answer).await;
    })
    .await
}

#[tokio::test]
async fn a_mebibyte_streams_both_ways_and_is_counted() {
    let target = Scripted::new(|mut peer, _| async move {
        let head = peer.head().await;
        assert_eq!(field(&head, "content-length"), Some("1048576"));
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        let mut chunk = vec![0; 16 * 1024];
        for _ in 0..MEBIBYTE / chunk.len() {
            peer.0.read_exact(&mut chunk).await.unwrap();
            peer.send("4000\r\n").await;
            peer.send(&chunk).await;
            peer.send("\r\n").await;
        }
        peer.send("0\r\n\r\n").await;
        peer.gone().await;
    })
    .await;
    let world = World::http1(Route::to(&[target.address])).await;
    let client = world.client().await;
    let (mut reading, mut writing) = client.0.into_split();
    let sending = tokio::spawn(async move {
        writing.write_all(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1048576\r\n\r\n").await.unwrap();
        writing.write_all(&vec![b'm'; MEBIBYTE]).await.unwrap();
        writing
    });
    let mut seen = Vec::new();
    while !seen.ends_with(b"0\r\n\r\n") {
        assert!(reading.read_buf(&mut seen).await.unwrap() > 0);
    }
    assert_eq!(seen.iter().filter(|byte| **byte == b'm').count(), MEBIBYTE);
    drop((sending.await.unwrap(), reading));
    let lines = world.end().await;
    assert!(lines[0].contains("bytes_in=1048576 bytes_out=1048576 "), "{lines:?}");
}

#[tokio::test]
async fn a_target_that_does_not_read_holds_the_client_back() {
    let (release, released) = tokio::sync::watch::channel(false);
    let target = Scripted::new(move |mut peer, _| {
        let mut released = released.clone();
        async move {
            peer.head().await;
            released.wait_for(|released| *released).await.unwrap();
            peer.gone().await;
        }
    })
    .await;
    let world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000000\r\n\r\n").await;
    let chunk = vec![b'x'; 256 * 1024];
    let mut sent = 0;
    // The sockets' buffers fill, and ours do not grow: long before this the client has to wait.
    while let Ok(written) = tokio::time::timeout(milliseconds(200), client.0.write(&chunk)).await {
        sent += written.unwrap();
        assert!(sent < 64 * MEBIBYTE);
    }
    release.send(true).unwrap();
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn each_request_of_a_connection_is_told_of_with_the_host_as_it_wrote_it() {
    let target = Scripted::echoing().await;
    let world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    for host in ["a.test", "a.test", "A.test", "b.test:80", "a.test"] {
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        let (_, seen) = client.message().await;
        assert_eq!(field(&seen, "x-forwarded-host"), Some(host));
        assert!(field(&seen, "forwarded").unwrap().contains(host), "{seen}");
    }
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn the_target_gets_one_honest_head() {
    let target = Scripted::echoing().await;
    let mut route = Route::to(&[target.address]);
    let value = |text| FieldValue::Fixed(http::HeaderValue::from_static(text));
    let name = |text| http::HeaderName::from_static(text);
    route.request_headers = HeaderEdits {
        remove: vec![name("x-remove")],
        set: vec![(name("x-set"), value("new"))],
        add: vec![(name("x-add"), value("2"))],
    };
    route.response_headers = HeaderEdits { set: vec![(name("x-answer"), value("set"))], ..HeaderEdits::default() };
    let world = World::http1(route).await;
    let mut client = world.client().await;
    client
        .send(
            "GET http://a.test/p?q=1 HTTP/1.1\r\nHost: a.test\r\nConnection: x-private, keep-alive\r\nX-Private: 1\r\n\
             Keep-Alive: 5\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nTE: gzip\r\nX-Forwarded-For: 6.6.6.6\r\n\
             X-Request-Id: forged\r\nX-Remove: 1\r\nX-Set: old\r\nX-Add: 1\r\n\r\n",
        )
        .await;
    let (head, seen) = client.message().await;
    assert_eq!(field(&head, "x-answer"), Some("set"));
    assert!(seen.starts_with("GET /p?q=1 HTTP/1.1\r\n"), "{seen}");
    let mut names: Vec<&str> = seen.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "forwarded",
            "host",
            "x-add",
            "x-add",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-port",
            "x-forwarded-proto",
            "x-request-id",
            "x-set",
        ]
    );
    assert_eq!(field(&seen, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(field(&seen, "x-set"), Some("new"));
    let id = field(&seen, "x-request-id").unwrap().to_owned();
    assert_ne!(id, "forged");
    drop(client);
    let lines = world.end().await;
    assert!(lines[0].contains(&format!("request={id} ")) && lines[0].contains("path=\"/p?q=1\""), "{lines:?}");
    assert!(lines[0].contains("connect_seconds=") && lines[0].contains("first_byte_seconds="), "{lines:?}");
}

#[tokio::test]
async fn a_trusted_peer_is_believed_and_the_host_may_be_the_targets() {
    let target = Scripted::echoing().await;
    let mut route = Route::to(&[target.address]);
    route.forwarded.trusted = AddressSet::new(["127.0.0.0/8".parse::<ipnet::IpNet>().unwrap()]);
    route.preserve_host = false;
    let world = World::http1(route).await;
    let mut client = world.client().await;
    let told = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Request-Id: theirs\r\n";
    client.send(format!("GET / HTTP/1.1\r\nHost: a.test\r\n{told}\r\n")).await;
    let (_, seen) = client.message().await;
    assert_eq!(field(&seen, "x-forwarded-for"), Some("6.6.6.6, 127.0.0.1"));
    assert_eq!(field(&seen, "x-forwarded-proto"), Some("https"));
    assert_eq!(field(&seen, "x-forwarded-host"), Some("a.test"));
    assert_eq!(field(&seen, "host"), Some(target.address.to_string().as_str()));
    drop(client);
    let lines = world.end().await;
    assert!(lines[0].contains("request=theirs "), "{lines:?}");
}

#[tokio::test]
async fn answers_without_a_body_keep_their_length_and_the_connection() {
    let target = Scripted::new(|mut peer, _| async move {
        peer.head().await;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
        peer.head().await;
        peer.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        peer.head().await;
        peer.send("HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nETag: \"x\"\r\n\r\n").await;
        peer.gone().await;
    })
    .await;
    let world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    let request = |method: &str| format!("{method} / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    client.send(request("HEAD")).await;
    assert_eq!(field(&client.head().await, "content-length"), Some("1000"));
    until(|| world.pool().idle() == 1).await;
    client.send(request("GET")).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 204") && field(&head, "content-length").is_none(), "{head}");
    until(|| world.pool().idle() == 1).await;
    client.send(request("GET")).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 304") && field(&head, "etag").is_some(), "{head}");
    until(|| world.pool().idle() == 1).await;
    client.send(request("HEAD").replace(" / ", " /own ")).await;
    assert_eq!(field(&client.head().await, "content-length"), Some("3"));
    client.finish().await;
    assert_eq!(client.rest().await, "");
    assert_eq!(target.accepted(), 1);
    let lines = world.end().await;
    assert!(lines.iter().all(|line| line.contains("cause=finished")), "{lines:?}");
}

#[tokio::test]
async fn an_http_1_0_client_gets_the_body_and_the_end_of_the_connection() {
    let target = answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").await;
    let mut world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let head = client.head().await;
    assert!(field(&head, "transfer-encoding").is_none(), "{head}");
    assert_eq!(client.rest().await, "ok");
    assert_eq!(world.cause().await, Cause::Finished);
    world.end().await;
}

#[tokio::test]
async fn a_body_is_asked_for_only_when_the_target_takes_it() {
    let target = Scripted::new(|mut peer, _| async move {
        let head = peer.head().await;
        assert_eq!(field(&head, "expect"), Some("100-continue"));
        if head.starts_with("POST /never ") {
            peer.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n").await;
            assert_eq!(peer.rest().await, "");
            return;
        }
        if head.starts_with("POST /asks ") {
            peer.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        }
        assert_eq!(peer.take(3).await, "abc");
        peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").await;
    })
    .await;
    let mut world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    let head = |path: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    };
    // A target that says nothing is taken to agree, after a while.
    for path in ["/asks", "/silent"] {
        client.send(head(path)).await;
        assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
        client.send("abc").await;
        let (answer, body) = client.message().await;
        assert!(answer.starts_with("HTTP/1.1 200") && body == "ok", "{answer}{body}");
    }
    let mut refused = world.client().await;
    refused.send(head("/never")).await;
    assert!(refused.message().await.0.starts_with("HTTP/1.1 417"));
    refused.finish().await;
    assert_eq!(refused.rest().await, "");
    assert_eq!(world.cause().await, Cause::Finished);
    // Nobody wants this one's body: there is no 100, and the connection cannot go on.
    client.send(head("/own")).await;
    assert!(client.message().await.0.starts_with("HTTP/1.1 200"));
    client.finish().await;
    assert_eq!(client.rest().await, "");
    assert_eq!(world.cause().await, Cause::Finished);
    world.end().await;
}

#[tokio::test]
async fn trailers_pass_both_ways_but_for_those_that_frame_or_route() {
    let target = Scripted::new(|mut peer, _| async move {
        assert_eq!(field(&peer.head().await, "te"), Some("trailers"));
        let mut body = String::new();
        while !body.ends_with("\r\n\r\n") {
            body.push_str(&peer.take(1).await);
        }
        assert_eq!(body, "2\r\nhi\r\n0\r\nx-sum: 1\r\n\r\n");
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-end, content-length\r\n\r\n").await;
        peer.send("2\r\nok\r\n0\r\nX-End: 2\r\nContent-Length: 9\r\n\r\n").await;
        peer.gone().await;
    })
    .await;
    let world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nConnection: TE\r\nTrailer: x-sum, host\r\n").await;
    client.send("Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\nHost: b.test\r\n\r\n").await;
    client.head().await;
    let mut body = String::new();
    while !body.ends_with("\r\n\r\n") {
        body.push_str(&client.take(1).await);
    }
    assert_eq!(body, "2\r\nok\r\n0\r\nx-end: 2\r\n\r\n");
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn a_target_that_closes_or_talks_nonsense_before_its_head_is_502() {
    for (answer, cause) in [
        ("", "target_closed"),
        ("HTTP/1.1 200 OK\r\nContent-Le", "target_closed"),
        ("nonsense\r\n\r\n", "response_malformed"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "response_malformed"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "response_malformed",
        ),
        ("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "response_malformed"),
    ] {
        let target = answering(answer).await;
        let world = World::http1(Route::to(&[target.address])).await;
        let mut client = world.client().await;
        client.send(GET).await;
        let (head, body) = client.message().await;
        assert!(head.starts_with("HTTP/1.1 502") && body.contains(cause), "{answer:?}: {head}{body}");
        drop(client);
        let lines = world.end().await;
        assert!(lines[0].contains(&format!("party=target cause={cause}")), "{lines:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_off_looks_cut_off_to_the_client() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let target = answering(answer).await;
        let mut world = World::http1(Route::to(&[target.address])).await;
        let mut client = world.client().await;
        client.send(GET).await;
        client.head().await;
        let rest = client.rest().await;
        assert!(rest.contains("abc") && !rest.contains("\r\n0\r\n"), "{rest}");
        drop(client);
        let outcome = world.outcome().await;
        assert_eq!((outcome.party, outcome.cause), (Party::Target, Cause::TargetClosed));
        let lines = world.end().await;
        assert!(lines[0].contains("status=200") && lines[0].contains("party=target cause=target_closed"), "{lines:?}");
    }
    // Where only the end of the connection ends the body, it has to be a reset.
    let target = answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    let mut world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    client.send("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n").await;
    let mut waste = Vec::new();
    assert!(client.0.read_to_end(&mut waste).await.is_err());
    assert_eq!(world.cause().await, Cause::TargetClosed);
    world.end().await;
}

#[tokio::test]
async fn targets_that_stall_have_their_times_and_causes() {
    let stalling = |answer: &'static str| {
        Scripted::new(move |mut peer, _| async move {
            peer.head().await;
            peer.send(answer).await;
            peer.gone().await;
        })
    };
    let target = stalling("HTTP/1.1 200").await;
    let mut route = Route::to(&[target.address]);
    route.timeouts.response_head = milliseconds(50);
    let world = World::http1(route).await;
    let mut client = world.client().await;
    client.send(GET).await;
    assert!(client.message().await.0.starts_with("HTTP/1.1 504"));
    drop(client);
    let lines = world.end().await;
    assert!(lines[0].contains("party=target cause=response_head_timeout"), "{lines:?}");

    let target = stalling("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await;
    let mut route = Route::to(&[target.address]);
    route.timeouts.body = milliseconds(50);
    let world = World::http1(route).await;
    let mut client = world.client().await;
    client.send(GET).await;
    client.head().await;
    assert_eq!(client.rest().await, "abc");
    drop(client);
    let lines = world.end().await;
    assert!(lines[0].contains("party=target cause=body_timeout"), "{lines:?}");
}

#[tokio::test]
async fn a_client_that_stalls_in_its_body_is_408() {
    let target = Scripted::new(|mut peer, _| async move {
        peer.head().await;
        peer.gone().await;
    })
    .await;
    for begun in ["", "abc"] {
        let mut route = Route::to(&[target.address]);
        route.timeouts.body = milliseconds(50);
        let mut world = World::http1(route).await;
        let mut client = world.client().await;
        client.send(format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\n{begun}")).await;
        assert!(client.message().await.0.starts_with("HTTP/1.1 408"), "{begun:?}");
        client.finish().await;
        assert_eq!(client.rest().await, "");
        let outcome = world.outcome().await;
        assert_eq!((outcome.party, outcome.cause), (Party::Client, Cause::BodyTimeout), "{begun:?}");
        world.end().await;
    }
}

#[tokio::test]
async fn a_target_that_takes_nothing_of_a_body_is_504() {
    let (release, released) = tokio::sync::watch::channel(false);
    let target = Scripted::new(move |mut peer, _| {
        let mut released = released.clone();
        async move {
            peer.head().await;
            released.wait_for(|released| *released).await.unwrap();
        }
    })
    .await;
    let mut route = Route::to(&[target.address]);
    route.timeouts.body = milliseconds(200);
    let mut world = World::http1(route).await;
    let client = world.client().await;
    let (mut reading, mut writing) = client.0.into_split();
    let sending = tokio::spawn(async move {
        let head = b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000000\r\n\r\n";
        writing.write_all(head).await.unwrap();
        while writing.write_all(&[b'x'; 65_536]).await.is_ok() {}
    });
    let mut answer = [0; 12];
    reading.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 504");
    release.send(true).unwrap();
    sending.abort();
    let _cancelled = sending.await;
    drop(reading);
    let outcome = world.outcome().await;
    assert_eq!((outcome.party, outcome.cause), (Party::Target, Cause::BodyTimeout));
    world.end().await;
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_body_reaches_the_client() {
    let target = answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno").await;
    let world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\n").await;
    let (head, body) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 403") && body == "no", "{head}{body}");
    client.finish().await;
    assert_eq!(client.rest().await, "");
    world.end().await;
}
