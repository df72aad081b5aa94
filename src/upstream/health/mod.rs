//! Whether a target is worth a connection, learnt from the connections that were made to it: passive health.

#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::outcome::Cause;

/// A period past the end of the clock is none; a day is as good.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// When a target is set aside, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HealthPolicy {
    /// How many connections in a row have to fail.
    pub failures: NonZeroU32,
    /// How long it is then left alone, from the last failure on.
    pub set_aside: Duration,
}

/// What is known of one target of one route, shared by all workers.
///
/// A target that is set aside is left to whoever finds no other. When its time is over, one connection probes it, and
/// the others go on leaving it alone until that one has come to an end; whatever connects brings the target back.
#[derive(Debug)]
pub struct Health {
    policy: HealthPolicy,
    /// Whether there is anything to know: all that a connection to a target in good health looks at.
    troubled: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How many connections have failed in a row; never as many as make it be set aside.
    failed: u32,
    aside: Option<Aside>,
    /// When it last came back: what was begun before says nothing of now.
    back: Option<Instant>,
    /// When the log was last told that it is set aside.
    told: Option<Instant>,
    /// How many probes there have been; the number of the last.
    probes: u64,
    /// Whether it was ever set aside.
    ever: bool,
}

#[derive(Clone, Copy, Debug)]
struct Aside {
    set_aside: SetAside,
    until: Instant,
    /// The number of the probe that is being made.
    probe: Option<u64>,
    /// Whether the log knows.
    told: bool,
}

/// A target that is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Why the last connection to it failed.
    pub cause: Cause,
    /// Since when.
    pub since: Instant,
}

/// What a connection may do with a target.
#[derive(Debug)]
pub(super) enum Verdict<'a> {
    /// Try it.
    Use,
    /// Try it, as the one that finds out.
    Probe(Probe<'a>),
    /// Try the others first.
    Wait,
}

impl Health {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(policy: HealthPolicy) -> Self {
        Self { policy, troubled: AtomicBool::new(false), state: Mutex::default() }
    }

    /// When it is set aside.
    #[must_use]
    pub fn policy(&self) -> HealthPolicy {
        self.policy
    }

    /// Whether and why it is set aside now; until a connection to it stands, so also when its time is over and nobody has
    /// come since.
    #[must_use]
    pub fn set_aside(&self) -> Option<SetAside> {
        if self.is_well() {
            return None;
        }
        self.state().aside.map(|aside| aside.set_aside)
    }

    /// Whether it was ever set aside.
    #[must_use]
    pub fn was_set_aside(&self) -> bool {
        self.state().ever
    }

    /// Whether [`Health::ask`] would say to wait.
    pub(super) fn waits(&self) -> bool {
        !self.is_well() && self.state().aside.is_some_and(|aside| aside.waits(Instant::now()))
    }

    /// What the connection that has come to this target may do.
    pub(super) fn ask(&self) -> Verdict<'_> {
        if self.is_well() {
            return Verdict::Use;
        }
        let mut state = self.state();
        let State { aside: Some(aside), probes, .. } = &mut *state else { return Verdict::Use };
        if aside.waits(Instant::now()) {
            return Verdict::Wait;
        }
        *probes = probes.wrapping_add(1);
        aside.probe = Some(*probes);
        Verdict::Probe(Probe { health: self, number: *probes })
    }

    /// Notes that a connection stands. Gives how long the target was set aside, if that is over and the log knows of it.
    pub(super) fn succeeded(&self) -> Option<Duration> {
        if self.is_well() {
            return None;
        }
        let now = Instant::now();
        let mut state = self.state();
        state.failed = 0;
        self.troubled.store(false, Ordering::Relaxed);
        let aside = state.aside.take()?;
        state.back = Some(now);
        aside.told.then(|| now.duration_since(aside.set_aside.since))
    }

    /// Notes that a connection failed which was begun at `begun`. Gives whether the log is to be told that the target is
    /// set aside: at the first failure, but not more often than the period, so that a target which comes and goes does not
    /// fill it.
    pub(super) fn failed(&self, cause: Cause, begun: Instant) -> bool {
        let now = Instant::now();
        let mut state = self.state();
        if state.back.is_some_and(|back| begun < back) {
            return false;
        }
        self.troubled.store(true, Ordering::Relaxed);
        let period = self.policy.set_aside;
        let until = now.checked_add(period).unwrap_or_else(|| now + DAY);
        if let Some(aside) = &mut state.aside {
            (aside.until, aside.set_aside.cause) = (until, cause);
        } else {
            state.failed = state.failed.saturating_add(1);
            if state.failed < self.policy.failures.get() {
                return false;
            }
            state.failed = 0;
            state.ever = true;
            state.aside = Some(Aside { set_aside: SetAside { cause, since: now }, until, probe: None, told: false });
        }
        let tell = state.told.is_none_or(|told| now.duration_since(told) >= period);
        match &mut state.aside {
            Some(aside) if !aside.told && tell => aside.told = true,
            Some(_) | None => return false,
        }
        state.told = Some(now);
        true
    }

    // Relaxed: who misses a change that is made this moment is one that came before it.
    fn is_well(&self) -> bool {
        !self.troubled.load(Ordering::Relaxed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Aside {
    fn waits(&self, now: Instant) -> bool {
        self.probe.is_some() || now < self.until
    }
}

/// The one connection that finds out whether a target is back. If it is dropped without having found out, the next one
/// does.
#[derive(Debug)]
pub(super) struct Probe<'a> {
    health: &'a Health,
    number: u64,
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        if let Some(aside) = &mut self.health.state().aside
            && aside.probe == Some(self.number)
        {
            aside.probe = None;
        }
    }
}
