use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

/// Where the configuration is when nothing else is said.
const DEFAULT_CONFIG: &str = "/etc/smartproxy/smartproxy.toml";

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
    Check(ConfigOption),
    /// Say which route would take a URL or a connection, and why each other route would not
    Match(MatchOptions),
    /// Try it out: upstreams, a certificate and routes of each kind, in this process
    Demo(DemoOptions),
    /// Have the running daemon read its configuration anew
    Reload(SocketOptions),
    /// Show what the running daemon is up to
    Status(StatusOptions),
    /// List the live connections
    Connections(ConnectionsOptions),
    /// End one live connection
    Kill(KillOptions),
    /// Print the JSON schema of the configuration
    Schema,
    /// Print completions for a shell
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page
    Man,
}

/// Which configuration.
#[derive(Debug, Args)]
pub struct ConfigOption {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
}

/// What to match.
#[derive(Debug, Args)]
pub struct MatchOptions {
    /// Which configuration.
    #[command(flatten)]
    pub config: ConfigOption,
    /// A URL (http:// or https://), or HOST:PORT for a TLS connection with that server name
    #[arg(value_name = "URL|HOST:PORT")]
    pub what: String,
    /// The client's address
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub from: IpAddr,
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

/// How the running daemon is found.
#[derive(Debug, Args)]
pub struct SocketOptions {
    /// Which configuration.
    #[command(flatten)]
    pub config: ConfigOption,
    /// The daemon's admin socket, instead of the one that the configuration names
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

/// How the daemon's state is shown.
#[derive(Debug, Args)]
pub struct StatusOptions {
    /// How the daemon is found.
    #[command(flatten)]
    pub daemon: SocketOptions,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Which connections are listed.
#[derive(Debug, Args)]
pub struct ConnectionsOptions {
    /// How the daemon is found.
    #[command(flatten)]
    pub daemon: SocketOptions,
    /// Only those of this route
    #[arg(long, value_name = "NAME")]
    pub route: Option<String>,
    /// Only those in this state, such as relaying
    #[arg(long)]
    pub state: Option<String>,
    /// Only those that are older than this, such as 5m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub older: Option<Duration>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Which connection is ended.
#[derive(Debug, Args)]
pub struct KillOptions {
    /// How the daemon is found.
    #[command(flatten)]
    pub daemon: SocketOptions,
    /// The connection's number, as `smartproxy connections` shows it
    pub id: u64,
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::config::parse_duration(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Arguments::command().debug_assert();
    }
}
