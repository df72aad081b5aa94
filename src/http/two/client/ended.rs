use std::sync::Arc;

use bytes::Bytes;
use h2::SendStream;

use super::sending::Sending;
use super::wire::Wire;
use crate::http::progress::Progress;

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
    /// Carries the request's exchange, and is boxed already.
    sending: Box<Sending>,
    /// The stream is not over, and the rest may still leave.
    awaited: bool,
}

impl Ended {
    /// All of it is with the h2 crate.
    pub(super) fn whole(sending: Box<Sending>, account: Account) -> Self {
        Self { account, sending, awaited: true }
    }

    /// It has broken off, and its stream is over.
    pub(super) fn broken(sending: Box<Sending>, account: Account) -> Self {
        Self { account, sending, awaited: false }
    }

    /// Whether it has left, or never will.
    pub(super) fn is_over<S>(&mut self, wire: &Wire<S>) -> bool {
        self.account.missing(wire) == 0 || !self.awaited || self.sending.is_reset()
    }

    /// Ends the request.
    pub(super) fn end<S>(self, wire: &Wire<S>) {
        self.account.settle(wire);
        drop(self.sending);
    }
}
