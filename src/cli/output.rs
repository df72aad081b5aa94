use std::fmt::Display;
use std::io::{self, Write};

use serde::Serialize;

use super::exit::{ExitStatus, fail};

/// Writes to standard output. A reader that has gone (`smartproxy schema | head`) is no error of ours.
pub(super) fn print(text: &str) -> ExitStatus {
    let mut output = io::stdout();
    // What is left in the buffer would be lost without a word.
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Ok(()) => ExitStatus::Ok,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitStatus::Ok,
        Err(error) => fail(ExitStatus::System, &error),
    }
}

/// Writes JSON to standard output, one value on one line.
pub(super) fn print_json(value: &impl Serialize) -> ExitStatus {
    match serde_json::to_string(value) {
        Ok(text) => print(&format!("{text}\n")),
        Err(error) => fail(ExitStatus::System, &error),
    }
}

/// Says something on standard error. Unlike `eprintln!` it does not panic where nobody can hear it: the exit status tells too.
pub(super) fn complain(what: impl Display) {
    // One write, so that two processes on one terminal do not mix their lines.
    let _ = io::stderr().write_all(format!("{what}\n").as_bytes());
}
