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

use crate::connection::RouteLoad;
use crate::handler::{Action, Route, Site};
use crate::net::ListenAddress;
use crate::route::{Protocol, TlsHandling};
use crate::telemetry::ROUTES_SHOWN_MAX;
use crate::upstream::{Target, TargetKey};

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

impl Generation {
    /// Makes the metric series of every route, at zero, if the routes are not too many for that.
    pub fn show_meters(&self) {
        if self.routes.len() > ROUTES_SHOWN_MAX {
            return;
        }
        for route in self.routes.iter() {
            route.meter.show_traffic();
            if matches!(route.action, Action::Forward(_)) {
                route.meter.show_connects();
            }
            if route.rule.protocol == Protocol::Http && route.rule.tls != TlsHandling::Passthrough {
                route.meter.show_requests();
            }
        }
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
