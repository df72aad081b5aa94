use std::fmt;

use crate::harness::{PATIENCE, Peer, Refusing, Target, Unanswering};

/// What a route's target is.
pub(super) enum Upstream {
    Target(Target),
    Refusing(Refusing),
    Unanswering(Unanswering),
    At(&'static str),
}

impl fmt::Display for Upstream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target(target) => target.address.fmt(formatter),
            Self::Refusing(refusing) => refusing.address.fmt(formatter),
            Self::Unanswering(unanswering) => unanswering.address.fmt(formatter),
            Self::At(address) => formatter.write_str(address),
        }
    }
}

pub(super) fn echo() -> Upstream {
    Upstream::Target(Target::echo())
}

pub(super) fn http() -> Upstream {
    Upstream::Target(Target::http("target"))
}

pub(super) fn serving(serve: fn(Peer)) -> Upstream {
    Upstream::Target(Target::serving(serve))
}

/// A target that hears everything and says nothing.
pub(super) fn silent() -> Upstream {
    serving(|mut peer| drop(peer.rest()))
}

/// A target that lets its client finish, says nothing itself.
pub(super) fn silent_after_end() -> Upstream {
    serving(|mut peer| {
        peer.rest();
        // Held open for longer than the test lasts; nothing waits for this thread.
        std::thread::park_timeout(PATIENCE);
        drop(peer);
    })
}
