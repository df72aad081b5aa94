use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;

use super::check::{refuse, refuse_config};
use super::exit::{ExitStatus, fail};
use super::quantity::count;
use crate::config::{self, AdminSocket, Config, Fault, Faults};
use crate::generation::{LoadError, Source};
use crate::net::{BoundListener, bind_advice, sys};
use crate::server::Inherited;
use crate::telemetry::Meters;

/// How many ports that this user may not have are told by number.
const PORTS_TOLD_MAX: usize = 4;

/// What there is to say of a configuration before it runs.
#[derive(Debug)]
pub(super) struct Examination {
    /// How many routes it has, and on how many addresses, where nothing is wrong with it.
    pub(super) size: Option<(usize, usize)>,
    /// What is wrong with it.
    pub(super) faults: Option<Faults>,
    /// What is right, and not what it should be.
    pub(super) warnings: Vec<String>,
}

/// Does all that `run` does before it binds: reads the file, and everything that it names; and tries whether it could bind.
///
/// # Errors
/// The file could not be read, which has been said.
pub(super) fn examine(path: &Path) -> Result<Examination, ExitStatus> {
    let source = Source::new(path, Arc::new(Meters::new())).map_err(|error| fail(ExitStatus::System, &error))?;
    let config = match Config::from_file(path) {
        Ok(config) => config,
        Err(config::LoadError::Faults(faults)) => {
            return Ok(Examination { size: None, faults: Some(faults), warnings: Vec::new() });
        }
        Err(error) => return Err(refuse_config(&error)),
    };
    let mut warnings = Vec::new();
    if let Err(why) = default_socket(&config) {
        warnings.push(format!(
            "no admin socket: {why}; `smartproxy status` and its kin will not work (set [admin] socket)"
        ));
    }
    let assembled = source.assemble(&config, None);
    let (mut size, mut named) = (None, None);
    match &assembled {
        Ok(generation) => {
            warnings.extend(generation.warnings.iter().cloned());
            size = Some((generation.routes.len(), generation.sites.len()));
        }
        Err(LoadError::Faults(faults)) => named = Some(faults.clone()),
        Err(error @ (LoadError::Config(_) | LoadError::NotFile { .. })) => return Err(refuse(error)),
    }
    let passed = Inherited::take().unwrap_or_default();
    warnings.extend(ports_warning(&config, &passed));
    let faults = Faults::all([named, address_faults(&config, &passed), admin_faults(&config)].into_iter().flatten());
    if faults.is_some() {
        size = None;
    }
    // The process ends: to give back a hundred thousand routes one by one would be an eighth of its time.
    std::mem::forget((assembled, source, config));
    Ok(Examination { size, faults, warnings })
}

impl Examination {
    /// How large it is, in words.
    pub(super) fn described(&self) -> String {
        let (routes, addresses) = self.size.unwrap_or_default();
        format!("{} on {}", count(routes, "route"), count(addresses, "address"))
    }
}

/// The addresses of routes that nobody could bind here, each IP address once.
///
/// Whether a port is free is not asked: the daemon itself may have it now. A socket that the service manager passes is bound already, with an address that no interface has too
/// (`FreeBind=`, systemd.socket(5)).
fn address_faults(config: &Config, passed: &Inherited) -> Option<Faults> {
    let mut asked = HashSet::new();
    let mut faults = Vec::new();
    for listener in &config.listeners {
        let address = listener.address.value;
        if passed.has(address) || !asked.insert(address.ip()) {
            continue;
        }
        if let Err(error) = BoundListener::could_bind(SocketAddr::new(address.ip(), 0))
            && error.kind() == io::ErrorKind::AddrNotAvailable
        {
            faults.push(unbindable(config, &listener.address.place, address.socket(), &error));
        }
    }
    Faults::new(faults, 0)
}

/// The ports that this user may not have. That is no fault: who checks need not be the user that the daemon runs as.
///
/// Such ports are the lowest (`net.ipv4.ip_unprivileged_port_start`, ip(7)), on every address, so that the first that may be had
/// ends the search.
fn ports_warning(config: &Config, passed: &Inherited) -> Option<String> {
    let wanted = config.listeners.iter().map(|listener| listener.address.value);
    let ports: BTreeSet<u16> = wanted.filter(|address| !passed.has(*address)).map(|address| address.port()).collect();
    let refused = |port: &u16| {
        let tried = BoundListener::could_bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, *port)));
        tried.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    };
    let mut refused = ports.into_iter().filter(|port| *port != 0).take_while(refused);
    let told: Vec<String> = refused.by_ref().take(PORTS_TOLD_MAX).map(|port| port.to_string()).collect();
    let word = if told.len() > 1 { "ports" } else { "port" };
    let told = match (told.split_last()?, refused.count()) {
        ((only, []), 0) => only.clone(),
        ((last, others), 0) => format!("{} and {last}", others.join(", ")),
        (_, more) => format!("{} and {more} more", told.join(", ")),
    };
    Some(format!(
        "this user may not listen on {word} {told}: `run` would end with status 77; the service can \
         (AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit)"
    ))
}

/// What keeps operators from coming in by the ways that `[admin]` names. A default that nobody wrote is none of these.
pub(super) fn admin_faults(config: &Config) -> Option<Faults> {
    let mut faults = Vec::new();
    if let Some(listen) = &config.admin.listen
        && let Err(error) = BoundListener::could_bind(listen.value)
    {
        faults.push(unbindable(config, &listen.place, listen.value, &error));
    }
    if let AdminSocket::At(path) = &config.admin.socket
        && let Err(why) = could_make_socket(&path.value)
    {
        faults.push(config.fault(&path.place, why));
    }
    Faults::new(faults, 0)
}

fn unbindable(config: &Config, place: &config::Place, address: SocketAddr, error: &io::Error) -> Fault {
    config.fault_with_help(place, format!("{address} cannot be listened on: {error}"), bind_advice(error))
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
