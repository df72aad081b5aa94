//! Waiting for a condition, never for a time.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything in these tests may take before it counts as never. Far above what it takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How often a condition is asked that cannot tell by itself when it changes, such as a process's descriptors.
const PACE: Duration = Duration::from_millis(5);

/// Asks until there is an answer; the last refusal is what went wrong.
pub(crate) fn until<T>(mut ask: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let end = Instant::now() + PATIENCE;
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(refusal) if Instant::now() >= end => return Err(format!("{refusal} (waited {PATIENCE:?})")),
            Err(_) => thread::sleep(PACE),
        }
    }
}
