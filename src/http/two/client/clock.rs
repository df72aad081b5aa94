use tokio::time::Instant;

use super::wire::Wire;
use crate::connection::Connection;
use crate::http::serve::Settings;
use crate::http::unacknowledged::Due;
use crate::net::Transport;
use crate::outcome::{Cause, Outcome, Party, Phase};

/// The times of one connection.
#[derive(Debug)]
pub(super) struct Clock<'a> {
    settings: &'a Settings,
    /// When the connection's lifetime ends.
    expires: Option<Instant>,
    /// No request has been in progress since then.
    idle_since: Option<Instant>,
    /// The connection is being ended in order, for this reason, since then.
    leaving: Option<(Outcome, Instant)>,
}

/// A time that runs, and what to do when it is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    pub(super) then: Then,
    pub(super) outcome: Outcome,
}

/// What a connection is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    /// A request is in progress, or its answer has not left.
    pub(super) live: bool,
    /// A request is in progress.
    pub(super) busy: bool,
    /// What the client does not take is of tunnels only, which have times of their own and no rate.
    pub(super) tunnels: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// See whether the client has taken something.
    Look,
    /// Tell the client that the connection ends, and let it end.
    Leave,
    /// Close.
    Left,
    /// Break off.
    Cut,
}

impl<'a> Clock<'a> {
    pub(super) fn new(settings: &'a Settings, connection: &Connection) -> Self {
        // A lifetime that no clock can reach is none.
        let opened = Instant::from_std(connection.opened());
        let expires = settings.max_lifetime.and_then(|lifetime| opened.checked_add(lifetime));
        Self { settings, expires, idle_since: None, leaving: None }
    }

    /// Notes that the connection is being ended; gives whether that is new.
    pub(super) fn leave(&mut self, outcome: Outcome) -> bool {
        let new = self.leaving.is_none();
        if new {
            self.leaving = Some((outcome, Instant::now()));
        }
        new
    }

    /// Why the connection is being ended, if it is.
    pub(super) fn leaving(&self) -> Option<Outcome> {
        self.leaving.map(|(outcome, _)| outcome)
    }

    /// The time that runs now, if one does: what is waited for, or the connection's lifetime if that ends before.
    pub(super) fn deadline<S: Transport>(&mut self, now: Instant, wire: &Wire<S>, work: Work) -> Option<Deadline> {
        let late = |(at, cause)| Deadline { at, then: Then::Cut, outcome: serving(Party::Client, cause) };
        let head = wire.head_over(self.settings.request_head, now).map(late);
        let slow = wire.slow_at(now, work.live && !work.tunnels).map(|at| late((at, Cause::ResponseSlow)));
        let waiting = self.waiting(now, wire, work);
        let waiting = waiting.into_iter().chain(head).chain(slow).min_by_key(|deadline| deadline.at);
        let Some(at) = self.expires else { return waiting };
        let lifetime = Deadline { at, then: Then::Cut, outcome: serving(Party::Proxy, Cause::LifetimeReached) };
        Some(waiting.filter(|deadline| deadline.at <= at).unwrap_or(lifetime))
    }

    /// The time of what is being waited for, if anything is.
    fn waiting<S: Transport>(&mut self, now: Instant, wire: &Wire<S>, work: Work) -> Option<Deadline> {
        let busy = work.busy;
        self.idle_since = if busy { None } else { Some(*self.idle_since.get_or_insert(now)) };
        let settings = self.settings;
        let (patience, cause) =
            if busy { (settings.body, Cause::BodyTimeout) } else { (settings.linger, Cause::LingerTimeout) };
        if !work.tunnels
            && let Some(due) = wire.due(now, patience)
        {
            let outcome = serving(Party::Client, cause);
            return Some(match due {
                Due::Look(at) => Deadline { at, then: Then::Look, outcome },
                Due::Over(at) => Deadline { at, then: Then::Cut, outcome },
            });
        }
        let idle = self.idle_since?;
        if let Some((outcome, since)) = self.leaving {
            // The client is to read GOAWAY and to close; requests that it sent before that are still served.
            return Some(Deadline { at: idle.max(since) + settings.linger, then: Then::Left, outcome });
        }
        let outcome = serving(Party::Proxy, Cause::KeepAliveTimeout);
        Some(Deadline { at: idle + settings.keep_alive, then: Then::Leave, outcome })
    }
}

const fn serving(party: Party, cause: Cause) -> Outcome {
    Outcome::new(Phase::Serve, party, cause)
}
