use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a target may be silent while requests wait on its connection before it is asked whether it is still there: the
/// shortest time that gRPC has between a client's pings (its proposal A8).
const SILENCE: Duration = Duration::from_secs(10);

/// How long it may take to answer, as with gRPC's clients (A8, `keepalive_timeout`).
const PATIENCE: Duration = Duration::from_secs(20);

/// How long until it is asked again if it says nothing else. gRPC's servers end a connection for a third ping within five
/// minutes without an answer of their own in between (A8).
const REST: Duration = Duration::from_secs(300);

/// Finds out whether a silent target is still there, by PING (RFC 9113 section 6.7).
#[derive(Debug)]
pub(super) struct Pulse {
    heard: Heard,
    pings: PingPong,
    /// What had come when it was last looked at.
    seen: u64,
    /// Nothing has come since then but answers to pings.
    silent_since: Instant,
    /// When it has been asked and has not answered.
    asked: Option<Instant>,
    /// When it has answered in this silence.
    answered: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

/// How many bytes have come from a target.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Arc<AtomicU64>);

/// A target's stream, which counts what comes.
#[derive(Debug)]
pub(super) struct Counted<S> {
    stream: S,
    heard: Heard,
}

impl Heard {
    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Pulse {
    pub(super) fn new(pings: PingPong, heard: Heard) -> Self {
        let now = Instant::now();
        let timer = Box::pin(sleep_until(now + SILENCE));
        Self { seen: heard.count(), heard, pings, silent_since: now, asked: None, answered: None, timer }
    }

    /// Ready when the target does not answer; to be polled by who polls the connection, after it. `waited_for`: somebody waits
    /// for something of it.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, waited_for: bool) -> Poll<()> {
        loop {
            let now = Instant::now();
            let moved = std::mem::replace(&mut self.seen, self.heard.count()) != self.seen;
            if self.asked.is_some() && self.pings.poll_pong(context).is_ready() {
                (self.asked, self.answered) = (None, Some(now));
            } else if moved || !waited_for {
                // Whatever it says, it is there.
                (self.silent_since, self.answered) = (now, None);
                self.asked = self.asked.map(|_| now);
            }
            if !waited_for {
                // Who begins to wait sends something, and so it is polled again.
                return Poll::Pending;
            }
            let over = match (self.asked, self.answered) {
                (Some(asked), _) => asked + PATIENCE,
                (None, Some(answered)) => answered + REST,
                (None, None) => self.silent_since + SILENCE,
            };
            if now < over {
                if self.timer.deadline() != over {
                    self.timer.as_mut().reset(over);
                }
                ready!(self.timer.as_mut().poll(context));
                continue;
            }
            if self.asked.is_some() {
                return Poll::Ready(());
            }
            // One that is refused is on its way already.
            let _on_its_way = self.pings.send_ping(Ping::opaque());
            self.asked = Some(now);
        }
    }
}

impl<S> Counted<S> {
    pub(super) fn new(stream: S, heard: &Heard) -> Self {
        Self { stream, heard: heard.clone() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let count = buffer.filled().len().saturating_sub(before);
        self.heard.0.fetch_add(count as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use bytes::Bytes;
    use h2::SendStream;
    use http::{Request, Response};
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    /// A connection with one stream in progress, polled as `drive` does it; ends when the target does not answer.
    async fn waiting(stream: DuplexStream) {
        let heard = Heard::default();
        let (mut sender, mut connection) = h2::client::handshake(Counted::new(stream, &heard)).await.unwrap();
        let mut pulse = Pulse::new(connection.ping_pong().unwrap(), heard);
        let request = Request::get("http://a.test/").body(()).unwrap();
        let _answer = sender.send_request(request, true).unwrap();
        poll_fn(|context| {
            assert!(Pin::new(&mut connection).poll(context).is_pending());
            pulse.poll(context, true)
        })
        .await;
    }

    /// Takes the connection and its first stream, and answers with a head.
    async fn answering<S: AsyncRead + AsyncWrite + Unpin>(
        stream: S,
    ) -> (h2::server::Connection<S, Bytes>, SendStream<Bytes>) {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
        let stream = respond.send_response(Response::new(()), false).unwrap();
        (connection, stream)
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_that_falls_silent_for_good_is_found_out() {
        let (near, far) = duplex(64 * 1024);
        let begun = Instant::now();
        let target = async {
            // It is not polled any more, and its connection stands.
            let kept = answering(far).await;
            std::future::pending::<()>().await;
            drop(kept);
        };
        tokio::select! {
            () = waiting(near) => {}
            () = target => {}
        }
        assert_eq!(begun.elapsed().as_secs(), (SILENCE + PATIENCE).as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_that_has_nothing_to_say_is_left_alone_for_a_day() {
        let (near, far) = duplex(64 * 1024);
        let target = async {
            let (mut connection, _stream) = answering(far).await;
            // It answers pings, and nothing else.
            let _ended = connection.accept().await;
        };
        tokio::select! {
            () = waiting(near) => panic!("it was there all the time"),
            () = target => panic!("nobody has ended it"),
            () = tokio::time::sleep(Duration::from_secs(86_400)) => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pings_are_as_rare_as_grpcs_servers_demand() {
        let (near, far) = duplex(64 * 1024);
        let heard = Heard::default();
        let target = async {
            let (mut connection, _stream) = answering(Counted::new(far, &heard)).await;
            let _ended = connection.accept().await;
        };
        let looked = async {
            let mut pings = Vec::new();
            for _ in 0..4 {
                let before = heard.count();
                while heard.count() == before {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                pings.push(heard.count());
            }
            Instant::now()
        };
        let begun = Instant::now();
        let after = tokio::select! {
            () = waiting(near) => panic!("it was there all the time"),
            () = target => panic!("nobody has ended it"),
            after = looked => after,
        };
        // The settings and the request, and then a ping after the first silence and two after a rest each.
        assert!(after - begun >= SILENCE + REST + REST, "{:?}", after - begun);
    }
}
