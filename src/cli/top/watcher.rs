use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{MissedTickBehavior, timeout};

use super::model::{Sight, TargetRow};
use super::tally::Tally;
use crate::cli::client::{Lost, converse};
use crate::cli::exit::ExitStatus;
use crate::outcome::with_causes;

/// How long the daemon may take for one of the answers; a list of fifty thousand connections takes a part of a second.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the one who shows may take to leave; it looks for news far more often.
const LEAVE_PATIENCE: Duration = Duration::from_secs(1);

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
    /// A signal: leave.
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
    /// Asks, until nobody listens any more.
    pub(super) async fn run(mut self, mut tasks: UnboundedReceiver<Task>) {
        let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()))
        else {
            // Without a handler for them the terminal would be left as it is.
            let _ = self.news.send(News::Quit);
            return;
        };
        let mut ticks = tokio::time::interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let news = tokio::select! {
                biased;
                () = any(&mut terminate, &mut interrupt, &mut hangup) => News::Quit,
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
            let leaving = matches!(news, News::Quit);
            if self.news.send(news).is_err() {
                return;
            }
            if leaving {
                // Who reads the keys of a terminal that has gone may never come back from it.
                tokio::time::sleep(LEAVE_PATIENCE).await;
                let _ = ratatui::try_restore();
                std::process::exit(i32::from(ExitStatus::Ok.code()));
            }
        }
    }

    async fn look(&self) -> News {
        match self.see().await {
            Ok(sight) => News::Seen(Box::new(sight)),
            Err(Blind::Odd(what)) => News::Trouble(what),
            Err(Blind::Lost(Lost::Unreachable(error))) => News::Trouble(format!("the daemon is gone: {error}")),
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

async fn any(terminate: &mut Signal, interrupt: &mut Signal, hangup: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
    }
}
