use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::control::{Readiness, Stopped};
use super::daemon::Daemon;
use super::worker::WorkerHandle;
use crate::connection::Registry;
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
        let mut accepting: Vec<_> = self.workers.iter().map(WorkerHandle::stop_accepting).collect();
        let registry = Arc::clone(&self.shared.registry);
        // Those that are opened from now on hear of it too.
        registry.order(Order::Drain);
        let drained = tokio::select! {
            biased;
            () = empty(&mut accepting, &registry) => Drained::All,
            signal = self.signals.stop() => Drained::Again(signal),
            () = tokio::time::sleep(timeout) => Drained::TimedOut,
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;
    use crate::generation::Source;
    use crate::server::{Daemon, Inherited};
    use crate::telemetry::{AccessLog, Meters};

    const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(200);

    /// A daemon that listens with two workers.
    fn daemon() -> Daemon {
        let config = "server.workers = 2\nserver.shutdown_timeout = \"200ms\"\n[[routes]]\nname = \"one\"\n\
                      match.ports = [\"127.0.0.1:0\"]\nprotocol = \"tcp\"\ntargets = [\"127.0.0.1:1\"]\n";
        let config = Config::from_text(config, Path::new("test.toml")).unwrap();
        let meters = Arc::new(Meters::new());
        let source = Source::new(Path::new("test.toml"), Arc::clone(&meters)).unwrap();
        let first = source.assemble(&config, None).unwrap();
        let registry = Arc::new(Registry::new(meters, AccessLog::off()));
        Daemon::start(Arc::new(source), first, registry, Inherited::default()).unwrap()
    }

    #[tokio::test]
    async fn a_stop_waits_for_a_worker_that_does_not_turn_until_its_deadline_and_no_longer() {
        let mut daemon = daemon();
        let (stuck, _release) = WorkerHandle::stuck(2, &daemon.shared);
        daemon.workers.push(stuck);
        let shared = Arc::clone(&daemon.shared);
        let begun = Instant::now();
        daemon.stop("a test").await;
        let took = begun.elapsed();
        assert!(took >= SHUTDOWN_TIMEOUT + CUT_PATIENCE, "{took:?}: it was waited for");
        assert!(took < SHUTDOWN_TIMEOUT + CUT_PATIENCE + Duration::from_secs(2), "{took:?}: all waits end at once");
        assert_eq!(Arc::strong_count(&shared), 1, "those that turn have ended, and let go of what they shared");
    }

    #[tokio::test]
    async fn a_stop_whose_workers_turn_ends_at_once() {
        let begun = Instant::now();
        daemon().stop("a test").await;
        assert!(begun.elapsed() < CUT_PATIENCE);
    }
}
