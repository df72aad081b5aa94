//! The command line: arguments, exit codes, and what people read.

mod arguments;
mod check;
mod client;
mod connections;
mod demo;
mod exit;
mod logging;
mod matching;
mod run;

pub use arguments::{Arguments, Command};
pub use exit::ExitStatus;

use std::ffi::OsString;
use std::io::Write;

use clap::{CommandFactory, Parser};

/// Runs the program with these arguments, and says how it ended.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitStatus {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no errors, and go to standard output.
            let status = if error.use_stderr() { ExitStatus::Usage } else { ExitStatus::Ok };
            return match error.print() {
                Ok(()) => status,
                Err(_) => ExitStatus::System,
            };
        }
    };
    match arguments.command {
        Command::Run(options) => run::run(&options.config),
        Command::Check(options) => check::check(&options.config),
        Command::Match(options) => matching::explain_match(&options),
        Command::Demo(options) => demo::demo(&options),
        Command::Reload(options) => client::reload(&options),
        Command::Status(options) => client::status(&options),
        Command::Connections(options) => connections::list(&options),
        Command::Kill(options) => connections::kill(&options),
        Command::Schema => print(&format!("{:#}\n", crate::config::schema())),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "smartproxy", &mut text);
            print(&String::from_utf8_lossy(&text))
        }
        Command::Man => {
            let mut text = Vec::new();
            match clap_mangen::Man::new(Arguments::command()).render(&mut text) {
                Ok(()) => print(&String::from_utf8_lossy(&text)),
                Err(error) => exit::fail(ExitStatus::System, &error),
            }
        }
    }
}

/// Writes to standard output. A reader that has gone (`smartproxy schema | head`) is no error of ours.
fn print(text: &str) -> ExitStatus {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitStatus::Ok,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitStatus::Ok,
        Err(error) => exit::fail(ExitStatus::System, &error),
    }
}
