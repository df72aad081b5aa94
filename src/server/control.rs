use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::runtime::RuntimeMetrics;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::leak::{Allowance, LeakSuspect};
use super::rest::Shortage;
use crate::connection::{Gate, Registry};
use crate::drain::Count;
use crate::generation::{Current, Source};
use crate::net::ListenAddress;
use crate::upstream::Target;

/// What the daemon is up to, as its readiness probe says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not all listeners are bound yet.
    Starting,
    /// Accepting.
    Ready,
    /// Stopping: no new connection is accepted.
    Draining,
}

/// Who waits for what comes of a reload.
pub(super) type Asker = oneshot::Sender<ReloadAnswer>;

/// What an operator may ask the daemon for.
#[derive(Debug)]
pub enum Request {
    /// Read the configuration anew.
    Reload(oneshot::Sender<ReloadAnswer>),
    /// Stop as SIGTERM does.
    Stop,
}

/// What came of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadAnswer {
    /// The new generation runs.
    Reloaded {
        /// Its number.
        generation: u64,
        /// What the operator should know of it.
        warnings: Vec<String>,
    },
    /// Everything is as it was.
    Refused {
        /// Every fault, as `check` prints them.
        faults: String,
    },
}

/// The last reload.
#[derive(Clone, Debug)]
pub struct LastReload {
    /// When it was over.
    pub at: Instant,
    /// What came of it.
    pub answer: ReloadAnswer,
}

/// How the daemon's connections ended when it stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Connections that lived when the stop began.
    pub live: usize,
    /// Those that did not end by themselves.
    pub cut: usize,
    /// Why they were cut.
    pub why: Option<&'static str>,
}

/// The daemon as the operator's side sees it.
#[derive(Clone, Debug)]
pub struct Control {
    requests: mpsc::Sender<Request>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub registry: Arc<Registry>,
    pub gate: Arc<Gate>,
    /// Who was accepted and waits for a place, since the address that it came to is closed.
    pub waiting: Arc<Gate>,
    pub current: Arc<Current>,
    /// What has run out, and what was said of it.
    pub shortage: Arc<Shortage>,
    started: Instant,
    readiness: AtomicU8,
    addresses: Mutex<Vec<ListenAddress>>,
    last_reload: Mutex<Option<LastReload>>,
    stopped: watch::Sender<Option<Stopped>>,
    source: Arc<Source>,
    /// The workers, in their order.
    workers: Mutex<Vec<Watched>>,
    /// Accept loops that run on the workers.
    pub loops: Arc<Count>,
    /// How long connections of each address may be in which state.
    allowances: Mutex<HashMap<ListenAddress, Allowance>>,
    /// What seems to have leaked.
    suspects: watch::Sender<Vec<LeakSuspect>>,
    /// Told of each reload.
    reloads: Notify,
}

/// What of a worker can be looked at from outside.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub runtime: RuntimeMetrics,
    /// Connections to targets in its pool, idle or in use.
    pub standing: Arc<AtomicUsize>,
}

impl Control {
    pub(super) fn new(requests: mpsc::Sender<Request>, shared: Arc<Shared>) -> Self {
        Self { requests, shared }
    }

    /// The live connections.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.shared.registry
    }

    /// The running generation.
    #[must_use]
    pub fn current(&self) -> &Arc<Current> {
        &self.shared.current
    }

    /// The process's limit of connections.
    #[must_use]
    pub fn gate(&self) -> &Arc<Gate> {
        &self.shared.gate
    }

    /// When the daemon began.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.shared.started
    }

    /// What the daemon is up to.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.shared.readiness()
    }

    /// The metrics' text, as of this moment.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.shared.metrics()
    }
    /// The addresses that are listened on, with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> Vec<ListenAddress> {
        self.shared.addresses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> &Path {
        self.shared.source.path()
    }

    /// What came of the last reload, if there was one.
    #[must_use]
    pub fn last_reload(&self) -> Option<LastReload> {
        self.shared.last_reload.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What seems to have leaked.
    #[must_use]
    pub fn leak_suspects(&self) -> Vec<LeakSuspect> {
        self.shared.suspects.borrow().clone()
    }

    /// Asks for a stop, as SIGTERM does.
    ///
    /// # Cancel safety
    /// Cancelled before it is ready, nothing was asked for.
    pub async fn stop(&self) {
        // An error is a daemon that is stopping already.
        let _ = self.requests.send(Request::Stop).await;
    }

    /// Asks for a stop, or joins the one that runs, and waits for its end; `None` if the daemon has not lived to say.
    ///
    /// # Cancel safety
    /// The stop goes on when the wait is cancelled.
    pub async fn drain(&self) -> Option<Stopped> {
        let mut stopped = self.shared.stopped.subscribe();
        self.stop().await;
        *stopped.wait_for(Option::is_some).await.ok()?
    }

    /// Asks for a reload and waits for what comes of it; `None` when the daemon is stopping.
    ///
    /// # Cancel safety
    /// The reload goes on when the wait is cancelled.
    pub async fn reload(&self) -> Option<ReloadAnswer> {
        if self.readiness() == Readiness::Draining {
            return None;
        }
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request::Reload(answer)).await.ok()?;
        answered.await.ok()
    }
}

impl Shared {
    pub(super) fn new(registry: Arc<Registry>, gate: Arc<Gate>, current: Arc<Current>, source: Arc<Source>) -> Self {
        Self {
            registry,
            gate,
            waiting: Arc::new(Gate::new(0)),
            shortage: Arc::default(),
            current,
            started: Instant::now(),
            readiness: AtomicU8::new(0),
            addresses: Mutex::default(),
            last_reload: Mutex::default(),
            stopped: watch::Sender::default(),
            source,
            workers: Mutex::default(),
            loops: Arc::default(),
            allowances: Mutex::default(),
            suspects: watch::Sender::default(),
            reloads: Notify::new(),
        }
    }

    /// Notes the next worker.
    pub(super) fn watch_worker(&self, worker: Watched) {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
    }

    /// The workers, in their order.
    pub(super) fn workers(&self) -> Vec<Watched> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what a generation allows the connections of an address. Those of earlier ones may still be there, so nothing
    /// that was allowed is taken back.
    pub(super) fn allow(&self, address: ListenAddress, allowance: Allowance) {
        let mut known = self.allowances.lock().unwrap_or_else(PoisonError::into_inner);
        let longest = known.get(&address).map_or(allowance, |before| before.longest(allowance));
        known.insert(address, longest);
    }

    pub(super) fn allowances(&self) -> HashMap<ListenAddress, Allowance> {
        self.allowances.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_suspects(&self, suspects: Vec<LeakSuspect>) {
        self.suspects.send_replace(suspects);
    }

    /// Waits for the next reload.
    ///
    /// # Cancel safety
    /// Cancel safe: one that comes while nobody waits is told to the next who does.
    pub(super) async fn reloaded(&self) {
        self.reloads.notified().await;
    }

    /// Every target that is in use.
    pub(super) fn targets(&self) -> Vec<Arc<Target>> {
        self.source.targets()
    }

    pub(super) fn readiness(&self) -> Readiness {
        match self.readiness.load(Ordering::Acquire) {
            0 => Readiness::Starting,
            1 => Readiness::Ready,
            _ => Readiness::Draining,
        }
    }

    pub(super) fn set_readiness(&self, readiness: Readiness) {
        self.readiness.store(readiness as u8, Ordering::Release);
    }

    pub(super) fn set_addresses(&self, addresses: Vec<ListenAddress>) {
        *self.addresses.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    pub(super) fn set_last_reload(&self, answer: ReloadAnswer) {
        let reload = LastReload { at: Instant::now(), answer };
        *self.last_reload.lock().unwrap_or_else(PoisonError::into_inner) = Some(reload);
        self.reloads.notify_one();
    }

    /// Tells those who wait for the daemon's end how it went.
    pub(super) fn set_stopped(&self, stopped: Stopped) {
        self.stopped.send_replace(Some(stopped));
    }
}
