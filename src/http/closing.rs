use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::driver::End;
use super::watched::Standing;
use crate::drain::Leash;
use crate::net::{Ending, Transport};
use crate::outcome::{Cause, Outcome};

/// How much is thrown away at once.
const WASTE_BYTES: usize = 16 * 1024;

/// What a client is told whose request's head does not come.
const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 20\r\ncontent-type: text/plain\r\n\r\n408 Request Timeout\n";

/// Closes a client's HTTP/1 connection as its end asks for, within `linger`.
///
/// What the client still sends is read and thrown away: a socket that is closed with bytes unread sends a reset, which
/// destroys the answer before the client has read it.
pub(super) async fn close<S: Transport>(
    mut stream: S,
    end: &End,
    outcome: Outcome,
    standing: Standing,
    unframed: bool,
    linger: Duration,
    leash: &Leash,
) {
    if standing.lost {
        return;
    }
    let closing = async {
        match end {
            End::Cut(_) => reset(&stream),
            End::Left(_) if outcome.cause == Cause::RequestHeadTimeout => {
                if stream.write_all(TOO_SLOW).await.is_ok() {
                    finish(&mut stream, Ending::Whole).await;
                    discard(&mut stream).await;
                }
            }
            End::Left(_) => finish(&mut stream, Ending::Whole).await,
            End::Done(Ok(())) if standing.unread && !standing.ended => discard(&mut stream).await,
            End::Done(Ok(())) => {}
            End::Done(Err(error)) if error.is_user() && unframed => reset(&stream),
            // The answer was broken off in the middle: a TLS client must not take it for whole.
            End::Done(Err(error)) if error.is_user() => {
                finish(&mut stream, Ending::Truncated).await;
                discard(&mut stream).await;
            }
            End::Done(Err(_)) => {
                finish(&mut stream, Ending::Whole).await;
                if !standing.ended {
                    discard(&mut stream).await;
                }
            }
        }
    };
    tokio::select! {
        _ = timeout(linger, closing) => {}
        _ = leash.end() => {}
    }
}

fn reset<S: Transport>(stream: &S) {
    // Only a socket that is gone refuses, and then there is nothing to reset.
    let _ = stream.tcp().set_zero_linger();
}

async fn finish<S: Transport>(stream: &mut S, ending: Ending) {
    let _gone = poll_fn(|context| Pin::new(&mut *stream).poll_finish(context, ending)).await;
}

async fn discard<S: Transport>(stream: &mut S) {
    // On the heap: an array here would be a part of every connection's task, and few come to this.
    let mut waste = vec![0; WASTE_BYTES];
    while stream.read(&mut waste).await.is_ok_and(|count| count > 0) {}
}
