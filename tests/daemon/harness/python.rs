//! Real clients and servers that are written in Python.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::wait::until;

/// A script of `tests/clients`, running.
pub(crate) struct Python {
    child: Child,
}

impl Python {
    /// Whether this machine has Python with the module; CI must. `SMARTPROXY_TEST_PYTHON` names another than `python3`.
    pub(crate) fn has(module: &str) -> bool {
        let found = python().arg("-c").arg(format!("import {module}")).stderr(Stdio::null()).status();
        let found = found.is_ok_and(|status| status.success());
        assert!(found || std::env::var_os("CI").is_none(), "CI needs Python with {module}");
        if !found {
            eprintln!("skipped: this machine has no Python with {module}");
        }
        found
    }

    pub(crate) fn run(script: &str, arguments: &[&str]) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
        let mut command = python();
        command.arg(path).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self { child: command.spawn().unwrap() }
    }

    /// The next line that it writes.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        // It says one line before it asks for one.
        BufReader::with_capacity(1, self.child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits until it has done all that it checks.
    pub(crate) fn succeed(mut self) {
        let status = until(|| self.child.try_wait().unwrap().ok_or_else(|| "the script has not ended".to_owned()));
        assert!(status.unwrap().success(), "the script says what is wrong above");
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn python() -> Command {
    Command::new(std::env::var_os("SMARTPROXY_TEST_PYTHON").unwrap_or_else(|| "python3".into()))
}
