//! The command line: arguments, exit codes, and what people read.

mod arguments;
mod blocked;
mod check;
mod client;
mod connections;
mod demo;
mod drain;
mod examination;
mod exit;
mod folds;
mod hello;
mod log_line;
mod logging;
mod manual;
mod matching;
mod output;
mod pick;
mod quantity;
mod question;
mod run;
mod socket;
mod top;
mod trace;

pub use arguments::{Arguments, Command};
pub use exit::ExitStatus;

use std::ffi::OsString;

use clap::{CommandFactory, Parser};
use output::print;

/// Runs the program with these arguments, and says how it ended.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitStatus {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            return match (error.print(), error.use_stderr()) {
                (_, true) => ExitStatus::Usage,
                // Help and version are no errors, and go to standard output.
                (Ok(()), false) => ExitStatus::Ok,
                (Err(error), false) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitStatus::Ok,
                (Err(error), false) => exit::fail(ExitStatus::System, &error),
            };
        }
    };
    match arguments.command {
        Command::Run(options) => run::run(&options.config),
        Command::Check(options) => check::check(&options),
        Command::Match(options) => matching::explain_match(&options),
        Command::Demo(options) => demo::demo(&options),
        Command::Reload(options) => client::reload(&options),
        Command::Status(options) => client::status(&options),
        Command::Connections(options) => connections::list(&options),
        Command::Kill(options) => connections::kill(&options),
        Command::Drain(options) => drain::drain(&options),
        Command::Top(options) => top::top(&options),
        Command::Trace(options) => trace::trace(&options),
        Command::Schema => print(&format!("{:#}\n", crate::config::schema())),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "smartproxy", &mut text);
            print(&String::from_utf8_lossy(&text))
        }
        Command::Man { command } => match command.map_or_else(manual::manual, |name| manual::manual_of(&name)) {
            Ok(text) => print(&text),
            Err(error) => exit::fail(ExitStatus::System, &error),
        },
    }
}
