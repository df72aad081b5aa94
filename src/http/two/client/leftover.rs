use std::task::{Context, Poll};
use std::time::Duration;

use h2::RecvStream;

use super::intake::release;
use super::ties::Ties;
use crate::http::incoming::DISCARDED_MAX;
use crate::http::stall::Stall;

/// What nobody has read of a request's body: it is read and thrown away, up to a limit, from the moment that the answer is
/// there.
///
/// A stream whose body is dropped is reset, and some clients (curl 7.88) then take no notice of the answer.
#[derive(Debug)]
pub(super) struct Leftover {
    stream: Option<RecvStream>,
    left: u64,
    stall: Stall,
}

impl Leftover {
    /// None yet. A client that sends nothing of it for `patience` is not waited for.
    pub(super) const fn new(patience: Duration) -> Self {
        Self { stream: None, left: DISCARDED_MAX, stall: Stall::new(patience) }
    }

    /// Throws away what is there.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, ties: &Ties) {
        if let Some(stream) = ties.take_leftover() {
            self.stream = Some(stream);
        }
        while let Some(stream) = &mut self.stream {
            let Poll::Ready(data) = stream.poll_data(context) else { return };
            let length = match data {
                Some(Ok(data)) => data.len(),
                Some(Err(_)) | None => {
                    self.stream = None;
                    return;
                }
            };
            self.stall.reset();
            match self.left.checked_sub(length as u64) {
                Some(left) => self.left = left,
                None => self.stream = None,
            }
            release(self.stream.as_mut(), length);
        }
    }

    /// Ready when all of it has come, or no more is waited for.
    pub(super) fn poll_to_end(&mut self, context: &mut Context<'_>, ties: &Ties) -> Poll<()> {
        self.poll(context, ties);
        if self.stream.is_none() { Poll::Ready(()) } else { self.stall.poll(context) }
    }
}
