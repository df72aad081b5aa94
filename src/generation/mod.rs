//! One configured state of the daemon: immutable, built as a whole, and replaced as a whole.
//!
//! This room alone knows both the configuration and what it becomes. What lives longer than a generation (the counts of a
//! route, the targets' state, session tickets) is carried over from the one before.

mod assemble;
mod certificates;
mod current;
mod routes;
mod source;

pub use current::Current;
pub use source::{LoadError, Source};

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use self::routes::HealthKey;
use crate::connection::RouteLoad;
use crate::handler::{Action, Route, Site};
use crate::net::ListenAddress;
use crate::upstream::{Health, SetAside, Target, TargetKey};

/// One configured state. A connection keeps the one that it began with; a new request takes the current one.
#[derive(Debug)]
pub struct Generation {
    /// 1 at start, one more for each reload.
    pub number: u64,
    /// When it was assembled.
    pub assembled: SystemTime,
    /// What concerns the whole process.
    pub settings: Settings,
    /// What is served at each listening address, by the address as configured.
    pub sites: BTreeMap<ListenAddress, Arc<Site>>,
    /// Every route, by its number.
    pub routes: Arc<[Arc<Route>]>,
    targets: HashMap<TargetKey, Arc<Target>>,
    loads: HashMap<Arc<str>, Arc<RouteLoad>>,
    healths: HashMap<HealthKey, Arc<Health>>,
    /// What is read at start only, to notice a change of it.
    fixed: String,
}

/// What concerns the whole process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Worker threads; `None` is one per core.
    pub workers: Option<NonZeroUsize>,
    /// Connections at once; `None` is what the limit of open files allows.
    pub max_connections: Option<NonZeroUsize>,
    /// How long draining may take.
    pub shutdown_timeout: Duration,
}

/// A target of a route that was set aside since the route and the target are what they are.
#[derive(Clone, Copy, Debug)]
pub struct Troubled<'a> {
    /// The route.
    pub route: &'a Route,
    /// The target.
    pub target: &'a Target,
    /// Whether it is set aside now, and why.
    pub set_aside: Option<SetAside>,
}

impl Generation {
    /// Every target that is set aside, or ever was.
    pub fn troubled(&self) -> impl Iterator<Item = Troubled<'_>> {
        self.routes.iter().flat_map(|route| {
            let targets = match &route.action {
                Action::Forward(forward) => Some(forward.targets.all()),
                Action::Redirect(_) | Action::Respond(_) => None,
            };
            let watched = targets.into_iter().flatten().filter_map(|(target, health)| Some((target, health?)));
            watched.filter(|(_, health)| health.was_set_aside()).map(|(target, health)| Troubled {
                route,
                target,
                set_aside: health.set_aside(),
            })
        })
    }

    /// Says which changed settings are only read at start.
    pub fn warn_of_what_needs_a_restart(&self, previous: &Self) {
        if self.settings.workers != previous.settings.workers || self.fixed != previous.fixed {
            tracing::warn!(
                "server.workers, [log] and [admin] are read at start only: restart for their changes to count"
            );
        }
    }
}
