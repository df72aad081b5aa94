use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, mem, thread};

use prometheus::IntCounter;

/// How many lines wait for a slow reader before the next ones are dropped and counted.
pub const LINES_QUEUED_MAX: usize = 65_536;

/// How many bytes of lines wait for a slow reader: 65,536 lines of 512 bytes. A path can make a line as long as a request's
/// head.
pub const BYTES_QUEUED_MAX: usize = 32 * 1024 * 1024;

/// What is written at once while lines keep coming.
const BATCH_BYTES: usize = 64 * 1024;

/// An output for lines, written by a thread of its own: a reader that is slow, or gone, costs lines and never the time of
/// whoever writes, nor the process.
#[derive(Clone, Debug)]
pub struct Sink {
    lines: SyncSender<Vec<u8>>,
    queued: Arc<AtomicUsize>,
    dropped: IntCounter,
}

/// The thread that writes the lines.
#[derive(Debug)]
pub struct SinkWriter {
    thread: JoinHandle<()>,
    /// Disconnected when the thread ends.
    done: Receiver<()>,
}

impl Sink {
    /// A sink that writes to `output` on a thread of that name, and the thread. Lines that cannot wait are counted.
    ///
    /// # Errors
    /// The system's, if it has no thread to give.
    pub fn start(
        name: &str,
        output: impl Write + Send + 'static,
        dropped: IntCounter,
    ) -> io::Result<(Self, SinkWriter)> {
        let (lines, received) = sync_channel(LINES_QUEUED_MAX);
        let (ending, done) = sync_channel::<()>(0);
        let queued = Arc::new(AtomicUsize::new(0));
        let (written, lost) = (Arc::clone(&queued), dropped.clone());
        let named = name.to_owned();
        let thread = thread::Builder::new().name(name.into()).spawn(move || {
            let _ending = ending;
            write_lines(&received, &written, output, &named, &lost);
        })?;
        Ok((Self { lines, queued, dropped }, SinkWriter { thread, done }))
    }

    /// Sends one line, with its end of line.
    pub fn send(&self, line: Vec<u8>) {
        let length = line.len();
        if self.queued.fetch_add(length, Ordering::Relaxed) + length > BYTES_QUEUED_MAX {
            self.queued.fetch_sub(length, Ordering::Relaxed);
            self.dropped.inc();
            return;
        }
        match self.lines.try_send(line) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.queued.fetch_sub(length, Ordering::Relaxed);
                self.dropped.inc();
            }
        }
    }
}

impl SinkWriter {
    /// Waits until every line has been written, but for no longer than `patience`: a reader that takes nothing must not
    /// keep the process from ending. Every [`Sink`] of it must be gone by then, or it waits for all of `patience`.
    pub fn finish(self, patience: Duration) {
        if self.done.recv_timeout(patience) != Err(RecvTimeoutError::Timeout) {
            // Its panic would be a fault of ours, and is on standard error already.
            let _ = self.thread.join();
        }
    }
}

fn write_lines(
    lines: &Receiver<Vec<u8>>,
    queued: &AtomicUsize,
    mut output: impl Write,
    name: &str,
    dropped: &IntCounter,
) {
    let mut batch = Vec::new();
    let mut failing = false;
    while let Ok(first) = lines.recv() {
        batch.extend_from_slice(&first);
        let mut count = 1;
        while batch.len() < BATCH_BYTES
            && let Ok(line) = lines.try_recv()
        {
            batch.extend_from_slice(&line);
            count += 1;
        }
        queued.fetch_sub(batch.len(), Ordering::Relaxed);
        match output.write_all(&batch).and_then(|()| output.flush()) {
            Ok(()) => failing = false,
            Err(error) => {
                // It may come back, as when a full disk is cleared. Some of the batch may have been written.
                dropped.inc_by(count);
                if !mem::replace(&mut failing, true) {
                    tracing::warn!(%error, sink = name, "lines cannot be written, and are lost until they can");
                }
            }
        }
        batch.clear();
        if batch.capacity() > 2 * BATCH_BYTES {
            mem::take(&mut batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::telemetry::{Kept, Meters};

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
        let (sink, writer) = Sink::start("test", kept.clone(), meters.access_lines_dropped.clone()).unwrap();
        for number in 0..1000 {
            sink.send(format!("line {number}\n").into_bytes());
        }
        drop(sink);
        writer.finish(Duration::from_secs(10));
        let text = kept.text();
        assert_eq!(text.lines().count(), 1000);
        assert!(text.lines().last().unwrap().ends_with("line 999"));
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let dropped = Meters::new().access_lines_dropped.clone();
        let (sink, writer) = Sink::start("test", full, dropped.clone()).unwrap();
        for _ in 0..10 {
            sink.send(b"line\n".to_vec());
        }
        drop(sink);
        writer.finish(Duration::from_secs(10));
        assert_eq!(dropped.get(), 10);
    }

    #[test]
    fn a_reader_that_is_too_slow_costs_lines_that_are_counted_and_never_blocks() {
        let (release, stuck) = mpsc::channel();
        let meters = Meters::new();
        let dropped = meters.access_lines_dropped.clone();
        let (sink, writer) = Sink::start("test", Stuck(stuck), dropped.clone()).unwrap();
        // The writer takes at most one batch out of the queue before it is stuck.
        let taken_max = BATCH_BYTES / 32;
        for _ in 0..LINES_QUEUED_MAX + taken_max + 1 {
            sink.send(vec![b'x'; 32]);
        }
        assert!(dropped.get() >= 1);
        drop(sink);
        drop(release);
        writer.finish(Duration::from_secs(10));
    }

    #[test]
    fn one_byte_more_than_may_wait_is_dropped_however_few_the_lines_are() {
        let (release, stuck) = mpsc::channel();
        let meters = Meters::new();
        let dropped = meters.access_lines_dropped.clone();
        let (sink, writer) = Sink::start("test", Stuck(stuck), dropped.clone()).unwrap();
        let path = vec![b'x'; BYTES_QUEUED_MAX / 8];
        // The writer takes one line out of the queue before it is stuck, seven wait, and the next is too much.
        for _ in 0..10 {
            sink.send(path.clone());
        }
        assert!(dropped.get() >= 1);
        drop(sink);
        drop(release);
        writer.finish(Duration::from_secs(10));
    }
}
