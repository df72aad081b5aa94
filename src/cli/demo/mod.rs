//! `smartproxy demo`: the daemon on a configuration of its own, with upstreams of its own.

mod folder;
mod ports;
mod text;

use std::io;
use std::time::Duration;

use folder::PrivateFolder;
use ports::{Listeners, Ports};

use super::arguments::DemoOptions;
use super::check::refuse_config;
use super::exit::{ExitStatus, fail};
use super::output::print;
use super::run::{Sockets, run_config};
use crate::config::{Config, LoadError};
use crate::name::HostPattern;
use crate::server::{Control, Inherited};
use crate::tls::self_signed_pem;

/// The names that the demo's certificate is for; names below `localhost` never leave the machine (RFC 6761 section 6.3).
const NAMES: [&str; 3] = ["passthrough.localhost", "terminate.localhost", "reencrypt.localhost"];

/// Runs the daemon on a configuration of its own, and prints what to try.
pub(super) fn demo(options: &DemoOptions) -> ExitStatus {
    let (folder, listeners) = match PrivateFolder::make().and_then(|folder| Ok((folder, Listeners::bind()?))) {
        Ok(made) => made,
        Err(error) => return fail(ExitStatus::System, &error),
    };
    let Listeners { ports, routes, admin } = listeners;
    let text = match prepare(&folder, &ports) {
        Ok(text) => text,
        Err(error) => return fail(ExitStatus::System, &error),
    };
    let path = folder.path().join("demo.toml");
    match Config::from_text(&text, &path) {
        Ok(config) => {
            let sockets = Sockets { routes: Inherited::of(routes), admin: Some(admin) };
            run_config(&path, config, Some(sockets), |control| {
                // A reader that has gone misses nothing that the daemon needs.
                let _ = print(&text::what_to_try(folder.path(), &ports));
                if let Some(time) = options.time {
                    end_after(time, control.clone());
                }
            })
        }
        Err(faults) => refuse_config(&LoadError::Faults(faults)),
    }
}

/// Writes the certificate and the configuration, so that both can be looked at, changed, and reloaded by SIGHUP.
fn prepare(folder: &PrivateFolder, ports: &Ports) -> io::Result<String> {
    let names = NAMES.iter().filter_map(|name| HostPattern::parse(name).ok()).collect::<Vec<_>>();
    let (certificate, key) = self_signed_pem(&names).map_err(io::Error::other)?;
    folder.write("demo.pem", &certificate)?;
    folder.write("demo.key", &key)?;
    let config = text::configuration(ports);
    folder.write("demo.toml", &config)?;
    Ok(config)
}

/// Ends the demo as Ctrl-C would, after a time.
fn end_after(time: Duration, control: Control) {
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        control.stop().await;
    });
}
