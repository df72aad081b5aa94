use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use crate::net::{Ending, Transport};

/// The longest wait for a client to take the refusal and close. Clients close at once on a fatal alert.
pub const REFUSAL_LINGER: Duration = Duration::from_secs(1);

/// How much a refused client may still send before the connection is closed under it, in bytes.
pub const REFUSAL_DISCARD_MAX: usize = 64 * 1024;

/// A reason that a client can be told before there is a handshake (RFC 8446 section 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alert {
    /// Nothing is served under the name that the client asks for.
    UnrecognizedName,
    /// The ClientHello is not well formed.
    DecodeError,
    /// The proxy cannot serve the client, for a reason of its own.
    InternalError,
}

impl Alert {
    const fn description(self) -> u8 {
        match self {
            Self::UnrecognizedName => 112,
            Self::DecodeError => 50,
            Self::InternalError => 80,
        }
    }

    /// The whole record: alert (21), version 1.2 as before every negotiation, two bytes, fatal (2) (RFC 8446 sections 5.1, 6).
    const fn record(self) -> [u8; 7] {
        [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, self.description()]
    }
}

/// Sends a fatal alert to a client that no handshake has begun with, and closes in order.
///
/// Takes [`REFUSAL_LINGER`] at most, and never longer than `deadline`. The client's going away is no error: it is refused.
///
/// # Cancel safety
/// Dropping the future closes the connection; the alert may be lost.
pub async fn refuse<S: Transport>(mut stream: S, alert: Alert, deadline: Instant) {
    let write = async {
        stream.write_all(&alert.record()).await?;
        stream.flush().await
    };
    if let Ok(Ok(())) = timeout_at(deadline, write).await {
        close_in_order(stream, deadline).await;
    }
}

/// Sends FIN and waits for the peer's, throwing away what it still sends.
///
/// Closing a socket while bytes wait in it resets the connection, and a reset takes along what the peer has not read yet,
/// such as an alert that tells it why. Takes [`REFUSAL_LINGER`] at most, never longer than `deadline`, and
/// [`REFUSAL_DISCARD_MAX`] bytes. Give it the stream below a TLS stream, so that nothing is decrypted for nothing.
///
/// # Cancel safety
/// Dropping the future closes the connection.
pub async fn close_in_order<S: Transport>(mut stream: S, deadline: Instant) {
    let until = deadline.min(Instant::now() + REFUSAL_LINGER);
    let close = async {
        poll_fn(|context| Pin::new(&mut stream).poll_finish(context, Ending::Truncated)).await?;
        // On the heap: a buffer held over an await would make every connection's task larger.
        let mut scrap = vec![0; 2048];
        let mut discarded: usize = 0;
        while discarded <= REFUSAL_DISCARD_MAX {
            match stream.read(&mut scrap).await? {
                0 => break,
                count => discarded = discarded.saturating_add(count),
            }
        }
        Ok::<(), std::io::Error>(())
    };
    // However it ends, the connection is over.
    let _ = timeout_at(until, close).await;
}
