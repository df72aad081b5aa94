use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;
use http_body::{Body, Frame};

use crate::http::one::Broken;
use crate::http::request_body::RequestBody;

/// What of a body is kept until its answer comes, so that it can be sent again where the target has refused its stream.
pub(in crate::http) const REPLAY_MAX: usize = 64 * 1024;

/// The body of a request on its way to a stream.
#[derive(Debug)]
pub(super) struct Outgoing {
    body: RequestBody,
    stream: SendStream<Bytes>,
    /// Waits for the target's window.
    waiting: Bytes,
    /// What the body has given, as long as all of it is here.
    kept: Option<Kept>,
    /// All of it has gone, or nobody wants the rest.
    done: bool,
}

#[derive(Debug, Default)]
struct Kept {
    data: Vec<Bytes>,
    bytes: usize,
    trailers: Option<HeaderMap>,
}

impl Outgoing {
    /// `sent` if the head was all there is.
    pub(super) fn new(body: RequestBody, stream: SendStream<Bytes>, sent: bool) -> Self {
        Self { body, stream, waiting: Bytes::new(), kept: Some(Kept::default()), done: sent }
    }

    /// The stream, if it is to be a tunnel.
    pub(super) fn into_stream(self) -> SendStream<Bytes> {
        self.stream
    }

    /// The answer has come: it will not be sent again, and may take as long as the answer.
    pub(super) fn settle(&mut self) {
        self.kept = None;
        self.body.be_patient();
    }

    /// The body as it was, if all that was taken of it is still here.
    pub(super) fn into_body(self) -> Option<RequestBody> {
        let Self { mut body, kept, .. } = self;
        let Kept { data, bytes: _, trailers } = kept?;
        body.put_back(data.into_iter().map(Frame::data).chain(trailers.map(Frame::trailers)));
        Some(body)
    }

    /// Sends what can be sent; ready when there is no more to do. A target that takes no more of it says in its answer what
    /// that means.
    ///
    /// # Errors
    /// The body has failed; its stream has been reset.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while !self.done {
            if self.stream.poll_reset(context).is_ready() {
                self.done = true;
                break;
            }
            if !self.waiting.is_empty() {
                ready!(self.poll_send(context));
                continue;
            }
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                None => self.finish(Bytes::new()),
                Some(Ok(frame)) => self.take(frame),
                Some(Err(error)) => {
                    tracing::debug!(%error, "a request's body has failed");
                    self.done = true;
                    self.kept = None;
                    self.stream.send_reset(Reason::CANCEL);
                    return Poll::Ready(Err(Broken::Request));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(data) => {
                self.keep(data.len(), |kept| kept.data.push(data.clone()));
                self.waiting = data;
                if self.waiting.is_empty() && self.body.is_end_stream() {
                    self.finish(Bytes::new());
                }
            }
            Err(frame) => {
                let Ok(trailers) = frame.into_trailers() else { return };
                self.keep(0, |kept| kept.trailers = Some(trailers.clone()));
                self.done = true;
                self.deaf_if(|stream| stream.send_trailers(trailers));
            }
        }
    }

    /// Sends of what waits as much as the target's window has room for.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // Asked for when there is something to send: what is reserved is taken from the connection's other streams.
        self.stream.reserve_capacity(self.waiting.len());
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(context)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => {
                    self.done = true;
                    return Poll::Ready(());
                }
            }
        }
        let count = self.stream.capacity().min(self.waiting.len());
        let data = self.waiting.split_to(count);
        if self.waiting.is_empty() && self.body.is_end_stream() {
            self.finish(data);
        } else {
            self.deaf_if(|stream| stream.send_data(data, false));
        }
        Poll::Ready(())
    }

    fn finish(&mut self, data: Bytes) {
        self.done = true;
        self.deaf_if(|stream| stream.send_data(data, true));
    }

    fn deaf_if(&mut self, send: impl FnOnce(&mut SendStream<Bytes>) -> Result<(), h2::Error>) {
        if let Err(error) = send(&mut self.stream) {
            tracing::debug!(%error, "a target takes no more of a request");
            self.done = true;
        }
    }

    fn keep(&mut self, bytes: usize, keep: impl FnOnce(&mut Kept)) {
        let Some(kept) = &mut self.kept else { return };
        kept.bytes = kept.bytes.saturating_add(bytes);
        if kept.bytes > REPLAY_MAX {
            self.kept = None;
        } else {
            keep(kept);
        }
    }
}
