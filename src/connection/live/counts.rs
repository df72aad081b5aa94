//! What a connection counts for: its route, those that have admitted it, and what it has moved.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Connection, Details, micros};
use crate::connection::admit::{Admission, Slot};
use crate::outcome::Outcome;
use crate::telemetry::{Held, RouteMeter};

#[derive(Debug)]
pub(super) struct Counts {
    pub(super) _active: Held,
    /// Its place in the first route that has admitted it: most connections have no other.
    pub(super) slot: Option<Slot>,
    /// Its places in those after it.
    pub(super) slots: Vec<Slot>,
}

impl Connection {
    /// Counts it for its route. The first route is the connection's; later ones of an HTTP connection change nothing.
    pub fn set_route(&self, route: &Arc<RouteMeter>) {
        if self.routed.load(Ordering::Acquire) {
            return;
        }
        let mut details = self.details();
        if details.route.is_none()
            && let Some(counts) = &mut details.counted
        {
            counts._active = route.hold();
            details.route = Some(Arc::clone(route));
            drop(details);
            self.routed.store(true, Ordering::Release);
            self.trace(None, "routed", |line| {
                self.name(line);
                line.field("listener", &self.listener.to_string());
                line.field_if("host", self.details().host.as_deref());
                line.number("after_ms", micros(self.opened.elapsed()) / 1000);
            });
        }
    }

    /// Whether the route of these rules has admitted it, and counts it.
    #[must_use]
    pub fn is_admitted(&self, admission: &Admission) -> bool {
        let address = admission.address();
        if self.admitted.load(Ordering::Acquire) == address {
            return true;
        }
        let details = self.details();
        let admitted = details
            .counted
            .as_ref()
            .is_some_and(|counts| counts.slot.iter().chain(&counts.slots).any(|slot| slot.is_of(admission)));
        if admitted {
            // The slot holds them until the connection ends, so that no others can be there.
            self.admitted.store(address, Ordering::Release);
        }
        admitted
    }

    /// Keeps the place that a route has given it until it ends.
    pub fn keep_slot(&self, slot: Slot) {
        if let Some(counts) = &mut self.details().counted {
            match counts.slot {
                None => counts.slot = Some(slot),
                Some(_) => counts.slots.push(slot),
            }
        }
    }

    /// Adds to the route's counters what was moved since the last time, so that a long connection shows while it lives.
    pub fn settle(&self) {
        self.settle_for(|details| details.route.clone());
    }

    /// The same at its end, and counts that; of a connection without a route for `unrouted`.
    pub(in crate::connection) fn settle_last(&self, unrouted: &Arc<RouteMeter>, outcome: Outcome) {
        if let Some(route) = self.settle_for(|details| Some(details.route.as_ref().unwrap_or(unrouted).clone())) {
            // Closed is a state like any other: its beginning is known.
            let age = Duration::from_micros(self.state_since.load(Ordering::Acquire));
            route.closed(outcome, self.reached_target(), age);
        }
    }

    fn settle_for(&self, route: impl FnOnce(&Details) -> Option<Arc<RouteMeter>>) -> Option<Arc<RouteMeter>> {
        let mut details = self.details();
        let (now_in, now_out) = (self.traffic.bytes_in(), self.traffic.bytes_out());
        let route = route(&details)?;
        let (before_in, before_out) = (details.settled_in, details.settled_out);
        // Bytes that are taken back, to be counted again, must not be settled twice.
        details.settled_in = now_in.max(before_in);
        details.settled_out = now_out.max(before_out);
        drop(details);
        route.moved(now_in.saturating_sub(before_in), now_out.saturating_sub(before_out));
        Some(route)
    }

    /// Gives back all that it counts for.
    pub(in crate::connection) fn release(&self) {
        let counted = self.details().counted.take();
        self.admitted.store(0, Ordering::Release);
        // Dropped outside of the lock: the slots have locks of their own.
        drop(counted);
    }
}
