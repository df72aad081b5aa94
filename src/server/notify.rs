use std::time::Duration;

use sd_notify::NotifyState;

/// The service manager's side of the daemon's life (sd_notify(3)). Without one, nothing is sent.
#[derive(Debug)]
pub(super) struct ServiceManager {
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// Finds the service manager in the environment.
    pub(super) fn find() -> Self {
        Self { watchdog: sd_notify::watchdog_enabled() }
    }

    /// How often [`ServiceManager::alive`] is expected: half of what the manager waits (sd_watchdog_enabled(3)).
    pub(super) fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
    }

    pub(super) fn ready(&self, status: &str) {
        send(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// A reload begins; [`ServiceManager::ready`] says that it is over.
    pub(super) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => send(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!(%error, "the service manager was not told of the reload"),
        }
    }

    pub(super) fn stopping(&self, status: &str) {
        send(&[NotifyState::Stopping, NotifyState::Status(status)]);
    }

    pub(super) fn alive(&self) {
        send(&[NotifyState::Watchdog]);
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager was not reached");
    }
}
