use std::fmt::Write;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::arguments::{DEFAULT_CONFIG, WayOptions};
use super::check::refuse_config;
use super::exit::ExitStatus;
use super::output::complain;
use crate::config::{Admin, AdminSocket, LoadError};

/// What the daemon is asked for; says what else can be done where it cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    Status,
    Connections,
    Kill,
    Trace,
    Top,
    Reload,
    Drain,
}

impl Errand {
    /// How to have the same without the socket.
    fn otherwise(self) -> &'static str {
        match self {
            Self::Status => "`/status` of the address in [admin] `listen`, if it is set, shows the same",
            Self::Connections => "`/connections` of the address in [admin] `listen`, if it is set, shows the same",
            Self::Kill => "nothing but the socket ends one connection",
            Self::Trace => "`[log] level = \"debug\"` logs the states of every connection",
            Self::Top => "`/metrics` of the address in [admin] `listen`, if it is set, has the numbers for a dashboard",
            Self::Reload => "SIGHUP does the same (`systemctl reload smartproxy`, `kill -HUP PID`)",
            Self::Drain => "SIGTERM does the same (`systemctl stop smartproxy`, `kill -TERM PID`)",
        }
    }
}

/// The path of the running daemon's socket. What goes wrong is said, and is the exit status.
pub(super) fn find(options: &WayOptions, errand: Errand) -> Result<PathBuf, ExitStatus> {
    if let Some(socket) = &options.socket {
        return Ok(socket.clone());
    }
    let file = options.config.as_deref().unwrap_or(Path::new(DEFAULT_CONFIG));
    let socket = match Admin::from_file(file) {
        Ok(admin) => admin.socket,
        // Nobody has named it: the daemon may run on another file, with the socket at its usual place.
        Err(LoadError::Missing { .. }) if options.config.is_none() => Admin::default().socket,
        Err(error) => {
            let status = refuse_config(&error);
            if status != ExitStatus::NoInput {
                complain("help: name the daemon's socket with --socket PATH");
            }
            return Err(status);
        }
    };
    match socket {
        AdminSocket::Default(path) => Ok(path),
        AdminSocket::At(path) => Ok(path.value),
        AdminSocket::Off => {
            complain(switched_off(file, errand));
            Err(ExitStatus::Unavailable)
        }
    }
}

fn switched_off(file: &Path, errand: Errand) -> String {
    let otherwise = errand.otherwise();
    format!(
        "{}: `[admin] socket` is off (\"\"), so the daemon cannot be asked\n\
         help: {otherwise}\n\
         help: give `[admin] socket` a path, or leave the key out for the default, and restart the daemon",
        file.display()
    )
}

/// Says why nobody can be reached at this path.
pub(super) fn unreachable(socket: &Path, error: &io::Error, errand: Errand) -> ExitStatus {
    let shown = socket.display();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            let why = match error.kind() {
                ErrorKind::NotFound => "there is no such socket",
                _ => "nobody listens on it",
            };
            let mut text = format!("{shown}: {why}: the daemon does not seem to run, or not with this socket\n");
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "help: if it runs on another configuration, name that with -c FILE, or its socket with --socket PATH; if it was \
                 started with `[admin] socket` off, switch that on and restart it\nhelp: {}",
                errand.otherwise()
            );
            complain(text);
            ExitStatus::Unavailable
        }
        ErrorKind::PermissionDenied => {
            complain(format!("{shown}: you may not use the daemon's socket; its owner and its group may"));
            ExitStatus::Permission
        }
        _ => {
            complain(format!("{shown}: {error}"));
            ExitStatus::Unavailable
        }
    }
}
