use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

use super::activity::Activity;
use super::serve::{Settings, Version};
use super::watched::{Standing, Wire};
use crate::connection::Connection;
use crate::drain::Order;
use crate::outcome::{Cause, Outcome, Party, Phase};

/// Drives one client connection: polls hyper, hears the leash, and keeps the times.
#[derive(Debug)]
pub(super) struct Driver<'a> {
    settings: &'a Settings,
    version: Version,
    connection: Arc<Connection>,
    activity: Arc<Activity>,
    wire: Arc<Wire>,
    heard: Option<Order>,
    /// When the connection's lifetime ends.
    expires: Option<Instant>,
    /// No request has been in progress since then.
    idle_since: Option<Instant>,
    /// The connection is being ended in order, for this reason, since then.
    leaving: Option<(Outcome, Instant)>,
}

/// What is asked of hyper's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// To go on.
    Poll,
    /// To end after the requests in progress; the result does not count.
    Drain,
}

/// How driving has ended.
#[derive(Debug)]
pub(super) enum End {
    /// By hyper: the connection is over.
    Done(Result<(), hyper::Error>),
    /// By us: no request is in progress, and what remains is to close.
    Left(Outcome),
    /// By us, in the middle: a time is over, or the leash was pulled.
    Cut(Outcome),
}

/// A time that runs, and what to do when it is over.
struct Deadline {
    at: Instant,
    then: Then,
    outcome: Outcome,
}

enum Then {
    /// Tell the client that the connection ends, and let it end.
    Leave,
    /// Close.
    Left,
    /// Break off.
    Cut,
}

impl<'a> Driver<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        version: Version,
        connection: &Arc<Connection>,
        activity: &Arc<Activity>,
        wire: &Arc<Wire>,
    ) -> Self {
        // A lifetime that no clock can reach is none.
        let opened = Instant::from_std(connection.opened());
        let expires = settings.max_lifetime.and_then(|lifetime| opened.checked_add(lifetime));
        Self {
            settings,
            version,
            connection: Arc::clone(connection),
            activity: Arc::clone(activity),
            wire: Arc::clone(wire),
            heard: None,
            expires,
            idle_since: None,
            leaving: None,
        }
    }

    /// Drives until the connection is over or has to be ended.
    pub(super) async fn run(
        &mut self,
        mut hyper: impl FnMut(&mut Context<'_>, Step) -> Poll<Result<(), hyper::Error>>,
    ) -> End {
        let mut timer = pin!(sleep_until(Instant::now() + self.settings.keep_alive));
        poll_fn(|context| self.poll(context, timer.as_mut(), &mut hyper)).await
    }

    /// What the end means.
    pub(super) fn outcome(&self, end: &End) -> Outcome {
        let outcome = match end {
            End::Left(outcome) | End::Cut(outcome) => *outcome,
            End::Done(result) => self.activity.fatal().unwrap_or_else(|| self.done(result)),
        };
        let polite = matches!(outcome.cause, Cause::Finished | Cause::KeepAliveTimeout | Cause::ClosedEarly);
        if polite && !self.activity.answered() { self.connection.failure().unwrap_or(outcome) } else { outcome }
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
        mut timer: Pin<&mut Sleep>,
        hyper: &mut impl FnMut(&mut Context<'_>, Step) -> Poll<Result<(), hyper::Error>>,
    ) -> Poll<End> {
        loop {
            while let Poll::Ready(order) = self.connection.leash().poll_order(context, self.heard) {
                self.heard = Some(order);
                let by_operator = |cause| serving(Party::Operator, cause);
                match order {
                    Order::Drain => {
                        // A request that has come already is read first. hyper would close without a look at it.
                        if let Poll::Ready(result) = hyper(context, Step::Poll) {
                            return Poll::Ready(End::Done(result));
                        }
                        self.leave(by_operator(Cause::Drained), context, hyper);
                    }
                    Order::Cut => return Poll::Ready(End::Cut(by_operator(Cause::Cut))),
                    Order::Kill => return Poll::Ready(End::Cut(by_operator(Cause::Killed))),
                }
            }
            if let Poll::Ready(result) = hyper(context, Step::Poll) {
                return Poll::Ready(End::Done(result));
            }
            if self.leaving.is_none()
                && let Some(outcome) = self.activity.parting()
            {
                self.leave(outcome, context, hyper);
                continue;
            }
            let now = Instant::now();
            let Some(deadline) = self.deadline(now) else { return Poll::Pending };
            if deadline.at <= now {
                match deadline.then {
                    Then::Leave => self.leave(deadline.outcome, context, hyper),
                    Then::Left => return Poll::Ready(End::Left(deadline.outcome)),
                    Then::Cut => return Poll::Ready(End::Cut(deadline.outcome)),
                }
                continue;
            }
            // A deadline that moves away leaves the timer alone: it fires early, once, and is set again here.
            if timer.deadline() > deadline.at || timer.is_elapsed() {
                timer.as_mut().reset(deadline.at);
            }
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn leave(
        &mut self,
        outcome: Outcome,
        context: &mut Context<'_>,
        hyper: &mut impl FnMut(&mut Context<'_>, Step) -> Poll<Result<(), hyper::Error>>,
    ) {
        if self.leaving.is_none() {
            self.leaving = Some((outcome, Instant::now()));
            let _no_result = hyper(context, Step::Drain);
        }
    }

    /// The time that runs now, if one does: what is waited for, or the connection's lifetime if that ends before.
    fn deadline(&mut self, now: Instant) -> Option<Deadline> {
        let waiting = self.waiting(now);
        let Some(at) = self.expires else { return waiting };
        let lifetime = Deadline { at, then: Then::Cut, outcome: serving(Party::Proxy, Cause::LifetimeReached) };
        Some(waiting.filter(|deadline| deadline.at <= at).unwrap_or(lifetime))
    }

    /// The time of what is being waited for, if anything is.
    fn waiting(&mut self, now: Instant) -> Option<Deadline> {
        let standing = self.wire.standing();
        let busy = self.activity.live() > 0;
        let idle_since = if busy { None } else { Some(*self.idle_since.get_or_insert(now)) };
        self.idle_since = idle_since;
        let settings = self.settings;
        if let Some(stalled) = standing.stalled_since {
            let (patience, cause) =
                if busy { (settings.body, Cause::BodyTimeout) } else { (settings.linger, Cause::LingerTimeout) };
            return Some(Deadline { at: stalled + patience, then: Then::Cut, outcome: serving(Party::Client, cause) });
        }
        let idle = idle_since?;
        if let Some((outcome, since)) = self.leaving {
            let at = match self.version {
                // A request that has begun to come is still served, if the rest of its head comes in time.
                Version::Http1 => standing.head_since.map_or(now, |head| head.max(idle) + settings.request_head),
                // The client is to read GOAWAY and to close; requests that it sent before that are still served.
                Version::Http2 => idle.max(since) + settings.linger,
            };
            return Some(Deadline { at, then: Then::Left, outcome });
        }
        if let Some(head) = standing.head_since {
            let at = head.max(idle) + settings.request_head;
            return Some(Deadline { at, then: Then::Left, outcome: serving(Party::Client, Cause::RequestHeadTimeout) });
        }
        let then = match self.version {
            Version::Http1 => Then::Left,
            Version::Http2 => Then::Leave,
        };
        let outcome = serving(Party::Proxy, Cause::KeepAliveTimeout);
        Some(Deadline { at: idle + settings.keep_alive, then, outcome })
    }

    /// What it means that hyper is done.
    fn done(&self, result: &Result<(), hyper::Error>) -> Outcome {
        let standing = self.wire.standing();
        if standing.lost {
            return serving(Party::Client, Cause::Reset);
        }
        match result {
            Ok(()) if self.activity.live() > 0 => serving(Party::Client, Cause::ClosedEarly),
            Ok(()) if let Some((outcome, _)) = self.leaving => outcome,
            // Told to leave before its first byte, the client has not left by itself, whatever hyper makes of it.
            Err(_) if let (Some((outcome, _)), false) = (self.leaving, standing.touched) => outcome,
            _ if !standing.touched => serving(Party::Client, Cause::Empty),
            Ok(()) if standing.ended => serving(Party::Client, Cause::Finished),
            Ok(()) => serving(Party::Proxy, Cause::Finished),
            Err(error) => self.failed(error, standing),
        }
    }

    fn failed(&self, error: &hyper::Error, standing: Standing) -> Outcome {
        tracing::debug!(%error, source = ?std::error::Error::source(error), "serving a client has ended");
        if error.is_parse_too_large() {
            serving(Party::Client, Cause::RequestHeadTooLarge)
        } else if standing.violated || error.is_parse() {
            serving(Party::Client, Cause::RequestMalformed)
        } else if standing.ended {
            let idle = self.activity.live() == 0 && standing.head_since.is_none();
            serving(Party::Client, if idle && !standing.unread { Cause::Finished } else { Cause::ClosedEarly })
        } else {
            match self.version {
                Version::Http1 => serving(Party::Client, Cause::ClosedEarly),
                Version::Http2 => serving(Party::Client, Cause::ProtocolError),
            }
        }
    }
}

const fn serving(party: Party, cause: Cause) -> Outcome {
    Outcome::new(Phase::Serve, party, cause)
}
