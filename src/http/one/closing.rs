use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::drain::Leash;
use crate::http::tunnel::Tunnel;
use crate::net::{Ending, Transport};
use crate::outcome::{Cause, Outcome};

/// How much is thrown away at once.
const WASTE_BYTES: usize = 16 * 1024;

/// What a client is told whose request's head does not come.
const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 20\r\ncontent-type: text/plain\r\n\r\n408 Request Timeout\n";

/// How serving a connection has ended.
#[derive(Debug)]
pub(super) enum End {
    /// In order: what had to be said has been.
    Left(Outcome),
    /// An answer broke off in the middle.
    Broken(Outcome),
    /// By us, at once: a time is over, or the leash was pulled.
    Cut(Outcome),
    /// The client's connection is gone.
    Lost(Outcome),
    /// The connection has become a tunnel.
    Tunnel(Box<Tunnel>),
}

/// What the client may make of the end of the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    /// The client may still send what nobody will read.
    pub(super) unread: bool,
    /// Only the end of the connection would have shown the answer's end: a plain FIN would make it look whole.
    pub(super) unframed: bool,
}

/// What came of closing a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// All that could be done.
    Done,
    /// The client has reset it.
    Reset,
}

/// Closes a client's connection as its end asks for, within `linger`.
///
/// What the client still sends is read and thrown away: a socket that is closed with bytes unread sends a reset, which
/// destroys the answer before the client has read it.
pub(super) async fn close<S: Transport>(
    mut stream: S,
    end: &End,
    rest: Rest,
    linger: Duration,
    leash: &Leash,
) -> Closed {
    let closing = async {
        match end {
            End::Lost(_) | End::Tunnel(_) => Ok(()),
            End::Cut(_) => {
                reset(&stream);
                Ok(())
            }
            End::Left(outcome) => {
                let late = matches!(outcome.cause, Cause::RequestHeadTimeout | Cause::RequestHeadSlow);
                if late {
                    stream.write_all(TOO_SLOW).await?;
                }
                finish(&mut stream, Ending::Whole).await?;
                if rest.unread || late { discard(&mut stream).await } else { Ok(()) }
            }
            End::Broken(_) if rest.unframed => {
                reset(&stream);
                Ok(())
            }
            // A TLS client must not take it for whole.
            End::Broken(_) => {
                finish(&mut stream, Ending::Truncated).await?;
                discard(&mut stream).await
            }
        }
    };
    tokio::select! {
        closed = timeout(linger, closing) => match closed {
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => Closed::Reset,
            Ok(Ok(()) | Err(_)) | Err(_) => Closed::Done,
        },
        _ = leash.end() => Closed::Done,
    }
}

fn reset<S: Transport>(stream: &S) {
    // Only a socket that is gone refuses, and then there is nothing to reset.
    let _ = stream.tcp().set_zero_linger();
}

async fn finish<S: Transport>(stream: &mut S, ending: Ending) -> io::Result<()> {
    poll_fn(|context| Pin::new(&mut *stream).poll_finish(context, ending)).await
}

async fn discard<S: Transport>(stream: &mut S) -> io::Result<()> {
    // On the heap: an array here would be a part of every connection's task, and few come to this.
    let mut waste = vec![0; WASTE_BYTES];
    while stream.read(&mut waste).await? > 0 {}
    Ok(())
}
