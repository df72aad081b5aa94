use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};

use super::control::{Asker, Control, Readiness, Request, Shared};
use super::leak::{Allowance, LeakWatch};
use super::listeners::{BindError, Bound, Inherited};
use super::notify::ServiceManager;
use super::reload::Reloads;
use super::worker::{Broken, WorkerHandle};
use crate::connection::{Gate, Registry};
use crate::drain::{Count, Counted};
use crate::generation::{Current, Generation, Source};
use crate::net::{DESCRIPTORS_KEPT, ListenAddress, sys};
use crate::upstream::count_lookups;

/// Requests of operators that wait for the one before; more must wait to ask.
const REQUESTS_WAITING_MAX: usize = 16;

/// Descriptors that are not a connection's: runtimes, listeners, files, the admin's own.
///
/// A connection takes two (its own and the target's), so 45 % of the limit leaves a tenth for these and for idle upstream
/// connections.
const CONNECTION_SHARE_PERCENT: u64 = 45;

/// The running daemon: its workers, and the control plane that tells them what to do.
#[derive(Debug)]
pub struct Daemon {
    pub(super) source: Arc<Source>,
    pub(super) shared: Arc<Shared>,
    pub(super) workers: Vec<WorkerHandle>,
    pub(super) worker_count: NonZeroUsize,
    pub(super) inherited: Inherited,
    /// Each address as configured, and as the system has bound it.
    pub(super) listening: Vec<(ListenAddress, ListenAddress)>,
    /// The sockets of each address as configured, of those too that are gone and still serve their queue.
    open: Vec<(ListenAddress, Arc<Count>)>,
    pub(super) manager: ServiceManager,
    pub(super) signals: Signals,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) reloads: Reloads,
    broken: mpsc::UnboundedReceiver<Broken>,
    control: Control,
}

/// Why the daemon could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A worker or a signal handler cannot be had.
    #[error("the system has no thread, descriptor or signal handler for the daemon")]
    System(#[from] io::Error),
}

/// How the daemon ended.
#[derive(Debug)]
pub enum Exit {
    /// It was told to.
    Stopped,
    /// A worker thread has panicked, and its connections with it.
    WorkerPanicked,
    /// A listener broke for good.
    ListenerBroken {
        /// The address.
        address: ListenAddress,
        /// The system's error.
        error: io::Error,
    },
}

#[derive(Debug)]
pub(super) struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

/// What the control plane acts on next.
enum Event {
    Reload(Option<Asker>),
    Loaded(Result<Box<Generation>, String>),
    Stop(&'static str),
    Broken(Broken),
    Watchdog,
}

impl Daemon {
    /// Binds every listener of the first generation and starts the workers on them. Call it on the control plane's runtime.
    ///
    /// # Errors
    /// What could not be had; nothing keeps running then.
    pub fn start(
        source: Arc<Source>,
        first: Generation,
        registry: Arc<Registry>,
        inherited: Inherited,
    ) -> Result<Self, StartError> {
        // First of all, so that a signal that comes early is not the default one.
        let signals = Signals::listen()?;
        let worker_count = first.settings.workers.unwrap_or_else(available_cores);
        let limits = Limits::of(first.settings.max_connections)?;
        for warning in first.warnings.iter().chain(&limits.lowered) {
            tracing::warn!("{warning}");
        }
        let gate = Arc::new(Gate::new(limits.connections));
        let addresses: Vec<_> = first.sites.keys().copied().collect();
        let bound = inherited.bind(&addresses, &first, &[], worker_count)?;
        inherited.warn_of_unused(&addresses);
        first.show_meters();
        count_lookups(registry.meters());
        let current = Arc::new(Current::new(first));
        let shared = Arc::new(Shared::new(registry, gate, current, Arc::clone(&source)));
        shared.waiting.set_limit(limits.waiting);
        shared.registry.streams().set_limit(limits.streams);
        let (requests_in, requests) = mpsc::channel(REQUESTS_WAITING_MAX);
        let (broken_in, broken) = mpsc::unbounded_channel();
        let workers = (0..worker_count.get())
            .map(|index| WorkerHandle::start(index, &shared, broken_in.clone()))
            .collect::<io::Result<Vec<_>>>()?;
        let control = Control::new(requests_in, Arc::clone(&shared));
        let manager = ServiceManager::find()?;
        let mut daemon = Self {
            source,
            shared,
            workers,
            worker_count,
            inherited,
            listening: Vec::new(),
            open: Vec::new(),
            manager,
            signals,
            requests,
            reloads: Reloads::default(),
            broken,
            control,
        };
        daemon.listen(bound);
        Ok(daemon)
    }

    /// The operator's handle.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Runs until told to stop, and stops in order.
    pub async fn run(mut self) -> Exit {
        self.shared.set_readiness(Readiness::Ready);
        self.manager.ready(&self.describe());
        tracing::info!(workers = self.workers.len(), max_connections = self.shared.gate.limit(), "ready");
        let mut watchdog = self.manager.watchdog_interval().map(beats);
        let _leaks = LeakWatch::start(Arc::clone(&self.shared));
        loop {
            match self.next_event(&mut watchdog).await {
                Event::Reload(asker) => self.ask_reload(asker),
                Event::Loaded(loaded) => self.finish_reload(loaded),
                Event::Watchdog => self.watch(),
                Event::Stop(signal) => {
                    self.stop(signal).await;
                    return Exit::Stopped;
                }
                Event::Broken(Broken::Worker { index }) => {
                    tracing::error!(worker = index, "a worker thread has panicked; the daemon stops");
                    self.stop("a panicked worker").await;
                    return Exit::WorkerPanicked;
                }
                Event::Broken(Broken::Listener { address, error }) => {
                    tracing::error!(%address, %error, "the listener is broken; the daemon stops");
                    self.stop("a broken listener").await;
                    return Exit::ListenerBroken { address, error };
                }
            }
        }
    }

    async fn next_event(&mut self, watchdog: &mut Option<Interval>) -> Event {
        let Signals { hangup, terminate, interrupt } = &mut self.signals;
        tokio::select! {
            biased;
            _ = terminate.recv() => Event::Stop("SIGTERM"),
            _ = interrupt.recv() => Event::Stop("SIGINT"),
            _ = hangup.recv() => Event::Reload(None),
            Some(broken) = self.broken.recv() => Event::Broken(broken),
            Some(request) = self.requests.recv() => match request {
                Request::Reload(answer) => Event::Reload(Some(answer)),
                Request::Stop => Event::Stop("the operator"),
            },
            loaded = self.reloads.loaded() => Event::Loaded(loaded),
            () = beat(watchdog) => Event::Watchdog,
        }
    }

    /// Hands new sockets to the workers, and says where they listen.
    pub(super) fn listen(&mut self, bound: Bound) {
        for (key, sockets) in bound {
            // Bound are the addresses of the generation that runs.
            let Some(site) = self.shared.current.site(key) else { continue };
            if let Some(first) = sockets.first() {
                let address = first.local_address();
                self.listening.push((key, address));
                tracing::info!(%address, "listening");
            }
            if let Some(first) = sockets.first() {
                self.shared.allow(first.local_address(), Allowance::of(&site));
            }
            let open = Arc::new(Count::default());
            for (worker, socket) in self.workers.iter().zip(sockets) {
                worker.listen(&site, socket, Counted::new(&open));
            }
            self.open.push((key, open));
        }
        self.show_addresses();
    }

    /// The addresses that our sockets still have.
    pub(super) fn held(&mut self) -> Vec<ListenAddress> {
        self.open.retain(|(_, sockets)| sockets.live() > 0);
        self.open.iter().map(|(key, _)| *key).collect()
    }

    pub(super) fn show_addresses(&self) {
        self.shared.set_addresses(self.listening.iter().map(|(_, bound)| *bound).collect());
    }

    /// The one line that the service manager shows.
    pub(super) fn describe(&self) -> String {
        let generation = self.shared.current.load();
        format!(
            "generation {}: routes: {}, addresses: {}",
            generation.number,
            generation.routes.len(),
            self.listening.len()
        )
    }

    /// Tells the service manager that the daemon lives, if every worker has shown so since the last time.
    pub(super) fn watch(&self) {
        let mut all_alive = true;
        for (index, worker) in self.workers.iter().enumerate() {
            if !worker.is_alive() {
                all_alive = false;
                tracing::error!(worker = index, "the worker's event loop does not turn");
            }
        }
        if all_alive {
            self.manager.alive();
        }
    }
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for a signal to stop.
    pub(super) async fn stop(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// When the service manager is told that the daemon lives, and the workers are asked.
pub(super) fn beats(every: Duration) -> Interval {
    let mut beats = tokio::time::interval(every);
    // Those missed are not made up for: two at once would leave the workers no time to answer in between, and blame them.
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beats
}

/// Waits for the next beat, for ever if there is no watchdog.
///
/// # Cancel safety
/// Cancel safe.
pub(super) async fn beat(watchdog: &mut Option<Interval>) {
    match watchdog {
        Some(beats) => _ = beats.tick().await,
        None => std::future::pending().await,
    }
}

/// One worker per core that the process may use (its affinity and its cgroup's quota count).
fn available_cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// How many connections there may be at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Served.
    pub connections: usize,
    /// Accepted and not served yet, at addresses that are closed. Half of the descriptors that the served ones leave, since
    /// the others are for runtimes, listeners, files and idle upstream connections.
    pub waiting: usize,
    /// Requests of HTTP/2 clients that have a target's connection to themselves, beside the first of each client: what
    /// connections leave, or a quarter of all descriptors where that is more. A few clients take no more than that, and
    /// connections are seldom as many as they may be.
    pub streams: usize,
    /// What to say where these are fewer connections than the configuration wants.
    pub lowered: Option<String>,
}

/// What the process has open for itself: 27 were counted with two workers and one address.
const DESCRIPTORS_OWN: u64 = 32;

impl Limits {
    /// `server.max_connections`, but never so many that a connection's two descriptors could not be had.
    pub(super) fn of(wanted: Option<NonZeroUsize>) -> io::Result<Self> {
        Ok(Self::within(sys::descriptor_limit()?, wanted))
    }

    fn within(descriptors: u64, wanted: Option<NonZeroUsize>) -> Self {
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let share = descriptors.saturating_mul(CONNECTION_SHARE_PERCENT) / 100;
        // Where there are few, it is not a share that leaves room for the rest.
        let others = DESCRIPTORS_KEPT.min(descriptors / 8).saturating_add(DESCRIPTORS_OWN);
        let most = count(share.min(descriptors.saturating_sub(others) / 2)).max(1);
        let connections = wanted.map_or(most, |wanted| wanted.get().min(most));
        let waiting = count(descriptors).saturating_sub(connections.saturating_mul(2)) / 2;
        let left = count(descriptors.saturating_sub(others)).saturating_sub(connections.saturating_mul(2));
        let streams = left.max(count(descriptors / 4));
        let lowered = wanted.filter(|wanted| wanted.get() > connections).map(|wanted| {
            format!(
                "server.max_connections = {wanted} is lowered to {connections}, which is what the limit of open files, \
                 {descriptors}, allows (LimitNOFILE=)"
            )
        });
        Self { connections, waiting, streams, lowered }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_and_those_who_wait_leave_descriptors_for_the_rest() {
        let within = |descriptors, wanted| {
            let limits = Limits::within(descriptors, NonZeroUsize::new(wanted));
            (limits.connections, limits.waiting, limits.lowered.is_some())
        };
        let streams = |descriptors, wanted| Limits::within(descriptors, NonZeroUsize::new(wanted)).streams;
        assert_eq!([streams(1024, 0), streams(1024, 100), streams(20_000, 0)], [256, 728, 5000]);
        assert_eq!(within(1024, 0), (460, 52, false));
        assert_eq!(within(1024, 461), (460, 52, true));
        assert_eq!(within(1024, 100), (100, 412, false));
        assert_eq!(within(256, 0), (96, 32, false));
        assert_eq!(within(1, 0), (1, 0, false));
        let (connections, waiting, _) = within(u64::MAX, usize::MAX);
        assert!(connections.saturating_mul(2).saturating_add(waiting) < usize::MAX);
    }
}
