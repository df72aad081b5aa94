//! The lines that the daemon writes, kept as they come.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use serde_json::Value;

use super::wait::PATIENCE;

/// Everything that one stream of the daemon has said so far.
pub(crate) struct Lines {
    kept: Mutex<Kept>,
    changed: Condvar,
}

#[derive(Default)]
struct Kept {
    texts: Vec<String>,
    ended: bool,
}

impl Lines {
    /// Reads the stream to its end on a thread of its own.
    pub(crate) fn read(stream: impl Read + Send + 'static) -> (Arc<Self>, JoinHandle<()>) {
        let lines = Arc::new(Self { kept: Mutex::default(), changed: Condvar::new() });
        let reader = Arc::clone(&lines);
        let thread = thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n') {
                let Ok(line) = line else { break };
                reader.kept().texts.push(String::from_utf8_lossy(&line).into_owned());
                reader.changed.notify_all();
            }
            reader.kept().ended = true;
            reader.changed.notify_all();
        });
        (lines, thread)
    }

    /// How many lines there are; a mark for [`Lines::after`].
    pub(crate) fn count(&self) -> usize {
        self.kept().texts.len()
    }

    /// Every line so far.
    pub(crate) fn all(&self) -> Vec<String> {
        self.kept().texts.clone()
    }

    /// Every line so far that is JSON.
    pub(crate) fn values(&self) -> Vec<Value> {
        self.kept().texts.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The first line from `mark` on in which `find` finds something; waits for it.
    pub(crate) fn after<T>(&self, mark: usize, mut find: impl FnMut(&Value) -> Option<T>) -> Option<T> {
        let end = Instant::now() + PATIENCE;
        let mut seen = mark;
        let mut kept = self.kept();
        loop {
            while let Some(line) = kept.texts.get(seen) {
                seen += 1;
                if let Some(found) = serde_json::from_str(line).ok().and_then(|value| find(&value)) {
                    return Some(found);
                }
            }
            let left = end.saturating_duration_since(Instant::now());
            if kept.ended || left.is_zero() {
                return None;
            }
            kept = self.changed.wait_timeout(kept, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A field of a log event, wherever the formatter puts it.
pub(crate) fn field<'a>(event: &'a Value, name: &str) -> Option<&'a str> {
    event.get(name).or_else(|| event.get("fields")?.get(name))?.as_str()
}
