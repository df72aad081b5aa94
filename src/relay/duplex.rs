//! Both directions of a relay in one task: what the end of one means for the other, and for the connection.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::net::TcpStream;
use tokio::task::coop::has_budget_remaining;
use tokio::time::{Instant, Sleep};

use super::half::{Event, Half, State, TURN_READS};
use super::patience::{Patience, Rule};
use super::{Limits, Side};
use crate::drain::{Leash, Order};
use crate::net::sys::{self, Peer};
use crate::net::{Ending, Transport, reset_on_close};
use crate::outcome::{Cause, Outcome, Party, Phase};
use crate::telemetry::Traffic;

/// The state of one relay.
pub(super) struct Duplex<'a, C, T, F> {
    client: C,
    target: T,
    /// From the client to the target.
    inward: Half,
    /// From the target to the client.
    outward: Half,
    patience: Patience<'a>,
    /// The time, once it has been asked for in this turn: the clock is not free.
    now: Option<Instant>,
    traffic: &'a Traffic,
    leash: &'a Leash,
    /// The task that the leash and the timer wake, by its waker's address; 0 if one of them has to be told. Both hold the waker,
    /// so that no other task comes to its address.
    woken: usize,
    /// What the leash said when it was asked last.
    heard: Option<Order>,
    on_half_closed: Option<F>,
    /// The side that ended first.
    first: Option<Side>,
    /// The side whose connection was lost first. The other direction is abandoned then, and this side's last bytes are
    /// handed over.
    lost: Option<(Side, Cause)>,
}

impl<'a, C: Transport, T: Transport, F: FnMut(Side)> Duplex<'a, C, T, F> {
    pub(super) fn new(
        mut client: C,
        mut target: T,
        limits: &'a Limits,
        opened: Instant,
        traffic: &'a Traffic,
        leash: &'a Leash,
        on_half_closed: F,
    ) -> Self {
        client.expect_bulk();
        target.expect_bulk();
        Self {
            client,
            target,
            inward: Half::new(),
            outward: Half::new(),
            patience: Patience::new(limits, opened, Instant::now()),
            now: None,
            traffic,
            leash,
            woken: 0,
            heard: None,
            on_half_closed: Some(on_half_closed),
            first: None,
            lost: None,
        }
    }

    fn now(&mut self) -> Instant {
        *self.now.get_or_insert_with(Instant::now)
    }

    /// Ready with the end of the relay. The timer is set back only when it fires, or when it would fire too late.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<Outcome> {
        let order = self.leash.order();
        // A message costs less than a microsecond here, and to tell both again whom they wake is a tenth of it.
        let task = context.waker().data().addr();
        let is_awaited = self.woken == task;
        if (!is_awaited || order != self.heard)
            && let Poll::Ready(order) = self.leash.poll_order(context, Some(Order::Drain))
        {
            match order {
                Order::Drain => {}
                Order::Cut => return Poll::Ready(self.abort(Party::Operator, Cause::Cut)),
                Order::Kill => return Poll::Ready(self.abort(Party::Operator, Cause::Killed)),
            }
        }
        self.heard = order;
        if !is_awaited {
            self.woken = 0;
        }
        loop {
            self.now = None;
            if let Some(outcome) = self.turn(context) {
                return Poll::Ready(outcome);
            }
            if self.wake_at() < timer.deadline() {
                // What the kernel has for the sinks is asked when the timer fires: most connections are over by then.
                let now = self.now();
                self.patience.leave_unasked(now);
                timer.as_mut().reset(self.wake_at());
                self.woken = 0;
            }
            if self.woken == task && self.now.is_some_and(|now| now < timer.deadline()) {
                return Poll::Pending;
            }
            if timer.as_mut().poll(context).is_pending() {
                // A task whose budget is used up is told so in place of an answer, and is polled again.
                if has_budget_remaining() {
                    self.woken = task;
                }
                return Poll::Pending;
            }
            self.woken = 0;
            if let Some(outcome) = self.look(context) {
                return Poll::Ready(outcome);
            }
            timer.as_mut().reset(self.wake_at());
        }
    }

    /// When the timer has to fire next.
    pub(super) fn wake_at(&self) -> Instant {
        self.patience.wake_at(self.rule(), self.inward.is_blocked() || self.outward.is_blocked())
    }

    /// Lets both directions move what they can, within their share of reads.
    fn turn(&mut self, context: &mut Context<'_>) -> Option<Outcome> {
        let mut reads_left = [TURN_READS; 2];
        let mut yielded = false;
        let mut again = true;
        // What happens to one direction can set the other going. Each event but `Yielded` happens once, so this ends.
        while std::mem::take(&mut again) {
            for (from, reads_left) in [Side::Client, Side::Target].into_iter().zip(&mut reads_left) {
                while let Poll::Ready(event) = self.poll_half(from, context, reads_left) {
                    if event == Event::Yielded {
                        yielded = true;
                        break;
                    }
                    self.note(from, event);
                    again = true;
                }
            }
        }
        self.stamp();
        let outcome = self.settled();
        if yielded && outcome.is_none() {
            context.waker().wake_by_ref();
        }
        outcome
    }

    fn poll_half(&mut self, from: Side, context: &mut Context<'_>, reads_left: &mut u32) -> Poll<Event> {
        let traffic = self.traffic;
        let (client, target) = (&mut self.client, &mut self.target);
        let (inward, outward) = (&mut self.inward, &mut self.outward);
        match from {
            Side::Client => {
                let last = outward.state() == State::Finished;
                inward.poll(context, client, target, reads_left, last, |bytes| traffic.add_in(bytes))
            }
            Side::Target => {
                let last = inward.state() == State::Finished;
                outward.poll(context, target, client, reads_left, last, |bytes| traffic.add_out(bytes))
            }
        }
    }

    /// Draws the consequences of what happened to the bytes from this side.
    fn note(&mut self, from: Side, event: Event) {
        match event {
            Event::Yielded | Event::Delivered => {}
            Event::Ended => {
                self.first.get_or_insert(from);
                let now = self.now();
                self.patience.moved(from, now);
            }
            Event::Finished => {
                // The sink's queue has our FIN in it.
                let now = self.now();
                self.patience.begin_ticking(now);
                if let Some(mut tell) = self.on_half_closed.take() {
                    tell(from);
                }
            }
            Event::SourceLost(cause) => self.lose(from, cause),
            Event::SinkLost(cause) => self.lose(from.other(), cause),
            // It had all bytes, and only missed the word that they were all. If it was done too, so is the connection.
            Event::FinishFailed(cause) => {
                if self.half(from.other()).is_running() {
                    self.lose(from.other(), cause);
                }
            }
        }
    }

    /// This side is gone. What it sent before is still to reach the other: a target may answer, and reset the connection
    /// because it does not want the rest of the request; the client has to see that answer.
    fn lose(&mut self, side: Side, cause: Cause) {
        self.half_mut(side.other()).abandon();
        self.half_mut(side).source_is_lost();
        if self.lost.is_none() {
            self.lost = Some((side, cause));
            let now = self.now();
            self.patience.moved(side, now);
            self.patience.begin_ticking(now);
        }
    }

    /// The outcome, if nothing is left to do.
    fn settled(&mut self) -> Option<Outcome> {
        if let Some((side, cause)) = self.lost {
            let done = match self.half(side).state() {
                State::Running { .. } | State::Flushing(_) => false,
                State::Abandoned => true,
                // A reset discards what the kernel has not yet sent, so that has to go first.
                State::Finished | State::Delivered => self.queued(side) == 0,
            };
            return done.then(|| self.hand_over(side, cause));
        }
        let finished = self.inward.state() == State::Finished && self.outward.state() == State::Finished;
        let first = self.first.filter(|_| finished)?;
        Some(Outcome::new(Phase::Relay, first.party(), Cause::Finished))
    }

    fn stamp(&mut self) {
        let (inward, outward) = (self.inward.take_moved(), self.outward.take_moved());
        if inward || outward {
            let now = self.now();
            for (moved, from) in [(inward, Side::Client), (outward, Side::Target)] {
                if moved {
                    self.patience.moved(from, now);
                }
            }
        }
    }

    /// What the connection waits for now.
    fn rule(&self) -> Rule {
        if let Some((from, cause)) = self.lost {
            let delivered = matches!(self.half(from).state(), State::Finished | State::Delivered);
            return Rule::Handover { from, cause, delivered };
        }
        match (self.inward.is_lingering(), self.outward.is_lingering()) {
            (true, true) => Rule::Linger { from: self.patience.stalest() },
            (true, false) => Rule::Linger { from: Side::Client },
            (false, true) => Rule::Linger { from: Side::Target },
            (false, false) if self.inward.is_running() && self.outward.is_running() => Rule::Idle,
            (false, false) => Rule::HalfClosed,
        }
    }

    /// The timer has fired: has any time run out?
    fn look(&mut self, context: &mut Context<'_>) -> Option<Outcome> {
        let now = Instant::now();
        self.now = Some(now);
        let (for_target, for_client) = (self.queued(Side::Client), self.queued(Side::Target));
        self.patience.looked(for_target, for_client, now);
        self.probe();
        let rule = self.rule();
        if self.patience.lifetime_is_over(now) {
            return Some(match self.lost {
                Some((side, cause)) => self.hand_over(side, cause),
                None => self.abort(Party::Proxy, Cause::LifetimeReached),
            });
        }
        self.patience.is_over(rule, now).then(|| match rule {
            Rule::Handover { from, cause, .. } => self.hand_over(from, cause),
            Rule::Idle => self.close(context, Cause::IdleTimeout),
            Rule::HalfClosed => self.close(context, Cause::HalfClosedTimeout),
            Rule::Linger { from } => self.abort(from.other().party(), Cause::LingerTimeout),
        })
    }

    /// A source that is kept waiting is not read, so its end or its reset would show only when its bytes move again.
    fn probe(&mut self) {
        for from in [Side::Client, Side::Target] {
            if self.lost.is_some() || !self.half(from).is_blocked() {
                continue;
            }
            match sys::peer(self.tcp(from)) {
                Ok(Peer::Ended) => self.half_mut(from).source_is_over(),
                Ok(Peer::Lost) => self.lose(from, Cause::Reset),
                Ok(Peer::Open) | Err(_) => {}
            }
        }
    }

    /// What the kernel still has for the sink of the bytes from this side; nothing, if the sink is gone.
    fn queued(&self, from: Side) -> usize {
        let sink = self.tcp(from.other());
        match sys::unsent_bytes(sink) {
            Ok(queued) if queued > 0 && !is_gone(sink) => queued,
            Ok(_) | Err(_) => 0,
        }
    }

    /// Passes the loss of a side on as a reset of the other.
    fn hand_over(&self, lost: Side, cause: Cause) -> Outcome {
        reset_on_close(self.tcp(lost.other()));
        Outcome::new(Phase::Relay, lost.party(), cause)
    }

    /// Ends both sides by a reset.
    fn abort(&self, party: Party, cause: Cause) -> Outcome {
        reset_on_close(self.client.tcp());
        reset_on_close(self.target.tcp());
        Outcome::new(Phase::Relay, party, cause)
    }

    /// Ends both sides in order, without waiting for either: they were silent, so all that was sent has arrived.
    fn close(&mut self, context: &mut Context<'_>, cause: Cause) -> Outcome {
        if self.inward.is_undelivered() || self.outward.is_undelivered() {
            return self.abort(Party::Proxy, cause);
        }
        // Best effort: a close_notify that the socket does not take at once is not sent.
        if self.outward.state() != State::Finished {
            let _ = Pin::new(&mut self.client).poll_finish(context, Ending::Whole);
        }
        if self.inward.state() != State::Finished {
            let _ = Pin::new(&mut self.target).poll_finish(context, Ending::Whole);
        }
        Outcome::new(Phase::Relay, Party::Proxy, cause)
    }

    fn tcp(&self, side: Side) -> &TcpStream {
        match side {
            Side::Client => self.client.tcp(),
            Side::Target => self.target.tcp(),
        }
    }

    fn half(&self, from: Side) -> &Half {
        match from {
            Side::Client => &self.inward,
            Side::Target => &self.outward,
        }
    }

    fn half_mut(&mut self, from: Side) -> &mut Half {
        match from {
            Side::Client => &mut self.inward,
            Side::Target => &mut self.outward,
        }
    }
}

/// Whether the kernel has given the connection up: a reset leaves a socket without a peer (ENOTCONN, getpeername(2)).
fn is_gone(socket: &TcpStream) -> bool {
    socket.peer_addr().is_err()
}
