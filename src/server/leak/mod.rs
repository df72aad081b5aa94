//! Looking for what is left over: a pass now and then compares the list of live connections, the counts, the kernel's view of
//! our sockets and the workers' tasks, and says where they differ.
//!
//! It works on a thread of its own, asks nothing of the workers, and holds no lock longer than it takes to copy a list.

mod allowance;
mod connections;
mod counts;
mod sockets;
mod suspects;
#[cfg(test)]
mod tests;

pub(super) use allowance::Allowance;
pub use suspects::LeakSuspect;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::task::JoinHandle;

use self::connections::Known;
use self::counts::Books;
use self::suspects::{Change, Finding, Suspects};
use super::control::Shared;
use crate::net::{ListenAddress, pooled_sockets};
use crate::telemetry::LeakKind;

/// How many lines a pass writes at most of what is new; the metric and the status have all.
const LINES_MAX: usize = 20;

/// The passes, for as long as this lives.
#[derive(Debug)]
pub(super) struct LeakWatch(JoinHandle<()>);

impl LeakWatch {
    /// Begins to look, every `server.leak_check`, which a reload may change. To be called on the control plane's runtime.
    pub(super) fn start(shared: Arc<Shared>) -> Self {
        Self(tokio::spawn(watch(shared)))
    }
}

impl Drop for LeakWatch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn watch(shared: Arc<Shared>) {
    // What is there now and nobody's was there before us.
    let inherited = Arc::new(sockets::unclaimed().unwrap_or_else(|error| {
        tracing::debug!(target: "smartproxy::leak", %error, "the descriptors cannot be listed");
        HashSet::new()
    }));
    let begin = || Detector::new(Arc::clone(&inherited));
    let mut detector = begin();
    loop {
        let every = shared.current.load().settings.leak_check;
        let Some(every) = every else {
            // What was suspected is no longer looked at.
            detector = begin();
            shared.suspect(Vec::new());
            shared.reloaded().await;
            continue;
        };
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = shared.reloaded() => continue,
        }
        let view = Arc::clone(&shared);
        let pass = tokio::task::spawn_blocking(move || {
            let suspects = detector.pass(&view, Instant::now());
            view.suspect(suspects);
            detector
        });
        // One that has panicked is in the log, and another begins.
        detector = pass.await.unwrap_or_else(|_panicked| begin());
    }
}

/// What goes on from pass to pass.
#[derive(Debug)]
struct Detector {
    /// Sockets that were there before us, by inode.
    inherited: Arc<HashSet<u64>>,
    known: Known,
    suspects: Suspects,
}

impl Detector {
    fn new(inherited: Arc<HashSet<u64>>) -> Self {
        Self { inherited, known: Known::default(), suspects: Suspects::default() }
    }

    fn pass(&mut self, shared: &Shared, now: Instant) -> Vec<LeakSuspect> {
        let generation = shared.current.load();
        // Of a hundred thousand routes few have anything to be looked at.
        let routes = generation.routes.iter().map(|route| &route.meter).filter(|meter| meter.live().is_some());
        let routes = routes.chain([shared.registry.unrouted()]);
        let pool = || (shared.standing(), u64::try_from(pooled_sockets()).unwrap_or(u64::MAX));
        let tasks = || shared.tasks();
        let books = Books {
            registry: &shared.registry,
            gate: &shared.gate,
            routes: routes.cloned().collect(),
            pool: &pool,
            tasks: &tasks,
        };
        let found = self.look(&books, &shared.allowances(), now);
        self.note(found, now)
    }

    fn look(
        &mut self,
        books: &Books<'_>,
        allowances: &HashMap<ListenAddress, Allowance>,
        now: Instant,
    ) -> Vec<Finding> {
        let mut found = sockets::look(books.registry, &self.inherited).unwrap_or_else(|error| {
            tracing::debug!(target: "smartproxy::leak", %error, "the descriptors cannot be listed");
            Vec::new()
        });
        found.extend(self.known.look(&books.registry.connections(), allowances, now));
        found.extend(books.look());
        found
    }

    fn note(&mut self, found: Vec<Finding>, now: Instant) -> Vec<LeakSuspect> {
        say(&self.suspects.note(found, now), now);
        self.suspects.told().cloned().collect()
    }
}

fn say(change: &Change, now: Instant) {
    let age = |suspect: &LeakSuspect| now.saturating_duration_since(suspect.since).as_secs();
    for suspect in change.new.iter().take(LINES_MAX) {
        tracing::warn!(
            target: "smartproxy::leak",
            what = suspect.kind.as_str(), seconds = age(suspect),
            "something seems to have leaked: {}", suspect.what
        );
    }
    if let Some(more) = change.new.len().checked_sub(LINES_MAX).filter(|more| *more > 0) {
        tracing::warn!(target: "smartproxy::leak", more, "more seems to have leaked; `smartproxy status` has all");
    }
    for suspect in change.gone.iter().take(LINES_MAX) {
        tracing::info!(
            target: "smartproxy::leak",
            what = suspect.kind.as_str(), seconds = age(suspect),
            "what seemed to have leaked is gone: {}", suspect.what
        );
    }
}

impl Shared {
    /// Notes what is suspected now, for the metrics and the status.
    fn suspect(&self, suspects: Vec<LeakSuspect>) {
        for kind in LeakKind::ALL {
            let count = suspects.iter().filter(|suspect| suspect.kind == kind).count();
            self.registry.meters().leak_suspects(kind, count);
        }
        self.set_suspects(suspects);
    }

    /// Connections to targets that the pools count.
    fn standing(&self) -> u64 {
        let counts = self.workers().into_iter().map(|worker| worker.standing.load(Ordering::Acquire) as u64);
        counts.fold(0, u64::saturating_add)
    }

    /// Tasks that live on the workers, and how many of them are there without a connection: each accept loop has one, each
    /// connection to a target may, and each pool.
    fn tasks(&self) -> (u64, u64) {
        let workers = self.workers();
        let alive = workers.iter().map(|worker| worker.runtime.num_alive_tasks() as u64).fold(0, u64::saturating_add);
        let others = (self.loops.live() as u64).saturating_add(self.standing()).saturating_add(workers.len() as u64);
        (alive, others)
    }
}
