//! Streams that a target refuses or breaks off, and those that a client does.

use std::future::poll_fn;

use h2::Reason;

use super::super::two::REPLAY_MAX;
use super::http2::{Client, text};
use super::http2_target::{Asked, accept, chunked, get, serve, to};
use super::world::{Peer, Scripted, World, until};
use crate::outcome::Cause;

/// The client's side of the connection preface (RFC 9113 section 3.4).
const PREFACE: usize = 24;

/// An empty SETTINGS frame, and one that acknowledges.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// GOAWAY with last stream 0 and NO_ERROR.
const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

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
async fn a_body_of_what_is_kept_at_most_is_sent_again_and_one_byte_more_is_not() {
    for (length, again) in [(REPLAY_MAX, true), (REPLAY_MAX + 1, false)] {
        let target = Scripted::new(move |peer, number| async move {
            if number > 0 {
                return serve(accept(peer).await, Asked::echo).await;
            }
            serve(accept(peer).await, move |mut asked| async move {
                let mut read = 0;
                while read < length {
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
        client.send(format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n")).await;
        client.send(vec![b'x'; length]).await;
        let head = client.head().await;
        if again {
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            assert!(chunked(&mut client).await.ends_with(&"x".repeat(length)));
        } else {
            assert!(head.starts_with("HTTP/1.1 502"), "{head}");
        }
        assert_eq!(target.accepted(), if again { 2 } else { 1 });
        drop(client);
        assert_eq!(world.cause().await, if again { Cause::Finished } else { Cause::Reset });
        world.end().await;
    }
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
