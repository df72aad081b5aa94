use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

use super::activity::Activity;
use super::rate;
use super::serve::Settings;
use super::watched::{Notebook, Standing};
use crate::connection::Connection;
use crate::drain::Order;
use crate::outcome::{Cause, Outcome, Party, Phase};

/// Drives one HTTP/2 client connection: polls hyper, hears the leash, and keeps the times.
#[derive(Debug)]
pub(super) struct Driver<'a> {
    settings: &'a Settings,
    connection: Arc<Connection>,
    activity: Arc<Activity>,
    notebook: Arc<Notebook>,
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
        connection: &Arc<Connection>,
        activity: &Arc<Activity>,
        notebook: &Arc<Notebook>,
    ) -> Self {
        // A lifetime that no clock can reach is none.
        let opened = Instant::from_std(connection.opened());
        let expires = settings.max_lifetime.and_then(|lifetime| opened.checked_add(lifetime));
        Self {
            settings,
            connection: Arc::clone(connection),
            activity: Arc::clone(activity),
            notebook: Arc::clone(notebook),
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
        let standing = self.notebook.standing();
        let waiting = self.waiting(now, standing);
        let waiting = match standing.head {
            Some(head) => {
                let (patience, cause) =
                    rate::head_patience(self.settings.request_head, self.settings.min_rate, head.come);
                let late =
                    Deadline { at: head.since + patience, then: Then::Cut, outcome: serving(Party::Client, cause) };
                Some(waiting.filter(|waiting| waiting.at <= late.at).unwrap_or(late))
            }
            None => waiting,
        };
        let Some(at) = self.expires else { return waiting };
        let lifetime = Deadline { at, then: Then::Cut, outcome: serving(Party::Proxy, Cause::LifetimeReached) };
        Some(waiting.filter(|deadline| deadline.at <= at).unwrap_or(lifetime))
    }

    /// The time of what is being waited for, if anything is.
    fn waiting(&mut self, now: Instant, standing: Standing) -> Option<Deadline> {
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
            // The client is to read GOAWAY and to close; requests that it sent before that are still served.
            return Some(Deadline { at: idle.max(since) + settings.linger, then: Then::Left, outcome });
        }
        let outcome = serving(Party::Proxy, Cause::KeepAliveTimeout);
        Some(Deadline { at: idle + settings.keep_alive, then: Then::Leave, outcome })
    }

    /// What it means that hyper is done.
    fn done(&self, result: &Result<(), hyper::Error>) -> Outcome {
        let standing = self.notebook.standing();
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
        match (standing.ended, self.activity.live()) {
            (true, 0) => serving(Party::Client, Cause::Finished),
            (true, _) => serving(Party::Client, Cause::ClosedEarly),
            (false, _) => serving(Party::Client, Cause::ProtocolError),
        }
    }
}

const fn serving(party: Party, cause: Cause) -> Outcome {
    Outcome::new(Phase::Serve, party, cause)
}
