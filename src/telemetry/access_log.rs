use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, mem, thread};

use prometheus::IntCounter;

use super::line::{Format, Line};

/// How many lines wait for a slow reader before the next ones are dropped and counted.
pub const LINES_QUEUED_MAX: usize = 65_536;

/// How many bytes of lines wait for a slow reader: 65,536 lines of 512 bytes. A path can make a line as long as a request's
/// head.
pub const BYTES_QUEUED_MAX: usize = 32 * 1024 * 1024;

/// What is written at once while lines keep coming.
const BATCH_BYTES: usize = 64 * 1024;

/// Where the lines of the access log go. A slow reader costs lines, never a connection's time.
#[derive(Clone, Debug)]
pub struct AccessLog {
    format: Format,
    lines: Option<SyncSender<String>>,
    queued: Arc<AtomicUsize>,
    dropped: IntCounter,
}

/// The thread that writes the lines.
#[derive(Debug)]
pub struct AccessLogWriter {
    thread: JoinHandle<()>,
    /// Disconnected when the thread ends.
    done: Receiver<()>,
}

impl AccessLog {
    /// A log that writes to `output` on a thread of its own, and that thread.
    ///
    /// # Errors
    /// The system's, if it has no thread to give.
    pub fn start(
        format: Format,
        output: impl Write + Send + 'static,
        dropped: IntCounter,
    ) -> io::Result<(Self, AccessLogWriter)> {
        let (sender, receiver) = sync_channel(LINES_QUEUED_MAX);
        let (ending, done) = sync_channel::<()>(0);
        let queued = Arc::new(AtomicUsize::new(0));
        let written = Arc::clone(&queued);
        let thread = thread::Builder::new().name("access-log".into()).spawn(move || {
            let _ending = ending;
            write_lines(&receiver, &written, output);
        })?;
        Ok((Self { format, lines: Some(sender), queued, dropped }, AccessLogWriter { thread, done }))
    }

    /// A log that keeps nothing.
    #[must_use]
    pub fn off(dropped: IntCounter) -> Self {
        Self { format: Format::Text, lines: None, queued: Arc::default(), dropped }
    }

    /// Writes one line; `fill` adds its fields and is not called when the log is off.
    pub fn write(&self, kind: &str, fill: impl FnOnce(&mut Line)) {
        let Some(lines) = &self.lines else { return };
        let mut line = Line::new(self.format, kind);
        fill(&mut line);
        let line = line.finish();
        let length = line.len();
        if self.queued.fetch_add(length, Ordering::Relaxed) + length > BYTES_QUEUED_MAX {
            self.queued.fetch_sub(length, Ordering::Relaxed);
            self.dropped.inc();
            return;
        }
        match lines.try_send(line) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.queued.fetch_sub(length, Ordering::Relaxed);
                self.dropped.inc();
            }
        }
    }
}

impl AccessLogWriter {
    /// Waits until every line has been written, but for no longer than `patience`: a reader that takes nothing must not
    /// keep the process from ending. Every [`AccessLog`] of it must be gone by then.
    pub fn finish(self, patience: Duration) {
        if self.done.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!(?patience, "the access log's reader takes nothing; its last lines are lost");
        } else if self.thread.join().is_err() {
            tracing::error!("the access log's writer has panicked");
        }
    }
}

fn write_lines(lines: &Receiver<String>, queued: &AtomicUsize, mut output: impl Write) {
    let mut batch = Vec::new();
    let mut failing = false;
    while let Ok(first) = lines.recv() {
        batch.extend_from_slice(first.as_bytes());
        while batch.len() < BATCH_BYTES
            && let Ok(line) = lines.try_recv()
        {
            batch.extend_from_slice(line.as_bytes());
        }
        queued.fetch_sub(batch.len(), Ordering::Relaxed);
        let result = output.write_all(&batch).and_then(|()| output.flush());
        let fails = result.is_err();
        if let Err(error) = result
            && !failing
        {
            tracing::warn!(%error, "the access log cannot be written; its lines are lost until it can");
        }
        failing = fails;
        batch.clear();
        if batch.capacity() > 2 * BATCH_BYTES {
            mem::take(&mut batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, mpsc};

    use super::*;
    use crate::telemetry::Meters;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A reader that takes nothing until it is released.
    struct Stuck(mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_is_written_before_the_writer_ends() {
        let kept = Kept::default();
        let meters = Meters::new();
        let (log, writer) = AccessLog::start(Format::Text, kept.clone(), meters.log_lines_dropped.clone()).unwrap();
        for number in 0..1000 {
            log.write("connection", |line| line.number("id", number));
        }
        drop(log);
        writer.finish(Duration::from_secs(10));
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1000);
        assert!(text.lines().last().unwrap().ends_with("connection id=999"));
    }

    #[test]
    fn a_reader_that_is_too_slow_costs_lines_that_are_counted_and_never_blocks() {
        let (release, stuck) = mpsc::channel();
        let meters = Meters::new();
        let dropped = meters.log_lines_dropped.clone();
        let (log, writer) = AccessLog::start(Format::Text, Stuck(stuck), dropped.clone()).unwrap();
        // The writer takes at most one batch out of the queue before it is stuck.
        let taken_max = BATCH_BYTES / 32;
        for _ in 0..LINES_QUEUED_MAX + taken_max + 1 {
            log.write("connection", |_| {});
        }
        assert!(dropped.get() >= 1);
        drop(log);
        drop(release);
        writer.finish(Duration::from_secs(10));
    }

    #[test]
    fn one_byte_more_than_may_wait_is_dropped_however_few_the_lines_are() {
        let (release, stuck) = mpsc::channel();
        let meters = Meters::new();
        let dropped = meters.log_lines_dropped.clone();
        let (log, writer) = AccessLog::start(Format::Text, Stuck(stuck), dropped.clone()).unwrap();
        let path = "x".repeat(BYTES_QUEUED_MAX / 8);
        // The writer takes one line out of the queue before it is stuck, seven wait, and the next is too much.
        for _ in 0..9 {
            log.write("request", |line| line.field("path", &path));
        }
        assert!(dropped.get() >= 1);
        drop(log);
        drop(release);
        writer.finish(Duration::from_secs(10));
    }
}
