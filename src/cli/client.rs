use std::fmt::Write;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

use super::arguments::DaemonOptions;
use super::exit::{ExitStatus, fail};
use super::output::{complain, print, print_json};
use super::quantity::{age, count};
use super::socket::{self, Errand};
use crate::admin::{Reloaded, Status};
use crate::outcome::with_causes;

/// How long the daemon may take to answer. A reload of a hundred thousand routes takes seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest answer that is read: a hundred thousand connections of 500 bytes, with room.
const ANSWER_LENGTH_MAX: usize = 64 * 1024 * 1024;

/// What is said of a longer one.
pub(super) const TOO_LONG: &str =
    "the answer is longer than 64 MiB, and no more is read: ask for less of it, by a filter or by --limit";

/// How many targets that are set aside are shown to people: as many as a screen takes beside the rest.
const TARGETS_SHOWN_MAX: usize = 15;

/// A reload that the daemon has refused.
#[derive(Serialize)]
struct Refused<'a> {
    faults: &'a str,
}

/// Has the daemon reload.
pub(super) fn reload(options: &DaemonOptions) -> ExitStatus {
    match ask(options, Errand::Reload, Method::POST, "/reload") {
        Ok((StatusCode::OK, body)) if options.json => print(&format!("{body}\n")),
        Ok((StatusCode::OK, body)) => match understood::<Reloaded>(&body) {
            Ok(Reloaded { generation, warnings, .. }) => {
                for warning in warnings {
                    complain(format_args!("warning: {warning}"));
                }
                print(&format!("reloaded: generation {generation}\n"))
            }
            Err(status) => status,
        },
        Ok((StatusCode::UNPROCESSABLE_ENTITY, faults)) => {
            if options.json {
                print_json(&Refused { faults: &faults });
            } else {
                complain(format!("{faults}\nthe reload is refused; the daemon runs as before"));
            }
            ExitStatus::Config
        }
        Ok((status, body)) => unexpected(status, &body),
        Err(status) => status,
    }
}

/// Shows what the daemon is up to.
pub(super) fn status(options: &DaemonOptions) -> ExitStatus {
    match ask(options, Errand::Status, Method::GET, "/status") {
        Ok((StatusCode::OK, body)) if options.json => print(&format!("{body}\n")),
        Ok((StatusCode::OK, body)) => match understood::<Status>(&body) {
            Ok(status) => print(&describe(&status)),
            Err(status) => status,
        },
        Ok((status, body)) => unexpected(status, &body),
        Err(status) => status,
    }
}

fn describe(status: &Status) -> String {
    let mut text = format!(
        "smartproxy {} (process {}): {} for {}\nconfiguration: {}\ngeneration {}: {} on {}\nconnections: {} of {}\n",
        status.version,
        status.pid,
        status.state,
        age(status.uptime_seconds),
        status.config,
        status.generation,
        count(status.routes, "route"),
        count(status.listeners.len(), "address"),
        status.connections,
        status.max_connections,
    );
    for listener in &status.listeners {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "listening on {listener}");
    }
    for aside in status.targets_set_aside.iter().take(TARGETS_SHOWN_MAX) {
        let since = age(aside.seconds);
        text.push_str(&format!("set aside: {} of {} {since} ago: {}\n", aside.target, aside.route, aside.cause));
    }
    let more = status.targets_set_aside.len().saturating_sub(TARGETS_SHOWN_MAX);
    if more > 0 {
        text.push_str(&format!("set aside: {more} more; --json shows them all\n"));
    }
    for suspect in status.leak_suspects.iter().take(TARGETS_SHOWN_MAX) {
        let since = age(suspect.seconds);
        text.push_str(&format!("leak suspect ({}) for {since}: {}\n", suspect.kind, suspect.what));
    }
    let more = status.leak_suspects.len().saturating_sub(TARGETS_SHOWN_MAX);
    if more > 0 {
        text.push_str(&format!("leak suspects: {more} more; --json shows them all\n"));
    }
    let _ = match &status.last_reload {
        None => writeln!(text, "last reload: none since the start"),
        Some(reload) => writeln!(text, "last reload: {} {} ago", reload.result, age(reload.age_seconds)),
    };
    if let Some(faults) = &status.refused_reload {
        let _ = writeln!(text, "the last reload was refused, and generation {} runs on:\n{faults}", status.generation);
    }
    text
}

/// Reads the daemon's JSON. What cannot be read is said, and is the exit status.
pub(super) fn understood<T: DeserializeOwned>(body: &str) -> Result<T, ExitStatus> {
    serde_json::from_str(body).map_err(|error| {
        complain("the daemon's answer is not understood: is it of another version?");
        fail(ExitStatus::Unavailable, &error)
    })
}

/// Prints an answer that no command expects.
pub(super) fn unexpected(status: StatusCode, body: &str) -> ExitStatus {
    complain(format!("the daemon answers {status}: {}", body.trim_end()));
    ExitStatus::Unavailable
}

/// Asks the daemon over its admin socket. What goes wrong is said, and is the exit status.
pub(super) fn ask(
    options: &DaemonOptions,
    errand: Errand,
    method: Method,
    path: &str,
) -> Result<(StatusCode, String), ExitStatus> {
    let socket = socket::find(&options.way, errand)?;
    let conversation = converse(&socket, method, path);
    let answer = runtime()?.block_on(async {
        match errand {
            // The daemon itself bounds its end, by `server.shutdown_timeout`.
            Errand::Drain => Some(conversation.await),
            Errand::Status | Errand::Connections | Errand::Kill | Errand::Trace | Errand::Top | Errand::Reload => {
                tokio::time::timeout(ANSWER_TIMEOUT, conversation).await.ok()
            }
        }
    });
    match answer {
        Some(answer) => answer.map_err(|lost| lost.tell(&socket, errand)),
        None => {
            complain(format!("{}: no answer within {} s", socket.display(), ANSWER_TIMEOUT.as_secs()));
            Err(ExitStatus::Unavailable)
        }
    }
}

/// Asks for what the daemon tells bit by bit: `begun` is called when it begins, and `take` with each piece, until it ends or
/// `take` wants no more. An answer that is no 200 is given back. What goes wrong is said, and is the exit status.
pub(super) fn follow(
    options: &DaemonOptions,
    errand: Errand,
    path: &str,
    begun: impl FnOnce(),
    mut take: impl FnMut(&[u8]) -> ControlFlow<ExitStatus>,
) -> Result<(StatusCode, String), ExitStatus> {
    let socket = socket::find(&options.way, errand)?;
    let following = async {
        let mut answer = open(&socket, Method::GET, path).await?;
        if answer.status() != StatusCode::OK {
            return Ok(Ok(whole(answer).await?));
        }
        begun();
        while let Some(frame) = answer.frame().await {
            if let Ok(piece) = frame?.into_data()
                && let ControlFlow::Break(status) = take(&piece)
            {
                return Ok(Err(status));
            }
        }
        Ok(Ok((StatusCode::OK, String::new())))
    };
    runtime()?.block_on(following).unwrap_or_else(|lost: Lost| Err(lost.tell(&socket, errand)))
}

pub(super) fn runtime() -> Result<Runtime, ExitStatus> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| fail(ExitStatus::System, &error))
}

/// Why there is no answer.
pub(super) enum Lost {
    /// Nobody could be asked.
    Unreachable(io::Error),
    /// The answer is longer than [`ANSWER_LENGTH_MAX`].
    TooLong,
    /// Somebody was, and went away.
    Within(Box<dyn std::error::Error + Send + Sync>),
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> From<E> for Lost {
    fn from(error: E) -> Self {
        Self::Within(error.into())
    }
}

impl Lost {
    /// Says it, and what it means for the exit.
    pub(super) fn tell(self, socket: &Path, errand: Errand) -> ExitStatus {
        match self {
            Self::Unreachable(error) => socket::unreachable(socket, &error, errand),
            Self::TooLong => {
                complain(format!("{}: {TOO_LONG}", socket.display()));
                ExitStatus::Unavailable
            }
            Self::Within(error) => {
                complain(format!("{}: the daemon went away in the middle: {}", socket.display(), with_causes(&*error)));
                ExitStatus::Unavailable
            }
        }
    }
}

pub(super) async fn converse(socket: &Path, method: Method, path: &str) -> Result<(StatusCode, String), Lost> {
    whole(open(socket, method, path).await?).await
}

/// Asks, and gives the answer as soon as it begins.
async fn open(socket: &Path, method: Method, path: &str) -> Result<Response<Incoming>, Lost> {
    let stream = UnixStream::connect(socket).await.map_err(Lost::Unreachable)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends when the answer has been read, or with the runtime.
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path).header(HOST, "localhost").body(Empty::<Bytes>::new())?;
    Ok(sender.send_request(request).await?)
}

async fn whole(answer: Response<Incoming>) -> Result<(StatusCode, String), Lost> {
    let status = answer.status();
    Ok((status, collected(answer.into_body(), ANSWER_LENGTH_MAX).await?))
}

/// The whole of a body, if it has no more bytes than that.
async fn collected<B>(body: B, length_max: usize) -> Result<String, Lost>
where
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    match Limited::new(body, length_max).collect().await {
        Ok(body) => Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned()),
        Err(error) if error.is::<LengthLimitError>() => Err(Lost::TooLong),
        Err(error) => Err(Lost::Within(error)),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use serde_json::json;

    use super::*;

    #[test]
    fn one_line_of_trouble_above_the_limit_is_counted_and_not_shown() {
        let of = |each: usize| {
            let aside =
                |number| json!({ "route": "r", "target": format!("t{number}"), "cause": "refused", "seconds": 1.0 });
            let suspect = |number| json!({ "kind": "socket", "what": format!("s{number}"), "seconds": 1.0 });
            let status = json!({
                "version": "1", "pid": 1, "state": "ready", "uptime_seconds": 1.0, "config": "c", "generation": 1,
                "generation_assembled_seconds": 1, "routes": 1, "listeners": [], "connections": 0, "max_connections": 1,
                "targets_set_aside": (0..each).map(aside).collect::<Vec<_>>(),
                "leak_suspects": (0..each).map(suspect).collect::<Vec<_>>(),
            });
            let text = describe(&serde_json::from_value(status).unwrap());
            let count = |what: &str| text.lines().filter(|line| line.starts_with(what)).count();
            (count("set aside: t"), count("leak suspect ("), text)
        };
        let (targets, suspects, text) = of(TARGETS_SHOWN_MAX);
        assert_eq!((targets, suspects), (TARGETS_SHOWN_MAX, TARGETS_SHOWN_MAX));
        assert!(!text.contains("more"), "{text}");
        let (targets, suspects, text) = of(TARGETS_SHOWN_MAX + 1);
        assert_eq!((targets, suspects), (TARGETS_SHOWN_MAX, TARGETS_SHOWN_MAX));
        for more in ["set aside: 1 more; --json shows them all", "leak suspects: 1 more; --json shows them all"] {
            assert!(text.contains(more), "{text}");
        }
    }

    #[tokio::test]
    async fn an_answer_of_the_greatest_length_is_read_and_one_byte_more_says_what_to_do() {
        let body = || Full::new(Bytes::from_static(b"1234567"));
        assert!(matches!(collected(body(), 7).await.as_deref(), Ok("1234567")));
        assert!(matches!(collected(body(), 6).await, Err(Lost::TooLong)));
        assert!(TOO_LONG.contains(&format!("{} MiB", ANSWER_LENGTH_MAX / (1024 * 1024))));
    }

    #[test]
    fn a_status_names_what_is_wrong() {
        let suspects: Vec<_> = (0..TARGETS_SHOWN_MAX + 2)
            .map(|number| serde_json::json!({ "kind": "socket", "what": format!("socket {number}"), "seconds": 301.0 }))
            .collect();
        let status = serde_json::json!({
            "version": "9.9.9", "pid": 1, "state": "ready", "uptime_seconds": 3700.0, "config": "/x.toml", "generation": 4,
            "generation_assembled_seconds": 1, "routes": 1, "listeners": ["127.0.0.1:80"], "connections": 1,
            "max_connections": 9000, "leak_suspects": suspects,
            "targets_set_aside": [{ "route": "shop", "target": "10.0.0.1:80", "cause": "refused", "seconds": 61.0 }],
            "last_reload": { "result": "refused", "age_seconds": 5.0 }, "refused_reload": "x.toml:1:1: unknown key",
        });
        let text = describe(&serde_json::from_value(status).unwrap());
        for part in [
            "smartproxy 9.9.9 (process 1): ready for 1h1m\n",
            "set aside: 10.0.0.1:80 of shop 1m1s ago: refused\n",
            "leak suspect (socket) for 5m1s: socket 0\n",
            "leak suspects: 2 more; --json shows them all\n",
            "last reload: refused 5s ago\n",
            "generation 4 runs on:\nx.toml:1:1: unknown key\n",
        ] {
            assert!(text.contains(part), "{part} is missing:\n{text}");
        }
    }
}
