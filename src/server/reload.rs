use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::control::{Asker, ReloadAnswer};
use super::daemon::{Daemon, Limits};
use super::leak::Allowance;
use super::worker::WorkerHandle;
use crate::drain::Order;
use crate::generation::Generation;
use crate::net::ListenAddress;
use crate::outcome::with_causes;
use crate::telemetry::ReloadResult;

/// How long reading the configuration and the files that it names may take: a hundred thousand routes take seconds, a file
/// system that does not answer takes for ever. Less than the client commands wait for the answer.
const LOAD_PATIENCE: Duration = Duration::from_secs(50);

/// How many loads may hang beside each other, each on a thread of its own, before the next is refused unread. More than one,
/// so that a configuration that no longer names the dead file system can still be loaded.
const LOADS_HUNG_MAX: usize = 8;

/// The load that runs, and who waits for it. One runs at a time; those who ask meanwhile share the one after it, since what
/// they have written may be newer than what is being read.
#[derive(Debug, Default)]
pub(super) struct Reloads {
    running: Option<Loading>,
    next: Option<Vec<Asker>>,
    /// Those that were given up, and have not ended.
    hung: Vec<Load>,
}

type Load = JoinHandle<Result<Box<Generation>, String>>;

#[derive(Debug)]
struct Loading {
    task: Load,
    deadline: Instant,
    askers: Vec<Asker>,
}

impl Reloads {
    /// Whether the one who asks has to wait for the next load; the asker is kept for it then.
    fn defer(&mut self, askers: Vec<Asker>) -> Result<(), Vec<Asker>> {
        if self.running.is_none() {
            return Err(askers);
        }
        self.next.get_or_insert_default().extend(askers);
        Ok(())
    }

    /// Whether so many loads hang that another one would too.
    fn is_stuck(&mut self) -> bool {
        self.hung.retain(|task| !task.is_finished());
        self.hung.len() >= LOADS_HUNG_MAX
    }

    fn begin(&mut self, task: Load, askers: Vec<Asker>) {
        self.running = Some(Loading { task, deadline: Instant::now() + LOAD_PATIENCE, askers });
    }

    /// What the running load comes to; pending while none runs.
    ///
    /// # Cancel safety
    /// The load goes on when the wait is cancelled.
    pub(super) async fn loaded(&mut self) -> Result<Box<Generation>, String> {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        match timeout_at(running.deadline, &mut running.task).await {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(panic)) => Err(format!("assembling the configuration has failed: {panic}")),
            Err(_elapsed) => Err(format!(
                "the configuration and its files could not be read within {} s; is a file system not answering?",
                LOAD_PATIENCE.as_secs()
            )),
        }
    }

    /// Tells everyone who waits for the load what came of it; gives those who wait for the next one, if anybody does.
    fn finish(&mut self, answer: &ReloadAnswer) -> Option<Vec<Asker>> {
        if let Some(Loading { task, askers, .. }) = self.running.take() {
            if !task.is_finished() {
                self.hung.push(task);
            }
            for asker in askers {
                // The asker may have gone; the log has it too.
                let _ = asker.send(answer.clone());
            }
        }
        self.next.take()
    }

    /// Leaves the load to itself: nobody waits for what comes of it any more.
    pub(super) fn abandon(&mut self) {
        *self = Self::default();
    }
}

impl Daemon {
    /// Reads the configuration anew, after the reload that runs, if one does.
    pub(super) fn ask_reload(&mut self, asker: Option<Asker>) {
        if let Err(askers) = self.reloads.defer(asker.into_iter().collect()) {
            self.begin_reload(askers);
        }
    }

    /// Reads files and builds the next generation off the control plane's thread, which goes on with all that it does.
    fn begin_reload(&mut self, askers: Vec<Asker>) {
        self.manager.reloading();
        tracing::info!("reading the configuration anew");
        let source = Arc::clone(&self.source);
        let previous = self.shared.current.load();
        let load = move || match source.load(Some(&previous)) {
            Ok(generation) => Ok(Box::new(generation)),
            Err(error) => Err(error.to_string()),
        };
        let task = if self.reloads.is_stuck() {
            let refusal = format!("{LOADS_HUNG_MAX} earlier reloads still wait for a file system that does not answer");
            tokio::spawn(std::future::ready(Err(refusal)))
        } else {
            tokio::task::spawn_blocking(load)
        };
        self.reloads.begin(task, askers);
    }

    /// Puts what was loaded in force. Any failure leaves everything as it was, and is logged with every fault.
    pub(super) fn finish_reload(&mut self, loaded: Result<Box<Generation>, String>) {
        let answer = match loaded.and_then(|next| self.renew(*next)) {
            Ok((generation, warnings)) => {
                for warning in &warnings {
                    tracing::warn!("{warning}");
                }
                tracing::info!(generation, "reloaded: {}", self.describe());
                self.count_reload(ReloadResult::Done);
                ReloadAnswer::Reloaded { generation, warnings }
            }
            Err(faults) => {
                tracing::error!("the reload is refused and nothing has changed:\n{faults}");
                self.count_reload(ReloadResult::Refused);
                ReloadAnswer::Refused { faults }
            }
        };
        self.shared.set_last_reload(answer.clone());
        self.manager.ready(&self.describe());
        if let Some(askers) = self.reloads.finish(&answer) {
            self.begin_reload(askers);
        }
    }

    /// Binds what is new, swaps, and retires what is gone. Gives the new generation's number, and what to warn of.
    fn renew(&mut self, mut next: Generation) -> Result<(u64, Vec<String>), String> {
        let previous = self.shared.current.load();
        let limits = Limits::of(next.settings.max_connections).map_err(|error| error.to_string())?;
        let added = missing(&next, &previous);
        let removed = missing(&previous, &next);
        let held = self.held();
        // The last step that can fail.
        let bound =
            self.inherited.bind(&added, &next, &held, self.worker_count).map_err(|error| with_causes(&error))?;
        let number = next.number;
        let mut warnings = std::mem::take(&mut next.warnings);
        warnings.extend(limits.lowered);
        warnings.extend(next.needs_restart());
        next.show_meters();
        self.shared.current.replace(next);
        self.workers.iter().for_each(WorkerHandle::renew);
        self.shared.gate.set_limit(limits.connections);
        self.shared.waiting.set_limit(limits.waiting);
        self.shared.registry.streams().set_limit(limits.streams);
        self.listen(bound);
        self.retire(&removed);
        self.allow();
        Ok((number, warnings))
    }

    /// What the new generation allows the connections of the addresses that stay.
    fn allow(&self) {
        for (key, bound) in &self.listening {
            if let Some(site) = self.shared.current.site(*key) {
                self.shared.allow(*bound, Allowance::of(&site));
            }
        }
    }

    /// Closes the addresses that are gone. Their connections are told to end at the next good moment; none is cut.
    fn retire(&mut self, removed: &[ListenAddress]) {
        for key in removed {
            for worker in &self.workers {
                worker.unlisten(*key);
            }
            tracing::info!(address = %key, "no longer listening");
        }
        let gone: Vec<_> =
            self.listening.iter().filter(|(key, _)| removed.contains(key)).map(|(_, bound)| *bound).collect();
        self.listening.retain(|(key, _)| !removed.contains(key));
        self.show_addresses();
        for connection in self.shared.registry.connections() {
            if gone.contains(&connection.listener()) {
                connection.order(Order::Drain);
            }
        }
    }

    fn count_reload(&self, result: ReloadResult) {
        self.shared.registry.meters().reload(result);
    }
}

/// The addresses of `these` that `those` have not.
fn missing(these: &Generation, those: &Generation) -> Vec<ListenAddress> {
    these.sites.keys().filter(|address| !those.sites.contains_key(address)).copied().collect()
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    fn refused(faults: &str) -> ReloadAnswer {
        ReloadAnswer::Refused { faults: faults.into() }
    }

    /// A load that is never done.
    fn hung() -> JoinHandle<Result<Box<Generation>, String>> {
        tokio::spawn(std::future::pending())
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_ask_while_a_load_runs_share_the_next_one() {
        let mut reloads = Reloads::default();
        let ((first, mut first_answer), (second, mut second_answer), (third, mut third_answer)) =
            (oneshot::channel(), oneshot::channel(), oneshot::channel());
        let askers = reloads.defer(vec![first]).unwrap_err();
        reloads.begin(tokio::spawn(async { Err("first".to_owned()) }), askers);
        reloads.defer(vec![second]).unwrap();
        reloads.defer(Vec::new()).unwrap();
        reloads.defer(vec![third]).unwrap();
        assert_eq!(reloads.loaded().await.unwrap_err(), "first");
        let next = reloads.finish(&refused("first")).unwrap();
        assert_eq!(first_answer.try_recv().unwrap(), refused("first"));
        assert!(second_answer.try_recv().is_err(), "what it has written may not have been read");
        let next = reloads.defer(next).unwrap_err();
        reloads.begin(tokio::spawn(async { Err("next".to_owned()) }), next);
        assert_eq!(reloads.loaded().await.unwrap_err(), "next");
        assert!(reloads.finish(&refused("next")).is_none());
        for answer in [&mut second_answer, &mut third_answer] {
            assert_eq!(answer.try_recv().unwrap(), refused("next"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_without_an_asker_is_not_forgotten_while_a_load_runs() {
        let mut reloads = Reloads::default();
        reloads.begin(hung(), Vec::new());
        reloads.defer(Vec::new()).unwrap();
        assert!(reloads.finish(&refused("")).is_some_and(|askers| askers.is_empty()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_load_that_hangs_is_refused_when_its_time_is_over() {
        let mut reloads = Reloads::default();
        reloads.begin(hung(), Vec::new());
        let begun = Instant::now();
        // Waits that are cancelled neither lose the load nor give it more time.
        for _ in 0..3 {
            assert!(tokio::time::timeout(LOAD_PATIENCE / 4, reloads.loaded()).await.is_err());
        }
        let refusal = reloads.loaded().await.unwrap_err();
        assert!(refusal.contains("within 50 s"), "{refusal}");
        assert!(begun.elapsed() < LOAD_PATIENCE + Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_asked_for_a_load_that_is_abandoned_is_told_so() {
        let mut reloads = Reloads::default();
        let (asker, answer) = oneshot::channel();
        reloads.begin(hung(), vec![asker]);
        reloads.abandon();
        assert!(answer.await.is_err());
        assert!(tokio::time::timeout(LOAD_PATIENCE * 2, reloads.loaded()).await.is_err(), "none runs");
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_loads_hang_beside_each_other() {
        let mut reloads = Reloads::default();
        let (release, released) = tokio::sync::watch::channel(false);
        for _ in 0..LOADS_HUNG_MAX {
            assert!(!reloads.is_stuck());
            let mut released = released.clone();
            let hanging = async move {
                let _ended = released.wait_for(|released| *released).await;
                Err("late".to_owned())
            };
            reloads.begin(tokio::spawn(hanging), Vec::new());
            assert!(reloads.loaded().await.is_err());
            reloads.finish(&refused("late"));
        }
        assert!(reloads.is_stuck());
        release.send(true).unwrap();
        while reloads.is_stuck() {
            tokio::task::yield_now().await;
        }
        // A load that ends in its time leaves nothing behind.
        reloads.begin(tokio::spawn(async { Err("in time".to_owned()) }), Vec::new());
        assert!(reloads.loaded().await.is_err());
        reloads.finish(&refused("in time"));
        assert!(reloads.hung.is_empty());
    }
}
