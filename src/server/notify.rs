use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::oneshot;

/// How many messages wait for a service manager that does not read; what comes then is for nobody.
const MESSAGES_WAITING_MAX: usize = 64;

/// How long the last message may take when the daemon ends.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// The service manager's side of the daemon's life (sd_notify(3)). Without one, nothing is sent.
///
/// Its socket blocks when it does not read, so a thread of its own sends: nothing that it does may hold up the daemon.
#[derive(Debug)]
pub(super) struct ServiceManager {
    watchdog: Option<Duration>,
    sender: Option<Sender>,
}

/// The thread that sends.
#[derive(Debug)]
struct Sender {
    messages: SyncSender<String>,
    /// Closed when the thread ends.
    ended: oneshot::Receiver<()>,
}

impl ServiceManager {
    /// Finds the service manager in the environment.
    ///
    /// # Errors
    /// The system's, if it has no thread to give.
    pub(super) fn find() -> io::Result<Self> {
        let watchdog = sd_notify::watchdog_enabled();
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return Ok(Self { watchdog, sender: None });
        }
        let (messages, waiting) = sync_channel(MESSAGES_WAITING_MAX);
        let (ending, ended) = oneshot::channel::<()>();
        std::thread::Builder::new().name("notify".into()).spawn(move || {
            let _ending = ending;
            deliver(&waiting);
        })?;
        Ok(Self { watchdog, sender: Some(Sender { messages, ended }) })
    }

    /// How often [`ServiceManager::alive`] is expected: half of what the manager waits (sd_watchdog_enabled(3)).
    pub(super) fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
    }

    pub(super) fn ready(&self, status: &str) {
        self.send(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// A reload begins; [`ServiceManager::ready`] says that it is over.
    pub(super) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.send(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!(%error, "the service manager was not told of the reload"),
        }
    }

    pub(super) fn stopping(&self, status: &str) {
        self.send(&[NotifyState::Stopping, NotifyState::Status(status)]);
    }

    pub(super) fn alive(&self) {
        self.send(&[NotifyState::Watchdog]);
    }

    /// Waits until all has been sent, for no longer than [`LAST_PATIENCE`].
    pub(super) async fn finish(self) {
        let Some(Sender { messages, ended }) = self.sender else { return };
        drop(messages);
        // What is left unsaid, the end of the process says.
        let _ = tokio::time::timeout(LAST_PATIENCE, ended).await;
    }

    fn send(&self, states: &[NotifyState<'_>]) {
        let Some(Sender { messages, .. }) = &self.sender else { return };
        let lines: Vec<_> = states.iter().map(ToString::to_string).collect();
        if messages.try_send(lines.join("\n")).is_err() {
            tracing::debug!("the service manager does not read");
        }
    }
}

fn deliver(messages: &Receiver<String>) {
    for message in messages {
        if let Err(error) = sd_notify::notify(&[NotifyState::Custom(&message)]) {
            tracing::debug!(%error, "the service manager was not reached");
        }
    }
}
