use std::fmt::Write;
use std::io;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::arguments::{Arguments, DEFAULT_CONFIG};
use super::exit::ExitStatus;

/// A section of terms, each with a sentence.
type Terms = &'static [(&'static str, &'static str)];

/// What the program does about each signal.
const SIGNALS: Terms = &[
    ("SIGHUP", "Read the configuration anew. Any fault leaves everything as it was, and is logged."),
    (
        "SIGTERM, SIGINT",
        "Stop: accept no more, finish what is queued, drain, and cut what is left at server.shutdown_timeout. A second one cuts \
         at once.",
    ),
    ("SIGPIPE", "Ignored: a reader that goes away ends nothing."),
];

/// What the program looks for in its environment.
const ENVIRONMENT: Terms = &[
    ("NO_COLOR", "Not empty: what goes to a terminal is not coloured (no-color.org)."),
    ("SSL_CERT_FILE, SSL_CERT_DIR", "The system's certificate authorities, where the system has them elsewhere."),
    (
        "NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID",
        "The service manager is told of starts, reloads and stops, and that the daemon lives (sd_notify(3)).",
    ),
    ("LISTEN_FDS, LISTEN_PID", "Listening sockets that the service manager passes are used (sd_listen_fds(3))."),
    ("TMPDIR", "Where demo makes its private folder; /tmp if it is not set."),
];

/// The manual page in roff: every command with its options, from the definitions that the command line is read by.
///
/// # Errors
/// None that can happen: it is written into memory.
pub(super) fn manual() -> io::Result<String> {
    let mut program = Arguments::command();
    // Fills in what commands inherit: their full names, and --help.
    program.build();
    let page = Man::new(program.clone()).manual("smartproxy manual");
    let mut text = rendered(|buffer| {
        page.render_title(buffer)?;
        page.render_name_section(buffer)
    })?;
    text.push_str(".SH SYNOPSIS\n");
    for command in commands(&program) {
        text.push_str(&synopsis(command)?);
        text.push_str(".br\n");
    }
    text.push_str(".SH DESCRIPTION\n");
    text.push_str(&escaped(
        "smartproxy takes TCP and TLS connections, matches a route, and passes them to targets: TLS unread, TLS terminated \
         towards HTTP or HTTPS, plain HTTP, or raw TCP. One TOML file says how. smartproxy run is the daemon; the other \
         commands judge its configuration or ask the running daemon over its admin socket.",
    ));
    text.push_str("\n.SH COMMANDS\n");
    for command in commands(&program) {
        let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
        // Writing to a String cannot fail.
        let _ = writeln!(text, ".SS {}", escaped(name));
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(text, "{}.", escaped(&about));
        let page = Man::new(command.clone());
        text.push_str(&body(&rendered(|buffer| page.render_options_section(buffer))?));
    }
    let statuses: Vec<_> = ExitStatus::ALL.iter().map(|status| (status.code().to_string(), status.meaning())).collect();
    text.push_str(&section("EXIT STATUS", statuses.iter().map(|(code, meaning)| (code.as_str(), *meaning))));
    text.push_str(&section("SIGNALS", SIGNALS.iter().copied()));
    let files = [
        (DEFAULT_CONFIG, "The configuration, unless -c names another."),
        ("/run/smartproxy/admin.sock", "The admin socket, unless [admin] socket names another."),
    ];
    text.push_str(&section("FILES", files.into_iter()));
    text.push_str(&section("ENVIRONMENT", ENVIRONMENT.iter().copied()));
    text.push_str(&rendered(|buffer| page.render_version_section(buffer))?);
    Ok(text)
}

/// The manual page of one command, `smartproxy-NAME(1)`, from the same definitions.
///
/// # Errors
/// None that can happen: it is written into memory.
pub(super) fn manual_of(name: &str) -> io::Result<String> {
    let mut program = Arguments::command();
    program.build();
    // The command line has asked for one that there is.
    let Some(command) = program.find_subcommand(name) else { return Ok(String::new()) };
    let page = Man::new(command.clone()).manual("smartproxy manual");
    let mut text = rendered(|buffer| page.render(buffer))?;
    text.push_str(".SH \"SEE ALSO\"\n\\fBsmartproxy\\fR(1), which has the exit codes, the files and the environment\n");
    Ok(text)
}

fn commands(program: &Command) -> impl Iterator<Item = &Command> {
    program.get_subcommands().filter(|command| command.get_name() != "help")
}

fn synopsis(command: &Command) -> io::Result<String> {
    let page = Man::new(command.clone());
    Ok(body(&rendered(|buffer| page.render_synopsis_section(buffer))?))
}

fn rendered(render: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<String> {
    let mut buffer = Vec::new();
    render(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer).into_owned())
}

/// A section without its heading and the preamble, to stand within another one.
fn body(section: &str) -> String {
    let own = |line: &&str| ![".SH", ".ie", ".el"].iter().any(|control| line.starts_with(control));
    section.lines().filter(own).map(|line| format!("{line}\n")).collect()
}

fn section<'a>(heading: &str, terms: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = format!(".SH {heading}\n");
    for (term, meaning) in terms {
        let _ = write!(text, ".TP\n\\fB{}\\fR\n{}\n", escaped(term), escaped(meaning));
    }
    text
}

/// Text that roff takes for text (groff(7)); none of ours begins with a dot or an apostrophe.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_a_request_by_accident() {
        const REQUESTS: [&str; 10] = [".IP ", ".ie ", ".el ", ".TH ", ".SH ", ".SS ", ".TP", ".br", ".RS ", ".RE"];
        for line in manual().unwrap().lines() {
            let request = line.starts_with(['.', '\'']);
            assert!(!request || REQUESTS.iter().any(|known| line.starts_with(known)), "{line}");
        }
    }
}
