use std::sync::Arc;

use super::control::ReloadAnswer;
use super::daemon::{Daemon, connection_limit};
use crate::drain::Order;
use crate::generation::Generation;
use crate::net::ListenAddress;

impl Daemon {
    /// Reads the configuration anew: parse, validate, assemble, bind what is new, swap, retire what is gone.
    ///
    /// Any failure leaves everything as it was, and is logged with every fault.
    pub(super) async fn reload(&mut self) -> ReloadAnswer {
        self.manager.reloading();
        let answer = match self.renew().await {
            Ok(generation) => {
                tracing::info!(generation, "reloaded: {}", self.describe());
                self.shared.set_refused_reload(None);
                self.count_reload("done");
                ReloadAnswer::Reloaded { generation }
            }
            Err(faults) => {
                tracing::error!("the reload is refused and nothing has changed:\n{faults}");
                self.shared.set_refused_reload(Some(faults.clone()));
                self.count_reload("refused");
                ReloadAnswer::Refused { faults }
            }
        };
        self.manager.ready(&self.describe());
        answer
    }

    async fn renew(&mut self) -> Result<u64, String> {
        let previous = self.shared.current.load();
        let next = self.assemble(Arc::clone(&previous)).await?;
        let limit = connection_limit(next.settings.max_connections).map_err(|error| error.to_string())?;
        let added = missing(&next, &previous);
        let removed = missing(&previous, &next);
        let held: Vec<_> = self.listening.iter().map(|(key, _)| *key).collect();
        // The last step that can fail.
        let bound = self.inherited.bind(&added, &held, self.worker_count).map_err(|error| describe(&error))?;
        let number = next.number;
        next.warn_of_what_needs_a_restart(&previous);
        self.shared.current.replace(next);
        self.shared.gate.set_limit(limit);
        self.listen(bound);
        self.retire(&removed);
        Ok(number)
    }

    /// Reads files and builds the next generation off the control plane's thread, which goes on answering.
    async fn assemble(&self, previous: Arc<Generation>) -> Result<Generation, String> {
        let source = Arc::clone(&self.source);
        match tokio::task::spawn_blocking(move || source.load(Some(&previous))).await {
            Ok(Ok(generation)) => Ok(generation),
            Ok(Err(error)) => Err(error.to_string()),
            Err(panic) => Err(format!("assembling the configuration has failed: {panic}")),
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

    fn count_reload(&self, result: &str) {
        self.shared.registry.meters().reloads.with_label_values(&[result]).inc();
    }
}

/// The addresses of `these` that `those` have not.
fn missing(these: &Generation, those: &Generation) -> Vec<ListenAddress> {
    these.sites.keys().filter(|address| !those.sites.contains_key(address)).copied().collect()
}

fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
