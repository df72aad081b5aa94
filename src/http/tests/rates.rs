//! Clients below and above `limits.min_rate`, each beside the other, and before targets that are slow themselves.
//!
//! The margins are wide, as no test may depend on how fast the machine is: a client above the rate has all the time that it can
//! have with each tenth of a second, and one below it could not reach the rate if nothing held it up.

use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::{Instant, sleep};

use super::frames;
use super::http2::Client;
use super::websocket::switching;
use super::world::{Peer, Route, Scripted, World, milliseconds, until};
use crate::http::MinRate;
use crate::outcome::{Cause, Outcome, Party, Phase};

const BYTES_PER_SECOND: u64 = 1024;
const GRACE_MILLISECONDS: u32 = 500;
/// How far ahead of the rate a client can be.
const AHEAD_MAX_MILLISECONDS: u32 = 1500;

/// What a client moves at once before it turns slow: worth minutes and more, if that could be had.
const BURST: usize = 4 * 1024 * 1024;

/// What the clients above and below the rate move at once, and how often: 20 KiB and 160 bytes a second.
const FAST: (usize, Duration) = (512, milliseconds(25));
const SLOW: (usize, Duration) = (16, milliseconds(100));

/// For how long the client above the rate goes on: longer than any that is below it may.
const LONG: Duration = milliseconds(2500);

/// A proxy that knows a rate before a target that plays `script`.
async fn world<F, P>(http2: bool, script: F) -> (Scripted, World)
where
    F: Fn(Peer, usize) -> P + Send + 'static,
    P: Future<Output = ()> + Send + 'static,
{
    world_with(BYTES_PER_SECOND, http2, script).await
}

async fn world_with<F, P>(bytes_per_second: u64, http2: bool, script: F) -> (Scripted, World)
where
    F: Fn(Peer, usize) -> P + Send + 'static,
    P: Future<Output = ()> + Send + 'static,
{
    let target = Scripted::new(script).await;
    let least =
        MinRate::new(NonZeroU64::new(bytes_per_second).unwrap()).with_times(GRACE_MILLISECONDS, AHEAD_MAX_MILLISECONDS);
    let mut route = Route::to(&[target.address]);
    (route.settings.min_rate, route.min_rate) = (Some(least), Some(least));
    let world = if http2 { World::http2(route).await } else { World::http1(route).await };
    (target, world)
}

/// Reads a chunked body of single pieces to its end, and answers.
async fn taking(mut peer: Peer) {
    peer.head().await;
    let mut all = Vec::new();
    let mut piece = [0; 4096];
    while !all.ends_with(b"0\r\n\r\n") {
        match peer.0.read(&mut piece).await {
            Ok(count) if count > 0 => all.extend_from_slice(&piece[..count]),
            _ => return,
        }
    }
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    peer.gone().await;
}

/// Answers without end.
async fn endless(peer: Peer) {
    endless_behind(peer, "HTTP/1.1 200 OK\r\n\r\n").await;
}

async fn endless_behind(mut peer: Peer, head: &str) {
    peer.head().await;
    peer.send(head).await;
    while peer.0.write_all(&[b'x'; 65_536]).await.is_ok() {}
}

/// When a client moves its next piece.
struct Pace {
    piece: usize,
    pause: Duration,
    end: Instant,
}

impl Pace {
    fn new((piece, pause): (usize, Duration), time: Duration) -> Self {
        Self { piece, pause, end: Instant::now() + time }
    }

    /// Waits, and gives the size of the next piece; `None` when the time is over.
    async fn next(&mut self) -> Option<usize> {
        sleep(self.pause).await;
        (Instant::now() < self.end).then_some(self.piece)
    }
}

const fn by_client(cause: Cause) -> Outcome {
    Outcome::new(Phase::Serve, Party::Client, cause)
}

const POST: &str = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
/// More than any of the tests takes.
const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_head_below_the_rate_is_408_and_one_above_it_is_served() {
    let (_target, mut world) = world(false, |peer, _| taking(peer)).await;
    let mut fast = world.client().await;
    fast.send("GET /own HTTP/1.1\r\nHost: a.test\r\n").await;
    // The longest head is 16 KiB.
    let mut pace = Pace::new((128, milliseconds(25)), milliseconds(1500));
    while let Some(count) = pace.next().await {
        fast.send(format!("x: {}\r\n", "y".repeat(count - 5))).await;
    }
    fast.send("\r\n").await;
    assert_eq!(fast.message().await.1, "own");
    drop(fast);
    assert_eq!(world.outcome().await, by_client(Cause::Finished));

    let mut slow = world.client().await;
    slow.send("GET /own HTTP/1.1\r\nHost: a.test\r\nx: ").await;
    let (mut reading, mut writing) = slow.0.into_split();
    let trickling = tokio::spawn(async move {
        let mut pace = Pace::new(SLOW, MINUTE);
        while let Some(count) = pace.next().await
            && writing.write_all(&vec![b'y'; count]).await.is_ok()
        {}
    });
    let mut answer = [0; 12];
    reading.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    assert_eq!(world.outcome().await, by_client(Cause::RequestHeadSlow));
    trickling.abort();
    let _cancelled = trickling.await;
    world.end().await;
}

/// A head of HTTP/2 comes in frames that nothing may come between.
#[tokio::test]
async fn a_head_in_frames_is_held_to_the_rate_and_to_its_time() {
    const BEGIN: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    // GET /own over plain HTTP, and END_STREAM without END_HEADERS.
    const HEAD: &[u8] = b"\0\0\x11\x01\x01\0\0\0\x01\x82\x86\x04\x04/own\x01\x06a.test\0";
    // A field of a byte, whose name is in the head's last byte but one.
    const FIELD: &[u8] = b"\0\0\x04\x09\0\0\0\0\x01\x01x\x01y";
    let (_target, mut world) = world(true, |peer, _| taking(peer)).await;
    let mut slow = world.client().await;
    slow.send(BEGIN).await;
    slow.send(&HEAD[..12]).await;
    slow.gone().await;
    assert_eq!(world.outcome().await, by_client(Cause::RequestHeadSlow));
    // One above the rate is served: its second frame comes field by field, each with the first byte of the next.
    let mut fast = world.client().await;
    let field = [&[1, b'x', 100][..], &[b'y'; 100], &[0]].concat();
    let fields = field.repeat(60);
    let fields = &fields[..fields.len() - 1];
    let length = u16::try_from(fields.len()).unwrap().to_be_bytes();
    fast.send([BEGIN, HEAD, &[0, length[0], length[1], 9, 4, 0, 0, 0, 1]].concat()).await;
    for field in fields.chunks(field.len()) {
        sleep(milliseconds(25)).await;
        fast.send(field).await;
    }
    let mut answer = Vec::new();
    while !answer.ends_with(b"own") {
        answer.push(fast.0.read_u8().await.unwrap());
    }
    drop(fast);
    assert_eq!(world.outcome().await.cause, Cause::Finished);
    world.end().await;

    let mut route = Route::to(&[]);
    route.settings.request_head = milliseconds(100);
    let mut world = World::http2(route).await;
    // Within a frame, between two, and within the second.
    for sent in [HEAD[..12].to_vec(), HEAD.to_vec(), [HEAD, &FIELD[..10]].concat()] {
        let mut late = world.client().await;
        late.send(BEGIN).await;
        late.send(sent).await;
        late.gone().await;
        assert_eq!(world.outcome().await, by_client(Cause::RequestHeadTimeout));
    }
    world.end().await;
}

fn chunk(count: usize) -> String {
    format!("{count:x}\r\n{}\r\n", "y".repeat(count))
}

#[tokio::test]
async fn a_body_below_the_rate_is_408_and_one_above_it_arrives() {
    let (_target, mut world) = world(false, |peer, _| taking(peer)).await;
    let mut fast = world.client().await;
    fast.send(POST).await;
    let mut pace = Pace::new(FAST, LONG);
    while let Some(count) = pace.next().await {
        fast.send(chunk(count)).await;
    }
    fast.send("0\r\n\r\n").await;
    assert_eq!(fast.message().await.1, "ok");
    drop(fast);
    assert_eq!(world.outcome().await, by_client(Cause::Finished));

    let mut slow = world.client().await;
    slow.send(POST).await;
    slow.send(chunk(BURST)).await;
    let (mut reading, mut writing) = slow.0.into_split();
    let trickling = tokio::spawn(async move {
        let mut pace = Pace::new(SLOW, MINUTE);
        while let Some(count) = pace.next().await
            && writing.write_all(chunk(count).as_bytes()).await.is_ok()
        {}
    });
    let mut answer = [0; 12];
    reading.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    trickling.abort();
    let _cancelled = trickling.await;
    drop(reading);
    assert_eq!(world.outcome().await, by_client(Cause::RequestBodySlow));
    let lines = world.end().await;
    assert!(lines[1].contains("status=408") && lines[1].contains("cause=request_body_slow"), "{lines:?}");
    assert!(!lines[1].contains("error="), "the cause says all of it: {lines:?}");
}

#[tokio::test]
async fn a_client_is_not_slow_while_its_target_takes_nothing() {
    const LENGTH: usize = 16 * 1024 * 1024;
    for http2 in [false, true] {
        let (_target, world) = world(http2, |mut peer, _| async move {
            peer.head().await;
            sleep(LONG).await;
            let mut piece = vec![0; 65_536];
            let mut left = LENGTH;
            while left > 0 {
                left -= peer.0.read(&mut piece).await.unwrap();
            }
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            peer.gone().await;
        })
        .await;
        if http2 {
            let mut client = Client::new(&world).await;
            let request = http::Request::post("https://a.test/").header("content-length", LENGTH).body(()).unwrap();
            let (response, mut body) = client.sender.send_request(request, false).unwrap();
            body.send_data(Bytes::from(vec![b'y'; LENGTH]), true).unwrap();
            assert_eq!(response.await.unwrap().status(), 200);
        } else {
            let mut client = world.client().await;
            client.send(format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {LENGTH}\r\n\r\n")).await;
            client.send(vec![b'y'; LENGTH]).await;
            assert_eq!(client.message().await.1, "ok");
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_client_is_not_slow_while_its_target_has_nothing_for_it() {
    for http2 in [false, true] {
        let (_target, world) = world(http2, |mut peer, _| async move {
            peer.head().await;
            peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
            let mut pace = Pace::new(SLOW, LONG);
            while let Some(count) = pace.next().await {
                peer.send(vec![b'x'; count]).await;
            }
        })
        .await;
        if http2 {
            let mut client = Client::new(&world).await;
            let answer = client.get("/").await.unwrap();
            let (body, _) = super::http2::text(answer).await.unwrap();
            assert!(!body.is_empty());
        } else {
            let mut client = world.client().await;
            client.send("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n").await;
            client.head().await;
            assert!(!client.rest().await.is_empty());
        }
        let lines = world.end().await;
        assert!(lines[0].contains("cause=finished"), "{lines:?}");
    }
}

/// A client with so little room for what it does not read that a slow one is felt soon.
async fn narrow(world: &World) -> Peer {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    Peer(socket.connect(world.address).await.unwrap())
}

async fn reads(client: &mut Peer, count: usize) -> bool {
    let mut piece = vec![0; count];
    client.0.read(&mut piece).await.is_ok_and(|count| count > 0)
}

#[tokio::test]
async fn an_answer_that_is_taken_below_the_rate_is_cut_and_one_above_it_goes_on() {
    is_held_to_the_rate("HTTP/1.1 200 OK\r\n\r\n").await;
}

/// Then it goes through a pipe.
#[tokio::test]
async fn an_answer_whose_length_is_known_is_held_to_the_rate_too() {
    is_held_to_the_rate("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n").await;
}

async fn is_held_to_the_rate(head: &'static str) {
    // What the client's kernel has room for counts as taken: a rate for which that is little.
    let (_target, mut world) = world_with(16 * 1024, false, move |peer, _| endless_behind(peer, head)).await;
    let mut fast = narrow(&world).await;
    fast.send(GET).await;
    is_let_read(&mut world, fast).await;

    let mut slow = narrow(&world).await;
    slow.send(GET).await;
    turns_slow(&world, &mut slow).await;
    assert_eq!(world.outcome().await, by_client(Cause::ResponseSlow));
    drop(slow);
    let lines = world.end().await;
    assert!(lines[1].contains("party=client cause=response_slow"), "{lines:?}");
}

/// Reads above the rate for long, and is not cut: it leaves by itself.
async fn is_let_read(world: &mut World, mut fast: Peer) {
    // What is read has to make the window grow by a segment before the kernel says so.
    let mut pace = Pace::new((8 * 1024, milliseconds(25)), LONG);
    while let Some(count) = pace.next().await {
        assert!(reads(&mut fast, count).await);
    }
    fast.reset();
    assert_eq!(world.outcome().await, by_client(Cause::Reset));
}

/// Takes much at once, and then little until it is cut.
async fn turns_slow(world: &World, client: &mut Peer) {
    client.0.read_exact(&mut vec![0; BURST]).await.unwrap();
    let mut pace = Pace::new(SLOW, MINUTE);
    while let Some(count) = pace.next().await
        && world.registry.live() > 0
        && reads(client, count).await
    {}
}

/// By windows that never end, as of a client that leaves it to its kernel to hold the other side up.
#[tokio::test]
async fn who_holds_up_a_connection_of_http_2_is_cut_as_by_http_1_1() {
    let (_target, mut world) = world_with(16 * 1024, true, |peer, _| endless(peer)).await;
    let mut fast = narrow(&world).await;
    fast.send(frames::opening()).await;
    fast.send(frames::get(1, "/fast")).await;
    is_let_read(&mut world, fast).await;

    let mut slow = narrow(&world).await;
    slow.send(frames::opening()).await;
    slow.send(frames::get(1, "/slow")).await;
    turns_slow(&world, &mut slow).await;
    assert_eq!(world.outcome().await, by_client(Cause::ResponseSlow));
    drop(slow);
    let lines = world.end().await;
    let slow = lines.iter().find(|line| line.contains("path=/slow")).unwrap();
    assert!(slow.contains("party=client cause=response_slow"), "{lines:?}");
}

/// A tunnel has no rate by HTTP/1.1 either.
#[tokio::test]
async fn who_holds_up_a_connection_that_has_tunnels_only_is_not_slow() {
    let (_target, world) = world(true, |mut peer, _| async move {
        let head = peer.head().await;
        peer.send(switching(&head)).await;
        while peer.0.write_all(&[b'x'; 65_536]).await.is_ok() {}
    })
    .await;
    let mut client = narrow(&world).await;
    client.send(frames::opening()).await;
    client.send(frames::websocket(1)).await;
    // It takes a while until the kernels are full.
    let mut pace = Pace::new((1, milliseconds(100)), LONG * 2);
    while let Some(count) = pace.next().await {
        assert!(reads(&mut client, count).await);
    }
    assert_eq!(world.registry.live(), 1);
    client.reset();
    let lines = world.end().await;
    assert!(lines.iter().any(|line| line.contains("path=/chat") && line.contains("cause=reset")), "{lines:?}");
}

/// Sends a piece of a request's body on a stream, as long as the stream is there.
fn sends(body: &mut SendStream<Bytes>, count: usize) -> bool {
    body.send_data(Bytes::from(vec![b'y'; count]), false).is_ok()
}

#[tokio::test]
async fn a_stream_below_the_rate_is_answered_408_beside_one_above_it() {
    let (_target, world) = world(true, |peer, _| taking(peer)).await;
    let mut client = Client::new(&world).await;
    let mut post = || {
        let request = http::Request::post("https://a.test/").body(()).unwrap();
        client.sender.send_request(request, false).unwrap()
    };
    let (answer, mut fast) = post();
    let (slow_answer, mut slow) = post();
    let trickling = tokio::spawn(async move {
        let mut pace = Pace::new(SLOW, MINUTE);
        while let Some(count) = pace.next().await
            && sends(&mut slow, count)
        {}
    });
    let mut pace = Pace::new(FAST, LONG);
    while let Some(count) = pace.next().await {
        assert!(sends(&mut fast, count));
    }
    fast.send_data(Bytes::new(), true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
    assert_eq!(slow_answer.await.unwrap().status(), 408);
    trickling.abort();
    let _cancelled = trickling.await;
    drop((fast, client));
    let lines = world.end().await;
    let slow = lines.iter().find(|line| line.contains("status=408")).unwrap();
    assert!(slow.contains("party=client cause=request_body_slow"), "{lines:?}");
}

/// Takes an answer piece by piece, and gives what is left of it; `None` if it broke off.
async fn takes(answer: http::Response<h2::RecvStream>, burst: usize, mut pace: Pace) -> Option<h2::RecvStream> {
    let mut body = answer.into_body();
    let mut taken = 0;
    while taken < burst {
        let data = body.data().await?.ok()?;
        taken += data.len();
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    let mut come = 0;
    while let Some(count) = pace.next().await {
        // What has not been taken is not given back to the window.
        while come < count {
            match body.data().await {
                Some(Ok(data)) => come += data.len(),
                Some(Err(_)) | None => return None,
            }
        }
        come -= count;
        body.flow_control().release_capacity(count).unwrap();
    }
    Some(body)
}

#[tokio::test]
async fn a_stream_whose_answer_is_taken_below_the_rate_is_reset_beside_one_above_it() {
    // What is read of a target at once counts as taken when the window has room for the first byte of it.
    let (_target, world) = world_with(64 * 1024, true, |peer, _| endless(peer)).await;
    let mut builder = h2::client::Builder::new();
    // Enough for one stream to go on beside one that holds all of its own window.
    builder.initial_connection_window_size(1024 * 1024);
    let (sender, connection) = builder.handshake::<_, Bytes>(world.client().await.0).await.unwrap();
    let driving = tokio::spawn(connection);
    let mut client = Client { sender: sender.ready().await.unwrap(), driving };
    let (fast, slow) = (client.get("/fast").await.unwrap(), client.get("/slow").await.unwrap());
    let slow = tokio::spawn(takes(slow, 2 * BURST, Pace::new(SLOW, MINUTE)));
    let fast = takes(fast, 0, Pace::new((16 * 1024, FAST.1), LONG)).await.expect("the fast one goes on");
    until(|| world.pool().standing() == 1).await;
    slow.abort();
    let _cancelled = slow.await;
    drop(fast);
    drop(client);
    let lines = world.end().await;
    let slow = lines.iter().find(|line| line.contains("path=/slow")).unwrap();
    assert!(slow.contains("party=client cause=response_slow"), "{lines:?}");
    let fast = lines.iter().find(|line| line.contains("path=/fast")).unwrap();
    assert!(fast.contains("party=client") && !fast.contains("cause=response_slow"), "{lines:?}");
}
