use std::io;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{MissedTickBehavior, sleep, timeout};

use super::model::{Sight, TargetRow};
use super::tally::Tally;
use crate::cli::client::{Lost, TOO_LONG, converse};
use crate::cli::exit::ExitStatus;
use crate::net::sys::{self, Peer};
use crate::outcome::with_causes;

/// How long the daemon may take for one of the answers; a list of fifty thousand connections takes a part of a second.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the one who shows may take to leave; it looks for news far more often.
const LEAVE_PATIENCE: Duration = Duration::from_secs(1);

/// How long the terminal may take to be given back; one that has stopped takes nothing.
const RESTORE_PATIENCE: Duration = Duration::from_millis(500);

/// How often it is looked whether the terminal is still there: not everyone is sent a signal when it goes.
const TERMINAL_PACE: Duration = Duration::from_millis(250);

/// How many targets are asked for: more than a terminal shows.
const TARGETS_MAX: usize = 100;

/// What the watcher is told to do.
#[derive(Debug)]
pub(super) enum Task {
    /// Ask now, and from now on, for these connections.
    Ask(String),
    /// End a connection.
    Kill(u64),
}

/// What the watcher has to tell.
pub(super) enum News {
    /// What the daemon has said.
    Seen(Box<Sight>),
    /// Why it has said nothing.
    Trouble(String),
    /// What came of a kill.
    Notice(String),
    /// A signal, or the end of the terminal: leave.
    Quit,
}

/// Who asks the daemon, beside the one who shows what it says.
pub(super) struct Watcher {
    pub(super) socket: PathBuf,
    pub(super) every: Duration,
    pub(super) path: String,
    pub(super) news: Sender<News>,
}

#[derive(serde::Deserialize)]
struct Targets {
    targets: Vec<TargetRow>,
}

/// Why there is nothing to see.
pub(super) enum Blind {
    /// No answer.
    Lost(Lost),
    /// An answer that nobody expects.
    Odd(String),
}

impl Watcher {
    /// Asks, until nobody listens any more, or until it is time to leave.
    pub(super) async fn run(self, tasks: UnboundedReceiver<Task>) {
        let news = self.news.clone();
        // Beside the asking, which waits for a daemon that does not answer.
        tokio::select! {
            biased;
            () = time_to_leave() => leave(&news).await,
            () = self.watch(tasks) => {}
        }
    }

    async fn watch(mut self, mut tasks: UnboundedReceiver<Task>) {
        let mut ticks = tokio::time::interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let news = tokio::select! {
                biased;
                task = tasks.recv() => match task {
                    Some(Task::Ask(path)) => {
                        self.path = path;
                        self.look().await
                    }
                    Some(Task::Kill(id)) => self.kill(id).await,
                    None => return,
                },
                _ = ticks.tick() => self.look().await,
            };
            if self.news.send(news).is_err() {
                return;
            }
        }
    }

    async fn look(&self) -> News {
        match self.see().await {
            Ok(sight) => News::Seen(Box::new(sight)),
            Err(Blind::Odd(what)) => News::Trouble(what),
            Err(Blind::Lost(Lost::Unreachable(error))) => News::Trouble(format!("the daemon is gone: {error}")),
            Err(Blind::Lost(Lost::TooLong)) => News::Trouble(TOO_LONG.into()),
            Err(Blind::Lost(Lost::Within(error))) => News::Trouble(format!("no answer: {}", with_causes(&*error))),
        }
    }

    /// What there is to be seen now.
    pub(super) async fn see(&self) -> Result<Sight, Blind> {
        let status = self.json("/status").await?;
        let metrics = self.ask(Method::GET, "/metrics").await?;
        let tally = Tally::parse(&metrics, Instant::now());
        let Targets { targets } = self.json(&format!("/targets?limit={TARGETS_MAX}")).await?;
        Ok(Sight { status, tally, targets, connections: self.json(&self.path).await? })
    }

    async fn kill(&self, id: u64) -> News {
        News::Notice(match self.ask(Method::POST, &format!("/connections/{id}/kill")).await {
            Ok(_) => format!("connection {id} is killed"),
            Err(Blind::Odd(what)) => what,
            Err(Blind::Lost(_)) => "the daemon is gone".into(),
        })
    }

    async fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Blind> {
        let body = self.ask(Method::GET, path).await?;
        serde_json::from_str(&body).map_err(|error| Blind::Odd(format!("{path} is not understood: {error}")))
    }

    async fn ask(&self, method: Method, path: &str) -> Result<String, Blind> {
        match timeout(ANSWER_TIMEOUT, converse(&self.socket, method, path)).await {
            Ok(Ok((StatusCode::OK, body))) => Ok(body),
            Ok(Ok((_, body))) => Err(Blind::Odd(body.trim_end().to_owned())),
            Ok(Err(lost)) => Err(Blind::Lost(lost)),
            Err(_elapsed) => Err(Blind::Odd(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()))),
        }
    }
}

/// Comes back at a signal, and when the terminal has gone.
async fn time_to_leave() {
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()))
    else {
        // Without a handler for them the terminal would be left as it is.
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
        () = terminal_gone() => {}
    }
}

async fn terminal_gone() {
    // A failure says nothing of the terminal.
    while matches!(sys::peer(&io::stdin()), Ok(Peer::Open) | Err(_)) {
        sleep(TERMINAL_PACE).await;
    }
}

/// Has the one who shows leave, and ends the process when that does not happen: reading the keys of a terminal that has gone
/// never comes back (crossterm reads its end again and again), and neither does writing to one that has stopped.
async fn leave(news: &Sender<News>) {
    let _ = news.send(News::Quit);
    sleep(LEAVE_PATIENCE).await;
    // On a thread of its own, since this writes too.
    let restoring = std::thread::Builder::new().name("restore".into()).spawn(|| _ = ratatui::try_restore());
    if restoring.is_ok() {
        sleep(RESTORE_PATIENCE).await;
    }
    std::process::exit(i32::from(ExitStatus::Ok.code()));
}
