//! How long a relay waits, and for what. Knows no clock and no socket: it is handed the time.

use std::time::Duration;

use tokio::time::Instant;

use super::{Limits, Side};
use crate::outcome::Cause;

/// The first wait for the kernel to send a lost side's last bytes. Each further one is twice as long, up to [`TICK_LONGEST`]:
/// the queue of a peer that reads is empty within a round trip, and nothing but a timer tells when.
const TICK_FIRST: Duration = Duration::from_millis(TICK_MILLISECONDS as u64);
const TICK_MILLISECONDS: u32 = 5;

/// The longest such wait: how late a reset may be passed on.
const TICK_LONGEST: Duration = Duration::from_millis(80);

/// The shortest time between two looks at a source that is kept waiting, should `linger` be shorter.
const PROBE_SHORTEST: Duration = Duration::from_millis(100);

/// A queue that is not empty is looked at this many times within the limit, and more often while it is new: so much of the limit
/// may have passed since its last progress when that shows.
const LOOKS: u32 = 8;

/// How long a half-closed connection is left alone before the kernel's queues are first asked, where its limit is not so short that
/// this would be more than one of the looks. Nearly all are over by then; and since a worker wakes as often by itself, a timer of
/// theirs is none that it has to be woken for, which is a system call.
const LEFT_ALONE: Duration = Duration::from_secs(1);

/// Stands for a limit that is beyond what the clock can hold.
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
    /// In milliseconds.
    tick: u32,
    /// What the kernel has for the sinks may be something else than what is remembered, and there is nothing to compare the next
    /// answer with.
    unasked: bool,
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
        Self {
            limits,
            opened,
            looked: now,
            tick: TICK_MILLISECONDS,
            unasked: false,
            from_client: mark,
            from_target: mark,
        }
    }

    /// Bytes from this side have moved.
    pub(super) fn moved(&mut self, from: Side, now: Instant) {
        self.mark_mut(from).progress = now;
    }

    /// Something else is waited for from now on, and the kernel's queues have not been asked: they are, soon.
    ///
    /// When a queue that is not empty has changed is not known but by looking. Our FIN counts as a byte of it until the peer
    /// has acknowledged it, most likely at once; seen only when the limit is over, that would begin anew.
    pub(super) fn leave_unasked(&mut self, now: Instant) {
        self.unasked = true;
        self.begin_ticking(now);
    }

    /// A look has been taken: the kernel has so many bytes for the target and for the client that these have not acknowledged.
    /// Another is due after the time of [`Patience::wake_at`].
    ///
    /// A change since the last look is progress, and the only that shows while a slow peer empties a queue that is too full
    /// to take more of ours: at 100 kB/s, a queue of 4 MiB makes no room for half a minute. The first look at unasked queues is
    /// only what the next is compared with: what they have done until then counts for nothing.
    pub(super) fn looked(&mut self, for_target: usize, for_client: usize, now: Instant) {
        let unasked = std::mem::take(&mut self.unasked);
        for (from, queued) in [(Side::Client, for_target), (Side::Target, for_client)] {
            let mark = self.mark_mut(from);
            if mark.queued != queued && !unasked {
                mark.progress = now;
            }
            mark.queued = queued;
        }
        self.tick = self.tick.saturating_mul(2);
        self.looked = now;
    }

    /// From now on the kernel's queue is waited for, or has something new in it.
    pub(super) fn begin_ticking(&mut self, now: Instant) {
        self.tick = TICK_MILLISECONDS;
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
            return wake.min(after(self.looked, self.tick().min(TICK_LONGEST)));
        }
        if self.has_queue() {
            let tick = if self.unasked && rule == Rule::HalfClosed { LEFT_ALONE } else { self.tick() };
            wake = wake.min(after(self.looked, tick.min((limit / LOOKS).max(TICK_FIRST))));
        }
        if blocked {
            wake = wake.min(after(self.looked.max(since), self.limits.linger.max(PROBE_SHORTEST)));
        }
        wake
    }

    fn tick(&self) -> Duration {
        Duration::from_millis(u64::from(self.tick))
    }

    /// Whether the kernel had something for either sink when it was asked last, or may have.
    fn has_queue(&self) -> bool {
        self.unasked || self.from_client.queued > 0 || self.from_target.queued > 0
    }

    /// Whether what is waited for has not come in time.
    pub(super) fn is_over(&self, rule: Rule, now: Instant) -> bool {
        let (since, limit) = self.span(rule);
        now >= after(since, limit)
    }

    pub(super) fn lifetime_is_over(&self, now: Instant) -> bool {
        self.limits.max_lifetime.is_some_and(|lifetime| now >= after(self.opened, lifetime))
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const LIMITS: Limits = Limits {
        idle: Duration::from_secs(100),
        half_closed: Duration::from_secs(50),
        linger: Duration::from_secs(5),
        max_lifetime: None,
    };
    const LINGER: Rule = Rule::Linger { from: Side::Client };

    #[test]
    fn each_rule_has_its_own_start_and_limit() {
        let start = Instant::now();
        let mut patience = Patience::new(&LIMITS, start, start);
        patience.moved(Side::Target, start + SECOND);
        assert_eq!(patience.wake_at(Rule::Idle, false), start + 101 * SECOND);
        assert_eq!(patience.wake_at(Rule::HalfClosed, false), start + 51 * SECOND);
        // Progress of the other direction does not make up for the one that lingers.
        assert_eq!(patience.wake_at(LINGER, false), start + 5 * SECOND);
        assert!(!patience.is_over(LINGER, start + 4 * SECOND));
        assert!(patience.is_over(LINGER, start + 5 * SECOND));
        assert_eq!(patience.stalest(), Side::Client);
    }

    #[test]
    fn a_queue_that_changes_is_progress_and_one_that_does_not_is_none() {
        let start = Instant::now();
        let mut patience = Patience::new(&LIMITS, start, start);
        patience.leave_unasked(start);
        patience.looked(1000, 0, start + TICK_FIRST);
        patience.looked(1000, 0, start + 5 * SECOND);
        assert!(patience.is_over(LINGER, start + 5 * SECOND));
        patience.looked(999, 0, start + 5 * SECOND);
        assert!(!patience.is_over(LINGER, start + 9 * SECOND));
        assert!(patience.is_over(LINGER, start + 10 * SECOND));
    }

    #[test]
    fn a_queue_that_empties_at_once_is_seen_to_and_one_that_does_not_is_looked_at_ever_more_rarely() {
        let start = Instant::now();
        let mut patience = Patience::new(&LIMITS, start, start);
        patience.leave_unasked(start);
        assert_eq!(patience.wake_at(LINGER, false), start + TICK_FIRST);
        let asked = patience.wake_at(Rule::HalfClosed, false);
        assert_eq!(asked, start + LEFT_ALONE);
        patience.looked(1, 0, asked);
        let acknowledged = patience.wake_at(Rule::HalfClosed, false);
        assert_eq!(acknowledged, asked + 2 * TICK_FIRST);
        patience.looked(0, 0, acknowledged);
        assert_eq!(patience.wake_at(Rule::HalfClosed, false), acknowledged + LIMITS.half_closed);
        // A queue that nobody takes anything of.
        patience.leave_unasked(acknowledged);
        let (mut now, mut looks) = (acknowledged, 0);
        while !patience.is_over(Rule::HalfClosed, now) {
            let next = patience.wake_at(Rule::HalfClosed, false);
            assert!(next > now && next <= now + LIMITS.half_closed / LOOKS);
            now = next;
            looks += 1;
            patience.looked(0, 9, now);
        }
        assert_eq!(now, acknowledged + LIMITS.half_closed);
        assert!(looks < 30, "{looks}");
    }

    #[test]
    fn a_blocked_source_is_looked_at_within_linger_and_again() {
        let start = Instant::now();
        let mut patience = Patience::new(&LIMITS, start, start);
        assert_eq!(patience.wake_at(Rule::Idle, true), start + 5 * SECOND);
        patience.looked(0, 0, start + 5 * SECOND);
        assert_eq!(patience.wake_at(Rule::Idle, true), start + 10 * SECOND);
        let hasty = Limits { linger: Duration::ZERO, ..LIMITS };
        assert_eq!(Patience::new(&hasty, start, start).wake_at(Rule::Idle, true), start + PROBE_SHORTEST);
    }

    #[test]
    fn the_kernels_queue_is_looked_at_ever_more_rarely_but_not_too_rarely() {
        let start = Instant::now();
        let mut patience = Patience::new(&LIMITS, start, start);
        let rule = Rule::Handover { from: Side::Client, cause: Cause::Reset, delivered: true };
        patience.begin_ticking(start);
        let mut now = start;
        for milliseconds in [5, 10, 20, 40, 80, 80, 80] {
            let next = patience.wake_at(rule, false);
            assert_eq!(next - now, Duration::from_millis(milliseconds));
            now = next;
            patience.looked(0, 0, now);
        }
    }

    #[test]
    fn the_next_look_is_never_in_the_past_unless_a_limit_is_over() {
        let start = Instant::now();
        for limit in [Duration::ZERO, SECOND, FAR, Duration::MAX] {
            let limits = Limits { idle: limit, half_closed: limit, linger: limit, max_lifetime: Some(limit) };
            let mut patience = Patience::new(&limits, start, start);
            for rule in [Rule::Idle, Rule::HalfClosed, LINGER] {
                for now in [start, start + SECOND, start + FAR, start + 2 * FAR] {
                    patience.looked(0, 0, now);
                    let over = patience.is_over(rule, now) || patience.lifetime_is_over(now);
                    assert!(over || patience.wake_at(rule, true) > now, "{limit:?} {rule:?}");
                }
            }
        }
    }
}
