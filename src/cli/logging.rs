use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts the daemon's log on standard error, as the configuration wants it.
pub(super) fn start(log: &Log) {
    // The configuration has checked the directives.
    let filter = EnvFilter::new(&log.level);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = match log.format {
        LogFormat::Text => builder.with_ansi(coloured()).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if let Err(error) = started {
        eprintln!("the log cannot be started: {error}");
    }
}

/// Warnings of a command that is not the daemon, in the plainest form.
pub(super) fn for_commands() {
    let builder = tracing_subscriber::fmt().with_env_filter(EnvFilter::new("warn")).with_writer(io::stderr);
    // A second start, in a test, changes nothing.
    let _ = builder.with_ansi(coloured()).with_target(false).without_time().try_init();
}

/// Whether standard error is a terminal, and nobody minds colours (no-color.org).
fn coloured() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
