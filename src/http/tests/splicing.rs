//! Long bodies of known length that go through pipes, and what happens when they cannot.

mod pieces;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::world::{PATIENCE, Peer, Route, Scripted, World, field, milliseconds, until};
use crate::drain::Order;
use crate::net::pipe::tests::{Place, kept, set_fault};
use crate::outcome::{Cause, Outcome, Party, Phase};

/// Enough to be worth a pipe several times over.
const MUCH: usize = 3_000_003;

/// More than the kernel holds for a client that does not read.
const TOO_MUCH: usize = 64 * 1024 * 1024;

const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

fn post(length: usize) -> String {
    format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n")
}

fn ok(length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")
}

const fn serving(party: Party, cause: Cause) -> Outcome {
    Outcome::new(Phase::Serve, party, cause)
}

/// Bytes that are not alike wherever they are looked at.
fn payload(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// Reads a head and as much as it says.
async fn message(peer: &mut Peer) -> (String, Vec<u8>) {
    let head = peer.head().await;
    let mut body = vec![0; field(&head, "content-length").map_or(0, |length| length.parse().unwrap())];
    timeout(PATIENCE, peer.0.read_exact(&mut body)).await.expect("no body came").unwrap();
    (head, body)
}

/// Takes a request's head, and its body until it ends, and says nothing.
async fn taker() -> Scripted {
    Scripted::new(|mut peer, _| async move {
        peer.head().await;
        peer.gone().await;
    })
    .await
}

/// A target that answers each request with a body that is as long as the one that came, or [`MUCH`] if none came.
async fn mirror(mut peer: Peer) {
    let mut first = [0];
    while peer.0.peek(&mut first).await.is_ok_and(|count| count > 0) {
        let (_, body) = message(&mut peer).await;
        let answer = if body.is_empty() { payload(MUCH, 1) } else { body };
        peer.send(ok(answer.len())).await;
        peer.send(&answer).await;
    }
}

/// A target that answers with a head that promises `promised`, and hands over who sends the body.
async fn world<F, P>(promised: usize, script: F) -> (Scripted, World)
where
    F: Fn(Peer) -> P + Send + Copy + 'static,
    P: Future<Output = ()> + Send + 'static,
{
    let target = Scripted::new(move |mut peer, _| async move {
        peer.head().await;
        peer.send(ok(promised)).await;
        script(peer).await;
    })
    .await;
    let world = World::http1(Route::to(&[target.address])).await;
    (target, world)
}

/// Sends for as long as anybody takes it.
async fn endless(mut peer: Peer) {
    while peer.0.write_all(&[b'x'; 65_536]).await.is_ok() {}
}

/// Waits until nothing moves any more.
async fn is_full(world: &World) {
    let mut before = None;
    while before.replace(world.connection().traffic().bytes_out()) != Some(world.connection().traffic().bytes_out()) {
        tokio::time::sleep(milliseconds(100)).await;
    }
}

/// What a request's line says of the bytes of its answer.
fn bytes_out(line: &str) -> u64 {
    let (_, rest) = line.split_once(" bytes_out=").unwrap();
    rest.split(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn long_answers_go_through_pipes_and_the_next_one_is_not_touched() {
    let target = Scripted::new(|peer, _| mirror(peer)).await;
    let world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    client.send(GET.repeat(3)).await;
    let expected = payload(MUCH, 1);
    for _ in 0..3 {
        let (head, body) = message(&mut client).await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(body == expected);
    }
    assert_eq!((kept(), target.accepted()), (1, 1));
    drop(client);
    let lines = world.end().await;
    assert!(
        lines.iter().all(|line| line.contains(&format!("cause=finished bytes_in=0 bytes_out={MUCH} "))),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 3);
}

#[tokio::test]
async fn long_bodies_both_ways_are_counted_once_and_what_follows_them_is_another_request() {
    let target = Scripted::new(|peer, _| mirror(peer)).await;
    let world = World::http1(Route::to(&[target.address])).await;
    let (mut reading, mut writing) = world.client().await.0.into_split();
    let sizes = [MUCH, 200_001, 64 * 1024, 1, MUCH + 1];
    let sending = tokio::spawn(async move {
        for (seed, size) in (0..).zip(sizes) {
            writing.write_all(post(size).as_bytes()).await.unwrap();
            writing.write_all(&payload(size, seed)).await.unwrap();
        }
        writing
    });
    until(|| world.registry.live() == 1).await;
    let connection = world.connection();
    let mut received = 0;
    for (seed, size) in (0..).zip(sizes) {
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            seen.push(timeout(PATIENCE, reading.read_u8()).await.unwrap().unwrap());
        }
        received += seen.len() + size;
        let mut body = vec![0; size];
        timeout(PATIENCE, reading.read_exact(&mut body)).await.unwrap().unwrap();
        assert!(body == payload(size, seed), "{size}");
    }
    assert!(kept() > 0);
    assert_eq!(target.accepted(), 1);
    let sent: usize = sizes.iter().map(|size| post(*size).len() + size).sum();
    assert_eq!(connection.traffic().bytes_in(), sent as u64);
    assert_eq!(connection.traffic().bytes_out(), received as u64);
    drop((sending.await.unwrap(), reading, connection));
    let lines = world.end().await;
    for (line, size) in lines.iter().zip(sizes) {
        assert!(line.contains(&format!("cause=finished bytes_in={size} bytes_out={size} ")), "{line}");
    }
    assert_eq!(lines.len(), sizes.len());
}

#[tokio::test]
async fn where_there_is_no_pipe_or_no_splice_all_is_copied_and_nothing_is_lost() {
    let faults = [
        (Place::Open, libc::EMFILE),
        (Place::Fill, libc::EINVAL),
        (Place::Fill, libc::ENOSYS),
        (Place::Drain, libc::EINVAL),
        (Place::Drain, libc::EPERM),
    ];
    let target = Scripted::new(|peer, _| mirror(peer)).await;
    let world = World::http1(Route::to(&[target.address])).await;
    for fault in faults {
        set_fault(Some(fault));
        let (mut reading, mut writing) = world.client().await.0.into_split();
        let sent = payload(MUCH, 2);
        let send = async {
            writing.write_all(post(MUCH).as_bytes()).await.unwrap();
            writing.write_all(&sent).await.unwrap();
        };
        let receive = async {
            let mut seen = Vec::new();
            while seen.len() < MUCH || !seen.ends_with(&sent[MUCH - 1000..]) {
                assert!(reading.read_buf(&mut seen).await.unwrap() > 0);
            }
            seen
        };
        let ((), seen) = timeout(PATIENCE, async { tokio::join!(send, receive) }).await.unwrap();
        assert!(seen.ends_with(&sent) && kept() == 0, "{fault:?}");
    }
    set_fault(None);
    let lines = world.end().await;
    assert!(lines.iter().all(|line| line.contains(&format!("bytes_in={MUCH} bytes_out={MUCH} "))), "{lines:?}");
}

#[tokio::test]
async fn bodies_that_say_themselves_where_they_end_are_copied() {
    let target = Scripted::new(|mut peer, _| async move {
        peer.head().await;
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        for _ in 0..10 {
            peer.send(format!("{:x}\r\n", 100_000)).await;
            peer.send(payload(100_000, 3)).await;
            peer.send("\r\n").await;
        }
        peer.send("0\r\n\r\n").await;
        peer.gone().await;
    })
    .await;
    let world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    client.send(GET).await;
    client.head().await;
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n0\r\n\r\n") {
        assert!(client.0.read_buf(&mut seen).await.unwrap() > 0);
    }
    assert_eq!(kept(), 0);
    drop(client);
    let lines = world.end().await;
    assert!(lines[0].contains("bytes_out=1000000 "), "{lines:?}");
}

#[tokio::test]
async fn a_target_that_ends_or_resets_before_its_time_has_broken_the_answer_off() {
    for reset in [false, true] {
        let (_target, mut world) = if reset {
            world(2 * MUCH, |mut peer| async move {
                peer.send(payload(MUCH, 4)).await;
                until(|| crate::net::sys::unsent_bytes(&peer.0).unwrap() == 0).await;
                peer.reset();
            })
            .await
        } else {
            world(2 * MUCH, |mut peer| async move { peer.send(payload(MUCH, 4)).await }).await
        };
        let mut client = world.client().await;
        client.send(GET).await;
        client.head().await;
        let mut seen = Vec::new();
        timeout(PATIENCE, client.0.read_to_end(&mut seen)).await.unwrap().unwrap();
        assert!(payload(MUCH, 4).starts_with(&seen) && (reset || seen.len() == MUCH), "{}", seen.len());
        drop(client);
        assert_eq!(world.outcome().await, serving(Party::Target, Cause::TargetClosed));
        let lines = world.end().await;
        assert!(lines[0].contains("status=200") && lines[0].contains("party=target cause=target_closed"), "{lines:?}");
        assert_eq!(bytes_out(&lines[0]), seen.len() as u64);
    }
    assert_eq!(kept(), 1);
}

#[tokio::test]
async fn what_a_target_says_behind_a_body_is_not_the_clients_and_ends_its_connection() {
    let (target, world) = world(MUCH, |mut peer| async move {
        peer.send(payload(MUCH, 5)).await;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil").await;
        peer.gone().await;
    })
    .await;
    let mut client = world.client().await;
    for accepted in 1..=2 {
        client.send(GET).await;
        let (_, body) = message(&mut client).await;
        assert!(body == payload(MUCH, 5));
        until(|| world.pool().idle() == 0).await;
        assert_eq!(target.accepted(), accepted);
    }
    drop(client);
    assert_eq!(world.end().await.len(), 2);
}

#[tokio::test]
async fn a_target_that_falls_silent_has_its_time() {
    let target = Scripted::new(|mut peer, _| async move {
        peer.head().await;
        peer.send(ok(2 * MUCH)).await;
        peer.send(payload(MUCH, 6)).await;
        peer.gone().await;
    })
    .await;
    let mut route = Route::to(&[target.address]);
    route.timeouts.body = milliseconds(300);
    let mut world = World::http1(route).await;
    let mut client = world.client().await;
    client.send(GET).await;
    client.head().await;
    let mut seen = Vec::new();
    timeout(PATIENCE, client.0.read_to_end(&mut seen)).await.unwrap().unwrap();
    assert!(seen == payload(MUCH, 6));
    drop(client);
    assert_eq!(world.outcome().await, serving(Party::Target, Cause::BodyTimeout));
    let lines = world.end().await;
    assert!(lines[0].contains(&format!("party=target cause=body_timeout bytes_in=0 bytes_out={MUCH} ")), "{lines:?}");
    assert_eq!(kept(), 1);
}

#[tokio::test]
async fn a_target_that_goes_from_large_to_small_pieces_is_copied_again() {
    let (_target, world) = world(MUCH + 5000, |mut peer| async move {
        peer.send(payload(MUCH, 7)).await;
        for _ in 0..50 {
            tokio::time::sleep(milliseconds(2)).await;
            peer.send([b's'; 100]).await;
        }
        peer.gone().await;
    })
    .await;
    let mut client = world.client().await;
    client.send(GET).await;
    let (_, body) = message(&mut client).await;
    assert!(body.starts_with(&payload(MUCH, 7)) && body.ends_with(&[b's'; 5000]));
    drop(client);
    assert_eq!(bytes_out(&world.end().await[0]), (MUCH + 5000) as u64);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_and_its_pipe_is_closed_with_what_is_in_it() {
    let target = Scripted::new(|mut peer, _| async move {
        peer.head().await;
        peer.send(ok(TOO_MUCH)).await;
        endless(peer).await;
    })
    .await;
    let mut route = Route::to(&[target.address]);
    route.settings.body = milliseconds(500);
    let mut world = World::http1(route).await;
    let mut client = world.client().await;
    client.send(GET).await;
    let head = client.head().await.len() as u64;
    let connection = world.connection();
    assert_eq!(world.outcome().await, serving(Party::Client, Cause::BodyTimeout));
    let written = connection.traffic().bytes_out();
    assert_eq!(kept(), 0);
    drop((client, connection));
    let lines = world.end().await;
    assert!(lines[0].contains("party=client cause=body_timeout"), "{lines:?}");
    assert_eq!(bytes_out(&lines[0]), written - head);
}

#[tokio::test]
async fn a_client_that_resets_while_its_answer_waits_in_a_pipe_is_noticed_at_once() {
    let (_target, mut world) = world(TOO_MUCH, endless).await;
    let mut client = world.client().await;
    client.send(GET).await;
    let head = client.head().await.len() as u64;
    let connection = world.connection();
    is_full(&world).await;
    client.reset();
    assert_eq!(world.outcome().await, serving(Party::Client, Cause::Reset));
    let written = connection.traffic().bytes_out();
    until(|| world.pool().standing() == 0).await;
    assert_eq!(kept(), 0);
    drop(connection);
    let lines = world.end().await;
    assert!(lines[0].contains("party=client cause=reset"), "{lines:?}");
    assert_eq!(bytes_out(&lines[0]), written - head);
}

#[tokio::test]
async fn orders_are_heard_while_an_answer_waits_in_a_pipe() {
    for (order, cause) in [(Order::Cut, Cause::Cut), (Order::Kill, Cause::Killed)] {
        let (_target, mut world) = world(TOO_MUCH, endless).await;
        let mut client = world.client().await;
        client.send(GET).await;
        let head = client.head().await.len() as u64;
        let connection = world.connection();
        is_full(&world).await;
        connection.leash().pull(order);
        assert_eq!(world.outcome().await, serving(Party::Operator, cause));
        let written = connection.traffic().bytes_out();
        assert_eq!(kept(), 0);
        drop((client, connection));
        assert_eq!(bytes_out(&world.end().await[0]), written - head);
    }
}

#[tokio::test]
async fn an_answer_in_a_pipe_is_finished_when_its_connection_is_to_leave() {
    let (_target, mut world) = world(TOO_MUCH, |mut peer| async move {
        peer.send(payload(TOO_MUCH, 8)).await;
        peer.gone().await;
    })
    .await;
    let mut client = world.client().await;
    client.send(GET).await;
    client.head().await;
    is_full(&world).await;
    world.connection().leash().pull(Order::Drain);
    let mut seen = Vec::new();
    timeout(PATIENCE, client.0.read_to_end(&mut seen)).await.unwrap().unwrap();
    assert!(seen == payload(TOO_MUCH, 8));
    drop(client);
    assert_eq!(world.outcome().await, serving(Party::Operator, Cause::Drained));
    assert_eq!(kept(), 1);
    assert_eq!(bytes_out(&world.end().await[0]), TOO_MUCH as u64);
}

#[tokio::test]
async fn a_client_that_ends_in_its_long_body_has_closed_early() {
    let target = taker().await;
    let mut world = World::http1(Route::to(&[target.address])).await;
    let mut client = world.client().await;
    client.send(post(2 * MUCH)).await;
    client.send(payload(MUCH, 9)).await;
    client.finish().await;
    client.rest().await;
    drop(client);
    assert_eq!(world.outcome().await, serving(Party::Client, Cause::ClosedEarly));
    let lines = world.end().await;
    assert!(lines[0].contains(&format!("party=client cause=closed_early bytes_in={MUCH} ")), "{lines:?}");
}

#[tokio::test]
async fn a_client_that_stalls_in_its_long_body_is_408() {
    let target = taker().await;
    let mut route = Route::to(&[target.address]);
    route.timeouts.body = milliseconds(300);
    let mut world = World::http1(route).await;
    let mut client = world.client().await;
    client.send(post(2 * MUCH)).await;
    client.send(payload(MUCH, 10)).await;
    assert!(client.message().await.0.starts_with("HTTP/1.1 408"));
    client.finish().await;
    assert_eq!(client.rest().await, "");
    assert_eq!(world.outcome().await, serving(Party::Client, Cause::BodyTimeout));
    let lines = world.end().await;
    assert!(lines[0].contains(&format!("bytes_in={MUCH} ")), "{lines:?}");
}

#[tokio::test]
async fn a_target_that_answers_before_a_long_body_has_come_leaves_nothing_in_a_pipe() {
    let target = Scripted::new(|mut peer, _| async move {
        peer.head().await;
        peer.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno").await;
        peer.gone().await;
    })
    .await;
    let world = World::http1(Route::to(&[target.address])).await;
    let (mut reading, mut writing) = world.client().await.0.into_split();
    let sending = tokio::spawn(async move {
        writing.write_all(post(TOO_MUCH).as_bytes()).await.unwrap();
        let _not_taken = writing.write_all(&payload(TOO_MUCH, 11)).await;
    });
    let mut seen = [0; 12];
    reading.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"HTTP/1.1 413");
    sending.abort();
    let _cancelled = sending.await;
    drop(reading);
    world.end().await;
}
