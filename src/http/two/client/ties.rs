use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use h2::RecvStream;

use crate::http::two::tunnel::StreamTunnel;

/// What a request and the one who answers it on its stream have for each other.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct Ties(Arc<Mutex<Knot>>);

#[derive(Debug, Default)]
struct Knot {
    wanted: bool,
    leftover: Option<RecvStream>,
    tunnel: Option<Box<StreamTunnel>>,
}

impl Ties {
    /// Notes that somebody waits for the request's body.
    pub(super) fn want(&self) {
        self.knot().wanted = true;
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.knot().wanted
    }

    /// Keeps what was not read of the request's body.
    pub(super) fn leave(&self, rest: RecvStream) {
        self.knot().leftover = Some(rest);
    }

    pub(super) fn take_leftover(&self) -> Option<RecvStream> {
        self.knot().leftover.take()
    }

    /// Keeps what the stream becomes when its answer has been sent.
    pub(in crate::http) fn set_tunnel(&self, tunnel: StreamTunnel) {
        self.knot().tunnel = Some(Box::new(tunnel));
    }

    pub(super) fn take_tunnel(&self) -> Option<Box<StreamTunnel>> {
        self.knot().tunnel.take()
    }

    fn knot(&self) -> MutexGuard<'_, Knot> {
        // Each change is whole before the next can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
