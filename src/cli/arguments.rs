use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use ipnet::IpNet;

use crate::admin::{self, Column};
use crate::config;
use crate::connection::State;

/// Where the configuration is when nothing else is said.
pub(super) const DEFAULT_CONFIG: &str = "/etc/smartproxy/smartproxy.toml";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "smartproxy", version, about = "A standalone TCP/TLS reverse proxy", propagate_version = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run in the foreground; SIGHUP reloads, SIGTERM and SIGINT stop
    Run(ConfigOption),
    /// Say everything that is wrong with a configuration, as `run` would
    Check(CheckOptions),
    /// Say which route would take a URL or a connection, and why each other route would not
    Match(MatchOptions),
    /// Try it out: upstreams, a certificate and routes of each kind, in this process
    Demo(DemoOptions),
    /// Have the running daemon read its configuration anew
    Reload(DaemonOptions),
    /// Show what the running daemon is up to
    Status(DaemonOptions),
    /// List the live connections
    Connections(ConnectionsOptions),
    /// End live connections
    #[command(
        override_usage = "smartproxy kill [OPTIONS] <ID>...   (`smartproxy connections` lists the live ones under ID)
       smartproxy kill [OPTIONS] <FILTER>...   (those of `smartproxy connections`)"
    )]
    Kill(KillOptions),
    /// Show what connections go through, while it happens
    Trace(TraceOptions),
    /// Watch the running daemon in the terminal: rates, routes, targets, causes and connections
    Top(TopOptions),
    /// Stop the running daemon as SIGTERM does, and say how it ended
    Drain(DrainOptions),
    /// Print the JSON schema of the configuration
    Schema,
    /// Print completions for a shell
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page, of the whole program or of one command
    Man {
        /// The command; without it, the page of all of them
        #[arg(value_name = "COMMAND", value_parser = command_name)]
        command: Option<String>,
    },
}

/// Which configuration.
#[derive(Debug, Args)]
pub struct ConfigOption {
    /// The configuration file, or a pipe that gives one within 10 s
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
}

/// What is checked.
#[derive(Debug, Args)]
pub struct CheckOptions {
    /// Which configuration.
    #[command(flatten)]
    pub config: ConfigOption,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What to match.
#[derive(Debug, Args)]
pub struct MatchOptions {
    /// Which configuration.
    #[command(flatten)]
    pub config: ConfigOption,
    /// A URL (http:// or https://), or HOST:PORT for a TLS connection with that server name; with --hello, PORT alone will
    /// do
    #[arg(value_name = "URL|HOST:PORT")]
    pub what: String,
    /// A recorded TLS ClientHello, which says what the client asks for and offers: its bytes, or a dump of them in hexadecimal
    /// as by xxd, tcpdump -x or openssl s_client -msg
    #[arg(long, value_name = "FILE")]
    pub hello: Option<PathBuf>,
    /// The client's address [default: 127.0.0.1]
    #[arg(long, value_name = "IP")]
    pub from: Option<IpAddr>,
    /// The request's method
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    pub method: String,
    /// A header of the request; may be given several times
    #[arg(long = "header", value_name = "NAME:VALUE")]
    pub headers: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// How to try it out.
#[derive(Debug, Args)]
pub struct DemoOptions {
    /// End after this time, such as 30s; without it, at Ctrl-C
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub time: Option<Duration>,
}

/// How the running daemon is found, and how its answer is shown.
#[derive(Debug, Args)]
pub struct DaemonOptions {
    /// How it is found.
    #[command(flatten)]
    pub way: WayOptions,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// How the running daemon is found.
#[derive(Clone, Debug, Args)]
pub struct WayOptions {
    /// The daemon's configuration file, for its `[admin] socket`; faults elsewhere in it do not matter [default:
    /// /etc/smartproxy/smartproxy.toml]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The daemon's admin socket, instead of the one that the configuration names
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

/// How the running daemon is watched.
#[derive(Debug, Args)]
pub struct TopOptions {
    /// How the daemon is found.
    #[command(flatten)]
    pub way: WayOptions,
    /// How often it is asked
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = top_interval)]
    pub every: Duration,
}

/// Which connections are meant: those that all of it holds for.
#[derive(Clone, Debug, Default, Args)]
#[group(id = "filters", multiple = true)]
pub struct FilterOptions {
    /// Only those of this route; `-` is those that have none yet
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub route: Option<String>,
    /// Only those from this address or network, such as 10.1.2.3 or 2001:db8::/32
    #[arg(long, value_name = "NETWORK", value_parser = config::parse_network)]
    pub client: Option<IpNet>,
    /// Only those to this target, HOST:PORT as it is listed, or HOST alone
    #[arg(long, value_name = "TARGET")]
    pub target: Option<String>,
    /// Only those in this state
    #[arg(long, value_parser = PossibleValuesParser::new(State::ALL.map(State::as_str)))]
    pub state: Option<String>,
    /// Only those that are older than this, such as 5m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub older: Option<Duration>,
    /// Only those that are younger than this
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub younger: Option<Duration>,
    /// Only those that have moved at least so much both ways, such as 1MiB
    #[arg(long, value_name = "SIZE", value_parser = config::parse_size)]
    pub bytes: Option<u64>,
}

/// Which connections are listed, and how.
#[derive(Debug, Args)]
pub struct ConnectionsOptions {
    /// How the daemon is found.
    #[command(flatten)]
    pub daemon: DaemonOptions,
    /// Which.
    #[command(flatten)]
    pub filter: FilterOptions,
    /// Order by this: names from the first on, times and amounts from the greatest on [default: id]
    #[arg(long, value_name = "COLUMN", value_parser = PossibleValuesParser::new(Column::ALL.map(Column::as_str)))]
    pub sort: Option<String>,
    /// The other way round
    #[arg(long)]
    pub reverse: bool,
    /// No more than so many
    #[arg(long, value_name = "ROWS")]
    pub limit: Option<usize>,
}

/// Which connections are ended.
#[derive(Debug, Args)]
pub struct KillOptions {
    /// How the daemon is found.
    #[command(flatten)]
    pub daemon: DaemonOptions,
    /// The connections' numbers, as `smartproxy connections` shows them
    #[arg(
        value_parser = connection_number, conflicts_with = "filters", required_unless_present = "filters",
        num_args = 1..=admin::IDS_MAX
    )]
    pub id: Vec<u64>,
    /// Which.
    #[command(flatten)]
    pub filter: FilterOptions,
    /// Say which would be ended, and end none
    #[arg(long)]
    pub dry_run: bool,
}

/// Which connections are watched, and for how long.
#[derive(Debug, Args)]
pub struct TraceOptions {
    /// How the daemon is found.
    #[command(flatten)]
    pub daemon: DaemonOptions,
    /// Only those from this address or network, such as 10.1.2.3 or 2001:db8::/32
    #[arg(long, value_name = "NETWORK", value_parser = config::parse_network)]
    pub client: Option<IpNet>,
    /// Only those of this route, from the moment on at which they have it; `-` is those that have none
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub route: Option<String>,
    /// Only the one of this number, as `smartproxy connections` shows it
    #[arg(long, value_name = "ID", value_parser = connection_number)]
    pub connection: Option<u64>,
    /// End after this time; an hour at most
    #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = TraceTime::parse)]
    pub time: TraceTime,
}

/// How long a trace is watched.
#[derive(Clone, Debug)]
pub struct TraceTime {
    /// As it was written.
    pub text: String,
    /// What that means.
    pub time: Duration,
}

impl TraceTime {
    fn parse(text: &str) -> Result<Self, String> {
        let time = duration(text)?;
        if time.is_zero() {
            return Err("that is no time to see anything in".into());
        }
        if time > admin::TRACE_TIME_MAX {
            return Err("an hour is the longest".into());
        }
        Ok(Self { text: text.into(), time })
    }
}

/// How the daemon is stopped.
#[derive(Debug, Args)]
pub struct DrainOptions {
    /// How the daemon is found.
    #[command(flatten)]
    pub daemon: DaemonOptions,
    /// Return at once, and do not wait for the end
    #[arg(long)]
    pub no_wait: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    config::parse_duration(text).map_err(|error| error.to_string())
}

fn command_name(text: &str) -> Result<String, String> {
    let program = Arguments::command();
    let names: Vec<_> = program.get_subcommands().map(clap::Command::get_name).collect();
    match (names.contains(&text), config::nearest(text, names.iter().copied())) {
        (true, _) => Ok(text.into()),
        (false, Some(near)) => Err(format!("no such command; did you mean `{near}`?")),
        (false, None) => Err(format!("the commands are {}", names.join(", "))),
    }
}

fn top_interval(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    let sensible = Duration::from_millis(100)..=Duration::from_secs(60);
    if sensible.contains(&time) { Ok(time) } else { Err("between 100ms and 60s".into()) }
}

fn connection_number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "not a connection's number; `smartproxy connections` lists them under ID".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Arguments::command().debug_assert();
    }
}
