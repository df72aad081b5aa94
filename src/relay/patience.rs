//! How long a relay waits, and for what. Knows no clock and no socket: it is handed the time.

use std::time::Duration;

use tokio::time::Instant;

use super::{Limits, Side};
use crate::outcome::Cause;

/// The first wait for the kernel to send a lost side's last bytes. Each further one is twice as long, up to [`TICK_LONGEST`]:
/// the queue of a peer that reads is empty within a round trip, and nothing but a timer tells when.
const TICK_FIRST: Duration = Duration::from_millis(5);

/// The longest such wait: how late a reset may be passed on.
const TICK_LONGEST: Duration = Duration::from_millis(80);

/// The shortest time between two looks whether a source that is kept waiting is still there, should `linger` be shorter.
const PROBE_SHORTEST: Duration = Duration::from_secs(1);

/// Stands for a time that is beyond what the clock can hold; a timer that fires before its time changes nothing.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// A byte in either direction.
    Idle,
    /// A byte of the side that has not finished.
    HalfClosed,
    /// The last bytes of `from`, which has ended, to move on.
    Linger { from: Side },
    /// The same of a side that was lost to this cause; `delivered` once only the kernel has some.
    Handover { from: Side, cause: Cause, delivered: bool },
}

/// The marks of progress of one relay.
#[derive(Debug)]
pub(super) struct Patience<'a> {
    limits: &'a Limits,
    opened: Instant,
    looked: Instant,
    tick: Duration,
    from_client: Mark,
    from_target: Mark,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    progress: Instant,
    /// What the kernel still had for the sink when it was asked last.
    queued: usize,
}

impl<'a> Patience<'a> {
    pub(super) fn new(limits: &'a Limits, opened: Instant, now: Instant) -> Self {
        let mark = Mark { progress: now, queued: 0 };
        Self { limits, opened, looked: now, tick: TICK_FIRST, from_client: mark, from_target: mark }
    }

    /// Bytes from this side have moved.
    pub(super) fn moved(&mut self, from: Side, now: Instant) {
        self.mark_mut(from).progress = now;
    }

    /// The kernel has `queued` bytes for the sink of this direction that its peer has not acknowledged.
    ///
    /// A change since the last look is progress, and the only that shows while a slow peer empties a queue that is too full
    /// to take more of ours: at 100 kB/s, a queue of 4 MiB makes no room for half a minute.
    pub(super) fn queued(&mut self, from: Side, queued: usize, now: Instant) {
        let mark = self.mark_mut(from);
        if mark.queued != queued {
            *mark = Mark { progress: now, queued };
        }
    }

    /// Remembers the queue, without taking it for progress.
    pub(super) fn compare_with(&mut self, from: Side, queued: usize) {
        self.mark_mut(from).queued = queued;
    }

    /// A look has been taken, and another is due after the time of [`Patience::wake_at`].
    pub(super) fn looked(&mut self, now: Instant) {
        self.tick = self.tick.saturating_mul(2).min(TICK_LONGEST);
        self.looked = now;
    }

    /// From now on only the kernel's queue is waited for.
    pub(super) fn begin_ticking(&mut self, now: Instant) {
        self.tick = TICK_FIRST;
        self.looked = now;
    }

    /// When to look next.
    pub(super) fn wake_at(&self, rule: Rule, blocked: bool) -> Instant {
        let (since, limit) = self.span(rule);
        let mut wake = after(since, limit);
        if let Some(lifetime) = self.limits.max_lifetime {
            wake = wake.min(after(self.opened, lifetime));
        }
        if matches!(rule, Rule::Handover { delivered: true, .. }) {
            wake = wake.min(after(self.looked, self.tick));
        } else if blocked {
            wake = wake.min(after(self.looked.max(since), self.limits.linger.max(PROBE_SHORTEST)));
        }
        wake
    }

    /// Whether what is waited for has not come in time.
    pub(super) fn is_over(&self, rule: Rule, now: Instant) -> bool {
        let (since, limit) = self.span(rule);
        now.saturating_duration_since(since) >= limit
    }

    pub(super) fn lifetime_is_over(&self, now: Instant) -> bool {
        self.limits.max_lifetime.is_some_and(|lifetime| now.saturating_duration_since(self.opened) >= lifetime)
    }

    /// The direction whose last progress is the older one.
    pub(super) fn stalest(&self) -> Side {
        if self.from_client.progress <= self.from_target.progress { Side::Client } else { Side::Target }
    }

    fn span(&self, rule: Rule) -> (Instant, Duration) {
        let latest = self.from_client.progress.max(self.from_target.progress);
        match rule {
            Rule::Idle => (latest, self.limits.idle),
            Rule::HalfClosed => (latest, self.limits.half_closed),
            Rule::Linger { from } | Rule::Handover { from, .. } => (self.mark(from).progress, self.limits.linger),
        }
    }

    fn mark(&self, from: Side) -> Mark {
        match from {
            Side::Client => self.from_client,
            Side::Target => self.from_target,
        }
    }

    fn mark_mut(&mut self, from: Side) -> &mut Mark {
        match from {
            Side::Client => &mut self.from_client,
            Side::Target => &mut self.from_target,
        }
    }
}

fn after(since: Instant, limit: Duration) -> Instant {
    since.checked_add(limit).or_else(|| since.checked_add(FAR)).unwrap_or(since)
}
