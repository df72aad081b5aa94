use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::folds::Folds;
use super::log_line::{JsonLines, TextFields};
use crate::config::{Log, LogFormat};
use crate::telemetry::{Meters, Sink, SinkWriter};

/// How long the last lines may take when the process ends.
const PATIENCE: Duration = Duration::from_secs(2);

/// The daemon's log while it runs.
pub(super) struct Started {
    output: Output,
    writer: SinkWriter,
    folds: Folds,
}

/// Where the log's lines go: a thread writes them, so that a reader of standard error that stalls or goes away can neither
/// hold up nor end whoever logs.
#[derive(Clone)]
struct Output(Arc<Mutex<Option<Sink>>>);

/// Starts the daemon's log on standard error, as the configuration wants it.
///
/// # Errors
/// The system's, if it has no thread to give.
pub(super) fn start(log: &Log, meters: &Meters) -> io::Result<Started> {
    let (sink, writer) = Sink::start("log", io::stderr(), meters.log_lines_dropped.clone())?;
    let output = Output(Arc::new(Mutex::new(Some(sink))));
    // The configuration has checked the directives.
    let filter = EnvFilter::new(&log.level);
    let folds = Folds::default();
    let subscriber = tracing_subscriber::registry().with(filter).with(folds.clone());
    let lines = tracing_subscriber::fmt::layer().with_writer(output.clone()).log_internal_errors(false);
    let started = match log.format {
        LogFormat::Text => {
            let lines = lines.with_ansi(coloured()).with_target(false).fmt_fields(TextFields);
            subscriber.with(lines).try_init()
        }
        LogFormat::Json => subscriber.with(lines.event_format(JsonLines)).try_init(),
    };
    // A second start in one process, as of a test, keeps the first log.
    drop(started);
    Ok(Started { output, writer, folds })
}

impl Started {
    /// What counts the faults that repeat themselves.
    pub(super) fn folds(&self) -> &Folds {
        &self.folds
    }

    /// Writes the last lines; what is logged from now on is lost.
    pub(super) fn finish(self) {
        self.folds.finish();
        self.output.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.writer.finish(PATIENCE);
    }
}

impl<'a> MakeWriter<'a> for Output {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        Lines(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// Takes the lines of one event; never fails.
struct Lines(Option<Sink>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(sink) = &self.0 {
            sink.send(bytes.to_vec());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether standard error is a terminal, and nobody minds colours (no-color.org).
fn coloured() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
