use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::control::{Readiness, Stopped};
use super::daemon::{Daemon, beat, beats};
use super::worker::WorkerHandle;
use crate::connection::Registry;
use crate::drain::Order;

/// How long connections and workers have to end after the cut. They only have to notice; a worker that does not turn is left.
pub(super) const CUT_PATIENCE: Duration = Duration::from_secs(5);

/// How long workers have at least to end, however long the connections took: those that turn need no more than a moment.
pub(super) const END_PATIENCE: Duration = Duration::from_secs(1);

/// Why draining ended.
enum Drained {
    All,
    TimedOut,
    Again(&'static str),
}

impl Daemon {
    /// Stops: accept no more, finish what is queued, drain, and cut what is left at `server.shutdown_timeout` or at a second
    /// signal.
    pub(super) async fn stop(mut self, signal: &'static str) {
        let timeout = self.shared.current.load().settings.shutdown_timeout;
        let live = self.shared.registry.live();
        tracing::info!(signal, live, ?timeout, "stopping: no new connections, draining");
        self.shared.set_readiness(Readiness::Draining);
        self.manager.stopping(&format!("draining {live} connections"));
        self.refuse_requests();
        let mut accepting: Vec<_> = self.workers.iter().map(WorkerHandle::stop_accepting).collect();
        let registry = Arc::clone(&self.shared.registry);
        // Those that are opened from now on hear of it too.
        registry.order(Order::Drain);
        let mut watchdog = self.manager.watchdog_interval().map(beats);
        let mut timed_out = pin!(tokio::time::sleep(timeout));
        let drained = loop {
            tokio::select! {
                biased;
                () = empty(&mut accepting, &registry) => break Drained::All,
                signal = self.signals.stop() => break Drained::Again(signal),
                () = timed_out.as_mut() => break Drained::TimedOut,
                // A drain may take longer than a service manager waits for a sign of life.
                () = beat(&mut watchdog) => self.watch(),
            }
        };
        let deadline = Instant::now() + CUT_PATIENCE;
        let why = match drained {
            Drained::All => None,
            Drained::TimedOut => Some("server.shutdown_timeout has passed"),
            Drained::Again(signal) => Some(signal),
        };
        let cut = match why {
            None => {
                tracing::info!("every connection has ended");
                0
            }
            Some(why) => cut(why, accepting, &registry, deadline).await,
        };
        finish(self.workers, deadline.max(Instant::now() + END_PATIENCE)).await;
        self.manager.finish().await;
        tracing::info!("stopped");
        self.shared.registry.tracers().end();
        self.shared.set_stopped(Stopped { live, cut, why });
    }

    /// Ends the waiting of those who asked for something: their channels are closed.
    fn refuse_requests(&mut self) {
        self.reloads.abandon();
        self.requests.close();
        while self.requests.try_recv().is_ok() {}
    }
}

/// Waits until no worker accepts any more, and no connection lives.
///
/// # Cancel safety
/// Cancel safe.
async fn empty(accepting: &mut Vec<oneshot::Receiver<()>>, registry: &Registry) {
    while let Some(worker) = accepting.last_mut() {
        // An error is a worker that is gone; it accepts no more either.
        let _ = worker.await;
        accepting.pop();
    }
    registry.empty().await;
}

/// Ends the connections that are left, and those who wait for a place as they get one: each is counted. Says how many were
/// left.
async fn cut(why: &str, mut accepting: Vec<oneshot::Receiver<()>>, registry: &Registry, deadline: Instant) -> usize {
    let live = registry.live();
    tracing::warn!(why, live, "cutting the connections that are left");
    registry.order(Order::Cut);
    let ended = tokio::time::timeout_at(deadline, empty(&mut accepting, registry)).await;
    if ended.is_err() && registry.live() > 0 {
        tracing::error!(live = registry.live(), "connections did not end when they were cut");
    }
    live
}

/// Ends the workers, all at once.
async fn finish(workers: Vec<WorkerHandle>, deadline: Instant) {
    let ending: Vec<_> = workers.into_iter().map(|worker| worker.finish(deadline)).collect();
    for ended in ending {
        ended.await;
    }
}
