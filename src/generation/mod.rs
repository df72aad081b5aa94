//! One configured state of the daemon: immutable, built as a whole, and replaced as a whole.
//!
//! This room alone knows both the configuration and what it becomes. What lives longer than a generation (the counts of a
//! route, the targets' state, session tickets) belongs to the source of all generations.

mod assemble;
mod certificates;
mod coverage;
mod current;
mod kept;
mod logins;
mod operators;
mod pages;
mod routes;
mod source;

#[cfg(test)]
mod tests;

pub use current::Current;
pub use operators::{OperatorTls, OperatorToken, Operators};
pub use source::{LoadError, NoSecrets, Source};

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::config::{AdminSocket, Located, Log};
use crate::handler::{Action, Route, Site};
use crate::net::ListenAddress;
use crate::telemetry::{Meters, ROUTES_SHOWN_MAX};
use crate::upstream::{SetAside, Target};

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
    /// What an operator should know of what the configuration names: certificates that have expired and the like.
    pub warnings: Vec<String>,
    /// Whom the operator's HTTP address answers.
    pub operators: Operators,
    /// When each certificate expires, by its file or by how it was made.
    pub certificates: BTreeMap<String, SystemTime>,
    meters: Arc<Meters>,
    /// What is read at start only, to notice a change of it.
    fixed: Fixed,
    /// What was read at start: that runs, whatever later files say.
    started_with: Arc<Fixed>,
}

/// What is read at start only.
#[derive(Clone, Debug, PartialEq)]
struct Fixed {
    workers: Option<NonZeroUsize>,
    log: Log,
    admin_socket: AdminSocket,
    admin_listen: Option<Located<SocketAddr>>,
    admin_tls: bool,
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
    /// How often to look for what has leaked; `None` is never.
    pub leak_check: Option<Duration>,
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

    /// Every target that is set aside, or ever was.
    pub fn troubled(&self) -> impl Iterator<Item = Troubled<'_>> {
        self.routes.iter().flat_map(|route| {
            let targets = match &route.action {
                Action::Forward(forward) => Some(forward.targets.all()),
                Action::Redirect(_) | Action::Respond(_) => None,
            };
            let asked = route.http.forward_auth.as_ref().map(|asked| asked.targets.all());
            let watched = targets
                .into_iter()
                .flatten()
                .chain(asked.into_iter().flatten())
                .filter_map(|(target, health)| Some((target, health?)));
            watched.filter(|(_, health)| health.was_set_aside()).map(|(target, health)| Troubled {
                route,
                target,
                set_aside: health.set_aside(),
            })
        })
    }

    /// Shows in the metrics that it is in force; makes the series of every route and target, at zero, if the routes are not
    /// too many for that.
    pub fn show_meters(&self) {
        let certificates = self.certificates.iter().map(|(name, expires)| (name.as_str(), *expires));
        self.meters.in_force(self.number, certificates);
        if self.routes.len() > ROUTES_SHOWN_MAX {
            return;
        }
        for route in self.routes.iter() {
            route.meter.show_traffic();
            if matches!(route.action, Action::Forward(_)) || route.http.forward_auth.is_some() {
                route.meter.show_connects();
            }
            if let Action::Forward(forward) = &route.action {
                forward.targets.all().for_each(|(target, _)| target.meter(&self.meters).show());
            }
            if route.rule.serves_requests() {
                route.meter.show_requests();
            }
        }
    }

    /// What to say where settings have changed that are only read at start.
    #[must_use]
    pub fn needs_restart(&self) -> Option<String> {
        let changed = self.fixed.unlike(&self.started_with);
        let (are, their) = if changed.len() > 1 { ("are", "their changes") } else { ("is", "its change") };
        let named = changed.split_last().map(|(last, others)| match others {
            [] => (*last).to_owned(),
            _ => format!("{} and {last}", others.join(", ")),
        });
        named.map(|named| format!("{named} {are} read at start only: restart for {their} to count"))
    }
}

impl Fixed {
    /// The keys that differ from those of `other`.
    fn unlike(&self, other: &Self) -> Vec<&'static str> {
        let Self { workers, log, admin_socket, admin_listen, admin_tls } = self;
        let keys = [
            ("[server] workers", *workers != other.workers),
            ("[log]", *log != other.log),
            ("[admin] socket", *admin_socket != other.admin_socket),
            ("[admin] listen", *admin_listen != other.admin_listen),
            ("whether there is [admin] tls", *admin_tls != other.admin_tls),
        ];
        keys.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
    }
}
