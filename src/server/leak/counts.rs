use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::suspects::{Finding, Key};
use crate::connection::{Connection, Gate, Registry};
use crate::http::H2_STREAMS_MAX;
use crate::telemetry::{LeakKind, RouteMeter};

/// How long it rests before each further look at a count that is off, until it is believed to be: it and what it counts
/// cannot be read in one moment, and whoever is between the two may be held up, on a machine with ten threads for each core
/// for some 50 ms. A count that is right is looked at once.
const RESTS: [Duration; 8] = [
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(4),
    Duration::from_millis(8),
    Duration::from_millis(16),
    Duration::from_millis(32),
    Duration::from_millis(64),
    Duration::from_millis(128),
];

/// Tasks that an HTTP/2 connection may have for each stream: for its request, its body, and both ends of a tunnel.
const TASKS_PER_STREAM: u64 = 4;

/// Tasks of any other connection: its own, and one that sends the body of a request to a target of HTTP/2.
const TASKS_PER_CONNECTION: u64 = 2;

/// What is counted, and where it can be counted again.
pub(super) struct Books<'a> {
    pub(super) registry: &'a Registry,
    pub(super) gate: &'a Gate,
    /// Those of the running generation that have ever had a connection, and that of connections without a route.
    pub(super) routes: Vec<Arc<RouteMeter>>,
    /// Connections to targets that the pools count, and sockets that are claimed for them.
    pub(super) pool: &'a dyn Fn() -> (u64, u64),
    /// Tasks that live on the workers, and how many of those are there without a connection.
    pub(super) tasks: &'a dyn Fn() -> (u64, u64),
}

impl Books<'_> {
    /// The counts that differ from what they count.
    pub(super) fn look(&self) -> Vec<Finding> {
        let (registry, gate) = (self.registry, self.gate);
        let mut found = Vec::new();
        let mut note = |kind, key: &str, what: String| {
            found.push(Finding { kind, key: Key::Count(key.into()), what });
        };
        if let Some(by) = persistent(|| difference(registry.live(), registry.listed())) {
            note(LeakKind::Gauge, "live", format!("the count of live connections is {by:+} off the list of them"));
        }
        if let Some(by) = persistent(|| difference(gate.live(), registry.listed())) {
            note(
                LeakKind::Gauge,
                "gate",
                format!("the places taken under server.max_connections are {by:+} off the live connections"),
            );
        }
        if let Some(by) = persistent(|| {
            let (counted, claimed) = (self.pool)();
            difference(counted, claimed)
        }) {
            note(
                LeakKind::Gauge,
                "pool",
                format!("the count of pooled connections to targets is {by:+} off their sockets"),
            );
        }
        if let Some(by) = persistent(|| self.unexplained_tasks()) {
            note(
                LeakKind::Task,
                "tasks",
                format!("{by} tasks more live on the workers than connections, listeners and pools explain"),
            );
        }
        for (route, by) in self.routes_off() {
            let what = format!("smartproxy_connections_active of route {route} is {by:+} off its live connections");
            note(LeakKind::Gauge, &format!("route {route}"), what);
        }
        found
    }

    fn unexplained_tasks(&self) -> i64 {
        let (alive, others) = (self.tasks)();
        let of = |connection: &Arc<Connection>| match connection.protocol() {
            "h2" => u64::from(H2_STREAMS_MAX).saturating_mul(TASKS_PER_STREAM),
            _ => TASKS_PER_CONNECTION,
        };
        let explained = self.registry.connections().iter().map(of).fold(others, u64::saturating_add);
        difference(alive, explained).max(0)
    }

    /// By how much each route's gauge is off, in each of several looks.
    fn routes_off(&self) -> HashMap<Arc<str>, i64> {
        let mut off = self.routes_off_now();
        for rest in RESTS {
            if off.is_empty() {
                break;
            }
            std::thread::sleep(rest);
            let again = self.routes_off_now();
            off.retain(|route, by| match again.get(route) {
                Some(now) if now.signum() == by.signum() => {
                    *by = if by.abs() < now.abs() { *by } else { *now };
                    true
                }
                Some(_) | None => false,
            });
        }
        off
    }

    /// By how much more than those explain that come, go or get their route meanwhile.
    fn routes_off_now(&self) -> HashMap<Arc<str>, i64> {
        let (accepted, live) = (self.registry.meters().accepted.get(), self.registry.live());
        let mut routes: HashMap<Arc<str>, (Arc<RouteMeter>, u64)> =
            self.routes.iter().map(|meter| (Arc::clone(meter.name()), (Arc::clone(meter), 0))).collect();
        let before: HashMap<Arc<str>, u64> =
            routes.iter().map(|(name, (meter, _))| (Arc::clone(name), meter.live().unwrap_or(0))).collect();
        for connection in self.registry.connections() {
            let meter = connection.route().unwrap_or_else(|| Arc::clone(self.registry.unrouted()));
            let (_, count) = routes.entry(Arc::clone(meter.name())).or_insert((meter, 0));
            *count = count.saturating_add(1);
        }
        let opened = difference(self.registry.meters().accepted.get(), accepted);
        let closed = opened.saturating_sub(difference(self.registry.live(), live));
        let moved = opened.saturating_add(closed);
        let by = |(name, (meter, count)): (Arc<str>, (Arc<RouteMeter>, u64))| {
            let after = meter.live().unwrap_or(0);
            let before = before.get(&name).copied().unwrap_or(after);
            let (least, most) = (before.min(after), before.max(after));
            let by = difference(least, count).max(0).saturating_add(difference(most, count).min(0));
            (by.abs() > moved).then_some((name, by))
        };
        routes.into_iter().filter_map(by).collect()
    }
}

/// What a count is off by in each of several looks, in the same direction, and at least.
fn persistent(mut look: impl FnMut() -> i64) -> Option<i64> {
    let mut off = look();
    for rest in RESTS {
        if off == 0 {
            return None;
        }
        std::thread::sleep(rest);
        let now = look();
        if now.signum() != off.signum() {
            return None;
        }
        off = if off.abs() < now.abs() { off } else { now };
    }
    (off != 0).then_some(off)
}

fn difference<N: TryInto<i64>>(a: N, b: N) -> i64 {
    let number = |n: N| n.try_into().unwrap_or(i64::MAX);
    number(a).saturating_sub(number(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_off_in_one_direction_counts_and_by_the_least_that_was_seen() {
        let of = |looks: &[i64]| {
            let mut looks = looks.iter().copied();
            persistent(move || looks.next().unwrap_or(0))
        };
        assert_eq!(of(&[0]), None);
        assert_eq!(of(&[3, 2, 5, 2, 4, 3, 3, 3, 3]), Some(2));
        assert_eq!(of(&[-1, -2, -3, -1, -1, -9, -1, -1, -1]), Some(-1));
        assert_eq!(of(&[3, 2, -1]), None);
        assert_eq!(of(&[1, 1, 1, 1, 1, 1, 1, 1, 0]), None);
    }
}
