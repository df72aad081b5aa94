use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use h2::SendStream;

use super::wire::Wire;
use crate::http::body::Body;
use crate::http::exchange::Progress;

/// What a stream's answer has come to, and how much of it the client's socket has. Whoever has it, forgets it in the end.
#[derive(Clone, Debug)]
pub(super) struct Account {
    number: u32,
    progress: Arc<Progress>,
}

impl Account {
    /// Of a stream whose answer's body is going to be sent.
    pub(super) fn open<S>(stream: &SendStream<Bytes>, progress: &Arc<Progress>, wire: &Wire<S>) -> Self {
        let number = stream.stream_id().as_u32();
        wire.follow(number);
        Self { number, progress: Arc::clone(progress) }
    }

    fn missing<S>(&self, wire: &Wire<S>) -> u64 {
        self.progress.bytes_out().saturating_sub(wire.delivered(self.number))
    }

    /// Nothing more will be sent: notes what has not reached the client.
    pub(super) fn settle<S>(self, wire: &Wire<S>) {
        self.progress.set_unsent(self.missing(wire));
        wire.forget(self.number);
    }
}

/// An answer that nothing more is added to, and that may not have left yet: its request ends when it has.
#[derive(Debug)]
pub(super) struct Ended {
    account: Account,
    /// Carries the request's exchange.
    body: Body,
    /// What it waits for; none if the stream is over, whatever has left.
    stream: Option<SendStream<Bytes>>,
}

impl Ended {
    /// All of it is with the h2 crate.
    pub(super) fn whole(body: Body, stream: SendStream<Bytes>, account: Account) -> Self {
        Self { account, body, stream: Some(stream) }
    }

    /// It has broken off, and its stream is over.
    pub(super) fn broken(body: Body, account: Account) -> Self {
        Self { account, body, stream: None }
    }

    /// Whether it has left, or never will.
    pub(super) fn is_over<S>(&mut self, wire: &Wire<S>) -> bool {
        // Nobody need be woken by a reset: it is looked for whenever something has been sent.
        let mut context = Context::from_waker(Waker::noop());
        self.account.missing(wire) == 0
            || self.stream.as_mut().is_none_or(|stream| stream.poll_reset(&mut context).is_ready())
    }

    /// Ends the request.
    pub(super) fn end<S>(self, wire: &Wire<S>) {
        self.account.settle(wire);
        drop(self.body);
    }
}
