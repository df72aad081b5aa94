use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use http::uri::Scheme;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::pulse::{Counted, Heard, Pulse};
use crate::http::pool::{RESPONSE_HEAD_MAX, Standing};
use crate::upstream::{InFlight, Stream, Target};

/// What a target may send on one stream before its client has taken it.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// What a target may send on all streams of a connection (RFC 9113 section 6.9.1: the most there is). The streams' own
/// windows are the limit: with a smaller one here a few clients that do not read would stop all others.
const CONNECTION_WINDOW_BYTES: u32 = (1 << 31) - 1;

/// What a stream may hold that its target has not taken.
const SEND_BUFFER_BYTES: usize = 256 * 1024;

/// Stands for "the target has not said it yet"; a setting has 32 bits.
const UNTOLD: usize = usize::MAX - 1;

/// How long a target may take to let a connection end on which nothing is in progress any more.
const PARTING: Duration = Duration::from_secs(1);

/// An HTTP/2 connection to a target.
#[derive(Debug)]
pub(in crate::http) struct Mux {
    target: Arc<Target>,
    scheme: Scheme,
    state: Mutex<State>,
    /// Told when the connection is retired and no stream is in progress on it.
    quiet: Notify,
}

#[derive(Debug)]
struct State {
    /// None when it takes no more requests.
    sender: Option<SendRequest<Bytes>>,
    streams: usize,
    /// It has had a stream.
    used: bool,
    /// The target no longer answers, and the connection is given up.
    silent: bool,
    /// When it has been idle for too long; counts while it has no stream.
    expires: Instant,
}

/// Why there is no HTTP/2 with a target on a connection that stands.
#[derive(Debug, thiserror::Error)]
pub(in crate::http) enum Unopened {
    /// It has closed it.
    #[error("the target has closed the connection before its HTTP/2 settings came")]
    Closed(#[source] Option<h2::Error>),
    /// What it says is no HTTP/2.
    #[error("the target does not answer in HTTP/2; is upstream_protocol right?")]
    NotHttp2(#[source] h2::Error),
    /// It says nothing.
    #[error("the target has not sent its HTTP/2 settings within timeouts.connect")]
    Timeout,
}

/// What a connection has for a request.
#[derive(Debug)]
pub(in crate::http) enum Place {
    Free(Slot),
    /// As many streams are in progress as the target allows.
    Full,
    /// It takes no more requests, ever.
    Gone,
}

/// The place of one stream on a connection.
#[derive(Debug)]
pub(in crate::http) struct Slot {
    mux: Arc<Mux>,
    pub(super) sender: SendRequest<Bytes>,
    reused: bool,
    keep: Duration,
    _in_flight: InFlight,
}

impl Mux {
    /// Begins HTTP/2 with a target: ready when its settings have come, so that no request is sent to a target that speaks
    /// something else, nor more of them at once than it allows.
    ///
    /// # Errors
    /// See [`Unopened`].
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub(in crate::http) async fn open(
        stream: Stream,
        target: Arc<Target>,
        standing: Standing,
        patience: Duration,
    ) -> Result<Arc<Self>, Unopened> {
        let scheme = if stream.agreed().is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let begin = async {
            let heard = Heard::default();
            let stream = Counted::new(stream, &heard);
            let (sender, mut connection) = builder().handshake::<_, Bytes>(stream).await.map_err(Unopened::of)?;
            poll_fn(|context| settled(&mut connection, context)).await?;
            let pulse = connection.ping_pong().map(|pings| Pulse::new(pings, heard));
            Ok((sender, connection, pulse))
        };
        let (sender, connection, pulse) = timeout(patience, begin).await.map_err(|_elapsed| Unopened::Timeout)??;
        let state =
            State { sender: Some(sender), streams: 0, used: false, silent: false, expires: Instant::now() + PARTING };
        let mux = Arc::new(Self { target, scheme, state: Mutex::new(state), quiet: Notify::new() });
        tokio::spawn(drive(Arc::clone(&mux), connection, pulse, standing));
        Ok(mux)
    }

    pub(in crate::http) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    pub(super) fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Takes a place for a stream. When the last is given back the connection may be idle for `keep`.
    pub(in crate::http) fn enter(self: &Arc<Self>, keep: Duration) -> Place {
        let mut state = self.state();
        let Some(sender) = &mut state.sender else { return Place::Gone };
        // An error is GOAWAY, or the end: who is in it may finish.
        if let Poll::Ready(Err(_)) = sender.poll_ready(&mut Context::from_waker(Waker::noop())) {
            drop(state);
            self.retire();
            return Place::Gone;
        }
        let (sender, limit) = (sender.clone(), sender.current_max_send_streams());
        if state.streams >= limit {
            return Place::Full;
        }
        state.streams = state.streams.saturating_add(1);
        let reused = std::mem::replace(&mut state.used, true);
        drop(state);
        let in_flight = InFlight::new(&self.target);
        Place::Free(Slot { mux: Arc::clone(self), sender, reused, keep, _in_flight: in_flight })
    }

    /// Takes no more requests; those in progress go on, and then it is closed.
    pub(in crate::http) fn retire(&self) {
        let mut state = self.state();
        let sender = state.sender.take();
        let quiet = state.streams == 0;
        drop(state);
        // Outside of the lock: the library has one of its own.
        drop(sender);
        if quiet {
            self.quiet.notify_one();
        }
    }

    /// Whether it waits for requests.
    pub(in crate::http) fn is_idle(&self) -> bool {
        let state = self.state();
        state.sender.is_some() && state.streams == 0
    }

    /// Whether it is of no more use: it takes no more requests, or has had none for too long.
    pub(in crate::http) fn is_over(&self, now: Instant) -> bool {
        let state = self.state();
        state.sender.is_none() || (state.streams == 0 && state.expires <= now)
    }

    /// Whether the target has not answered when it was asked whether it is there.
    pub(super) fn is_silent(&self) -> bool {
        self.state().silent
    }

    fn is_waited_for(&self) -> bool {
        self.state().streams > 0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whole whatever panicked beside it: each change is one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    pub(in crate::http) fn mux(&self) -> &Arc<Mux> {
        &self.mux
    }

    /// Whether the target takes extended `CONNECT` (RFC 8441 section 3).
    pub(in crate::http) fn takes_websockets(&self) -> bool {
        self.sender.is_extended_connect_protocol_enabled()
    }

    /// Whether the connection has served another request before.
    pub(in crate::http) fn is_reused(&self) -> bool {
        self.reused
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.mux.state();
        state.streams = state.streams.saturating_sub(1);
        if state.streams == 0 {
            let now = Instant::now();
            state.expires = now.checked_add(self.keep).unwrap_or(now);
        }
        let quiet = state.streams == 0 && state.sender.is_none();
        drop(state);
        if quiet {
            self.mux.quiet.notify_one();
        }
    }
}

impl Unopened {
    fn of(error: h2::Error) -> Self {
        if error.is_library() { Self::NotHttp2(error) } else { Self::Closed(Some(error)) }
    }
}

fn builder() -> h2::client::Builder {
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_header_list_size(u32::try_from(RESPONSE_HEAD_MAX).unwrap_or(u32::MAX))
        .initial_max_send_streams(UNTOLD)
        .enable_push(false);
    builder
}

fn settled(
    connection: &mut Connection<Counted<Stream>, Bytes>,
    context: &mut Context<'_>,
) -> Poll<Result<(), Unopened>> {
    match Pin::new(&mut *connection).poll(context) {
        Poll::Ready(Ok(())) => Poll::Ready(Err(Unopened::Closed(None))),
        Poll::Ready(Err(error)) => Poll::Ready(Err(Unopened::of(error))),
        Poll::Pending if connection.max_concurrent_send_streams() == UNTOLD => Poll::Pending,
        Poll::Pending => Poll::Ready(Ok(())),
    }
}

/// Moves the connection's frames until it is over, or its target gives no sign of life.
async fn drive(
    mux: Arc<Mux>,
    connection: Connection<Counted<Stream>, Bytes>,
    mut pulse: Option<Pulse>,
    standing: Standing,
) {
    let mut connection = std::pin::pin!(connection);
    let ended = {
        let mut moving = poll_fn(|context| {
            if let Poll::Ready(ended) = connection.as_mut().poll(context) {
                return Poll::Ready(Some(ended));
            }
            let Some(pulse) = &mut pulse else { return Poll::Pending };
            ready!(pulse.poll(context, mux.is_waited_for()));
            Poll::Ready(None)
        });
        tokio::select! {
            biased;
            ended = &mut moving => Some(ended),
            () = mux.quiet.notified() => timeout(PARTING, moving).await.ok(),
        }
    };
    match ended {
        Some(Some(Err(error))) => {
            tracing::debug!(%error, target = %mux.target.label(), "an HTTP/2 connection to a target has failed");
        }
        Some(None) => {
            tracing::debug!(target = %mux.target.label(), "a target does not answer a PING, and its connection is given up");
            mux.state().silent = true;
        }
        Some(Some(Ok(()))) | None => {}
    }
    mux.retire();
    // The streams that are left hear of it when the connection is dropped.
    drop(standing);
}
