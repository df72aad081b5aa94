use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;

use super::exit::{ExitStatus, fail};
use super::output::{complain, print};
use super::quantity::count;
use crate::config::{self, AdminSocket, Config, Faults};
use crate::generation::{LoadError, Source};
use crate::net::{BoundListener, sys};
use crate::outcome::with_causes;
use crate::telemetry::Meters;

/// Does all that `run` does before it binds: reads the file, and everything that it names.
pub(super) fn check(path: &Path) -> ExitStatus {
    super::logging::for_commands();
    let source = match Source::new(path, Arc::new(Meters::new())) {
        Ok(source) => source,
        Err(error) => return fail(ExitStatus::System, &error),
    };
    let config = match Config::from_file(path) {
        Ok(config) => config,
        Err(error) => return refuse_config(&error),
    };
    let assembled = source.assemble(&config, None);
    if let Err(why) = default_socket(&config) {
        tracing::warn!("no admin socket: {why}; `smartproxy status` and its kin will not work (set [admin] socket)");
    }
    let status = match (&assembled, admin_faults(&config)) {
        (Ok(generation), None) => print(&format!(
            "{}: right: {} on {}\n",
            path.display(),
            count(generation.routes.len(), "route"),
            count(generation.sites.len(), "address")
        )),
        (Ok(_), Some(faults)) => refuse(&LoadError::Faults(faults)),
        (Err(error), None) => refuse(error),
        (Err(error), Some(faults)) => {
            complain(faults);
            refuse(error)
        }
    };
    // The process ends: to give back a hundred thousand routes one by one would be an eighth of its time.
    std::mem::forget((assembled, source, config));
    status
}

/// What keeps operators from coming in by the ways that `[admin]` names. A default that nobody wrote is none of these.
pub(super) fn admin_faults(config: &Config) -> Option<Faults> {
    let mut faults = Vec::new();
    if let Some(listen) = &config.admin.listen
        && let Err(error) = BoundListener::could_bind(listen.value)
    {
        let help = match error.kind() {
            io::ErrorKind::AddrNotAvailable => "no interface of this host has the address",
            io::ErrorKind::PermissionDenied => "ports below 1024 need CAP_NET_BIND_SERVICE",
            _ => "the system refuses",
        };
        let message = format!("{} cannot be listened on: {error}", listen.value);
        faults.push(config.fault_with_help(&listen.place, message, help));
    }
    if let AdminSocket::At(path) = &config.admin.socket
        && let Err(why) = could_make_socket(&path.value)
    {
        faults.push(config.fault(&path.place, why));
    }
    Faults::new(faults, 0)
}

fn default_socket(config: &Config) -> Result<(), String> {
    match &config.admin.socket {
        AdminSocket::Default(path) => could_make_socket(path),
        AdminSocket::Off | AdminSocket::At(_) => Ok(()),
    }
}

/// Whether a socket could be made at this path, now or when the one who has it ends.
fn could_make_socket(path: &Path) -> Result<(), String> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        Some(_) | None => Path::new("."),
    };
    let shown = folder.display();
    match fs::metadata(folder) {
        Ok(metadata) if !metadata.is_dir() => return Err(format!("{shown} is not a folder")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(format!("the folder {shown} does not exist"));
        }
        Ok(_) | Err(_) => {}
    }
    sys::may_write_in(folder).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => format!("this user may not make files in {shown}"),
        _ => format!("no file can be made in {shown}: {error}"),
    })?;
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            Err(format!("{} is there, and is no socket", path.display()))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Prints why there is no generation.
pub(super) fn refuse(error: &LoadError) -> ExitStatus {
    match error {
        LoadError::Config(error) => refuse_config(error),
        LoadError::Faults(faults) => {
            complain(faults);
            ExitStatus::Config
        }
        LoadError::NotFile { .. } => fail(ExitStatus::Data, error),
    }
}

/// Prints why there is no configuration.
pub(super) fn refuse_config(error: &config::LoadError) -> ExitStatus {
    complain(with_causes(error));
    match error {
        config::LoadError::Missing { .. } => ExitStatus::NoInput,
        config::LoadError::Unreadable { source, .. } => ExitStatus::of_io(source),
        config::LoadError::TooLarge { .. } | config::LoadError::NotText { .. } => ExitStatus::Data,
        config::LoadError::Faults(_) => ExitStatus::Config,
    }
}
