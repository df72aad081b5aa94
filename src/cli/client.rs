use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::UnixStream;

use super::arguments::{SocketOptions, StatusOptions};
use super::check::refuse_config;
use super::exit::ExitStatus;
use crate::admin::Status;
use crate::config::{AdminSocket, Config};
use crate::outcome::with_causes;

/// How long the daemon may take to answer. A reload of a hundred thousand routes takes seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest answer: fifty thousand connections of 500 bytes, with room.
const ANSWER_LENGTH_MAX: usize = 64 * 1024 * 1024;

/// How many targets that are set aside are shown to people: as many as a screen takes beside the rest.
const TARGETS_SHOWN_MAX: usize = 15;

/// Has the daemon reload.
pub(super) fn reload(options: &SocketOptions) -> ExitStatus {
    #[derive(Deserialize)]
    struct Reloaded {
        generation: u64,
    }
    match ask(options, Method::POST, "/reload") {
        Ok((StatusCode::OK, body)) => match serde_json::from_str::<Reloaded>(&body) {
            Ok(Reloaded { generation }) => super::print(&format!("reloaded: generation {generation}\n")),
            Err(error) => super::exit::fail(ExitStatus::Unavailable, &error),
        },
        Ok((StatusCode::UNPROCESSABLE_ENTITY, faults)) => {
            eprintln!("{faults}\nthe reload is refused; the daemon runs as before");
            ExitStatus::Config
        }
        Ok((status, body)) => unexpected(status, &body),
        Err(status) => status,
    }
}

/// Shows what the daemon is up to.
pub(super) fn status(options: &StatusOptions) -> ExitStatus {
    match ask(&options.daemon, Method::GET, "/status") {
        Ok((StatusCode::OK, body)) if options.json => super::print(&format!("{body}\n")),
        Ok((StatusCode::OK, body)) => match serde_json::from_str::<Status>(&body) {
            Ok(status) => super::print(&describe(&status)),
            Err(error) => super::exit::fail(ExitStatus::Unavailable, &error),
        },
        Ok((status, body)) => unexpected(status, &body),
        Err(status) => status,
    }
}

fn describe(status: &Status) -> String {
    let mut text = format!(
        "smartproxy {} (process {}): {} for {}\ngeneration {}: {} routes\nconnections: {} of {}\n",
        status.version,
        status.pid,
        status.state,
        age(status.uptime_seconds),
        status.generation,
        status.routes,
        status.connections,
        status.max_connections,
    );
    for listener in &status.listeners {
        text.push_str(&format!("listening on {listener}\n"));
    }
    for aside in status.targets_set_aside.iter().take(TARGETS_SHOWN_MAX) {
        let since = age(aside.seconds);
        text.push_str(&format!("set aside: {} of {} for {since}: {}\n", aside.target, aside.route, aside.cause));
    }
    let more = status.targets_set_aside.len().saturating_sub(TARGETS_SHOWN_MAX);
    if more > 0 {
        text.push_str(&format!("set aside: {more} more; --json shows them all\n"));
    }
    if let Some(faults) = &status.refused_reload {
        text.push_str(&format!("the last reload was refused:\n{faults}\n"));
    }
    text
}

/// A time for people: `41s`, `12m41s`, `3h12m`, `5d3h`.
pub(super) fn age(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "ages are small and not negative")]
    let seconds = seconds.max(0.0) as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{}s", seconds % 60),
        3600..86_400 => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

/// Prints an answer that no command expects.
pub(super) fn unexpected(status: StatusCode, body: &str) -> ExitStatus {
    eprintln!("the daemon answers {status}: {}", body.trim_end());
    ExitStatus::Unavailable
}

/// Asks the daemon over its admin socket. What goes wrong is said, and is the exit status.
pub(super) fn ask(options: &SocketOptions, method: Method, path: &str) -> Result<(StatusCode, String), ExitStatus> {
    let socket = socket(options)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| super::exit::fail(ExitStatus::System, &error))?;
    let asking = async { tokio::time::timeout(ANSWER_TIMEOUT, converse(&socket, method, path)).await };
    match runtime.block_on(asking) {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            eprintln!("{}: {}", socket.display(), with_causes(&*error));
            eprintln!("is the daemon running, and may you use its socket?");
            Err(ExitStatus::Unavailable)
        }
        Err(_elapsed) => {
            eprintln!("{}: no answer within {} s", socket.display(), ANSWER_TIMEOUT.as_secs());
            Err(ExitStatus::Unavailable)
        }
    }
}

fn socket(options: &SocketOptions) -> Result<PathBuf, ExitStatus> {
    if let Some(socket) = &options.socket {
        return Ok(socket.clone());
    }
    let config = Config::from_file(&options.config.config).map_err(|error| refuse_config(&error))?;
    match config.admin.socket {
        AdminSocket::Default(path) => Ok(path),
        AdminSocket::At(path) => Ok(path.value),
        AdminSocket::Off => {
            eprintln!("{}: [admin] socket is off", options.config.config.display());
            Err(ExitStatus::Unavailable)
        }
    }
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

async fn converse(socket: &PathBuf, method: Method, path: &str) -> Result<(StatusCode, String), AnyError> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path).header(HOST, "localhost").body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_LENGTH_MAX).collect().await?.to_bytes();
    connection.abort();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_shown_in_its_two_largest_units() {
        for (seconds, text) in
            [(0.0, "0s"), (59.9, "59s"), (61.0, "1m1s"), (3_600.0, "1h0m"), (90_061.0, "1d1h"), (-1.0, "0s")]
        {
            assert_eq!(age(seconds), text);
        }
    }
}
