use std::time::Duration;

use tokio::time::Instant;

use super::control::{Readiness, Stopped};
use super::daemon::Daemon;
use super::worker::WorkerHandle;
use crate::drain::Order;

/// How long connections have to end after they were cut, and then workers. They only have to notice; a worker that does not
/// turn is left.
const CUT_PATIENCE: Duration = Duration::from_secs(5);

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
        let drained = {
            let closed: Vec<_> = self.workers.iter().map(WorkerHandle::stop_accepting).collect();
            let registry = std::sync::Arc::clone(&self.shared.registry);
            let drain = async {
                registry.order(Order::Drain);
                for worker in closed {
                    // An error is a worker that is gone; it accepts no more either.
                    let _ = worker.await;
                }
                // Those that were accepted between the order and the close have not heard it.
                registry.order(Order::Drain);
                registry.empty().await;
            };
            tokio::select! {
                biased;
                () = drain => Drained::All,
                signal = self.signals.stop() => Drained::Again(signal),
                () = tokio::time::sleep(timeout) => Drained::TimedOut,
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
            Some(why) => self.cut(why, deadline).await,
        };
        finish(self.workers, deadline).await;
        tracing::info!("stopped");
        self.shared.set_stopped(Stopped { live, cut, why });
    }

    /// Ends the waiting of those who asked for something: their channels are closed.
    fn refuse_requests(&mut self) {
        self.reloads.abandon();
        self.requests.close();
        while self.requests.try_recv().is_ok() {}
    }

    /// Cuts what is left, and says how many that are.
    async fn cut(&self, why: &'static str, deadline: Instant) -> usize {
        let registry = &self.shared.registry;
        let live = registry.live();
        tracing::warn!(why, live, "cutting the connections that are left");
        registry.order(Order::Cut);
        if tokio::time::timeout_at(deadline, registry.empty()).await.is_err() {
            tracing::error!(live = registry.live(), "connections did not end when they were cut");
        }
        live
    }
}

/// Ends the workers, all at once.
async fn finish(workers: Vec<WorkerHandle>, deadline: Instant) {
    let ending: Vec<_> = workers.into_iter().map(|worker| worker.finish(deadline)).collect();
    for ended in ending {
        ended.await;
    }
}
