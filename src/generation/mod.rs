//! One configured state of the daemon: immutable, built as a whole, and replaced as a whole.
//!
//! This room alone knows both the configuration and what it becomes. What lives longer than a generation (the counts of a
//! route, the targets' state, session tickets) belongs to the source of all generations.

mod assemble;
mod certificates;
mod coverage;
mod current;
mod kept;
mod pages;
mod routes;
mod source;

#[cfg(test)]
mod tests;

pub use current::Current;
pub use source::{LoadError, Source};

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::config::{Admin, Log};
use crate::handler::{Route, Site};
use crate::net::ListenAddress;

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
    /// What is read at start only, to notice a change of it.
    fixed: (Log, Admin),
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
    /// Who listens on an address, for people: its first route in the order of the file, and how many more there are.
    #[must_use]
    pub fn routes_on(&self, address: ListenAddress) -> Option<String> {
        let rules = || self.sites.get(&address).into_iter().flat_map(|site| site.table.in_order());
        let first = rules().min_by_key(|rule| rule.id)?;
        Some(match rules().count() {
            0 | 1 => format!("route `{}`", first.name),
            count => format!("route `{}` and {} more", first.name, count - 1),
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
