use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::check::{refuse, refuse_config};
use super::examination::admin_faults;
use super::exit::{ExitStatus, explained, fail};
use super::folds::Folds;
use super::logging;
use crate::admin::{Admin, AdminSettings, SocketPath};
use crate::config::{AdminSocket, Config, LogFormat};
use crate::connection::Registry;
use crate::generation::{Generation, LoadError, Source};
use crate::net::{AdoptError, BoundListener, room_for_a_client, sys};
use crate::server::{Control, Daemon, Exit, Inherited, StartError};
use crate::telemetry::{AccessLog, Format, Meters, Sink, SinkWriter};

/// How long the access log's last lines may take when the daemon ends.
const LOG_PATIENCE: Duration = Duration::from_secs(2);

/// Runs the daemon until it is told to stop.
pub(super) fn run(path: &Path) -> ExitStatus {
    let config = match Config::from_file(path) {
        Ok(config) => config,
        Err(error) => return refuse_config(&error),
    };
    run_config(path, config, None, |_| {})
}

/// Sockets that are bound already.
#[derive(Debug)]
pub(super) struct Sockets {
    /// Those of routes.
    pub(super) routes: Inherited,
    /// That of the operator's pages, in place of the configured address.
    pub(super) admin: Option<BoundListener>,
}

/// Runs a configuration that was read from `path`, on these sockets or else on those that the service manager has passed;
/// `ready` is told when the daemon accepts.
pub(super) fn run_config(
    path: &Path,
    config: Config,
    sockets: Option<Sockets>,
    ready: impl FnOnce(&Control),
) -> ExitStatus {
    let meters = Arc::new(Meters::new());
    let log = match logging::start(&config.log, &meters) {
        Ok(log) => log,
        Err(error) => return fail(ExitStatus::System, &error),
    };
    let status = run_logged(path, config, sockets, meters, log.folds(), ready);
    log.finish();
    status
}

fn run_logged(
    path: &Path,
    config: Config,
    sockets: Option<Sockets>,
    meters: Arc<Meters>,
    folds: &Folds,
    ready: impl FnOnce(&Control),
) -> ExitStatus {
    if let Err(error) = sys::raise_descriptor_limit() {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    let source = match Source::new(path, Arc::clone(&meters)) {
        Ok(source) => source,
        Err(error) => return fail(ExitStatus::System, &error),
    };
    let first = match source.assemble(&config, None) {
        Ok(first) => first,
        Err(error) => return refuse(&error),
    };
    if let Some(faults) = admin_faults(&config) {
        return refuse(&LoadError::Faults(faults));
    }
    let (access_log, writer) = match access_log(&config, &meters) {
        Ok(started) => started,
        Err(error) => return fail(ExitStatus::System, &error),
    };
    let registry = Arc::new(Registry::new(meters, access_log));
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(ExitStatus::System, &error),
    };
    runtime.spawn(folds.clone().tell());
    let settings = admin_settings(&config);
    // It is as large as what runs, and no longer needed.
    drop(config);
    let status = runtime.block_on(serve(source, first, registry, settings, sockets, ready));
    // Not dropped: that would wait for a load that a dead file system holds up.
    runtime.shutdown_background();
    if let Some(writer) = writer {
        writer.finish(LOG_PATIENCE);
    }
    status
}

async fn serve(
    source: Source,
    first: Generation,
    registry: Arc<Registry>,
    settings: AdminSettings,
    sockets: Option<Sockets>,
    ready: impl FnOnce(&Control),
) -> ExitStatus {
    let passed = || Ok(Sockets { routes: Inherited::take()?, admin: None });
    let Sockets { routes, admin } = match sockets.map_or_else(passed, Ok::<_, AdoptError>) {
        Ok(sockets) => sockets,
        Err(error) => return failed(ExitStatus::Unavailable, &error),
    };
    let daemon = match Daemon::start(Arc::new(source), first, registry, routes) {
        Ok(daemon) => daemon,
        Err(StartError::Bind(error)) => return failed(ExitStatus::of_io(&error.source), &error),
        Err(error @ StartError::System(_)) => return failed(ExitStatus::System, &error),
    };
    let admin = match Admin::open(&settings, admin, &daemon.control()).await {
        Ok(admin) => admin,
        Err(error) => return failed(ExitStatus::of_io(error.io()), &error),
    };
    // All that the daemon has open for itself is open now.
    if let Err(error) = room_for_a_client() {
        return failed(ExitStatus::System, &error);
    }
    ready(&daemon.control());
    let exit = daemon.run().await;
    admin.close().await;
    match exit {
        Exit::Stopped => ExitStatus::Ok,
        Exit::ListenerBroken { .. } | Exit::WorkerPanicked => ExitStatus::System,
    }
}

fn failed(status: ExitStatus, error: &(dyn std::error::Error + 'static)) -> ExitStatus {
    tracing::error!("{}", explained(error));
    status
}

fn access_log(config: &Config, meters: &Meters) -> io::Result<(AccessLog, Option<SinkWriter>)> {
    if !config.log.access {
        return Ok((AccessLog::off(), None));
    }
    let format = match config.log.format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    };
    let (sink, writer) = Sink::start("access-log", io::stdout(), meters.access_lines_dropped.clone())?;
    Ok((AccessLog::new(format, sink).with_detail(config.log.detail.clone()), Some(writer)))
}

fn admin_settings(config: &Config) -> AdminSettings {
    let socket = match &config.admin.socket {
        AdminSocket::Off => None,
        AdminSocket::Default(path) => Some(SocketPath { path: path.clone(), written: false }),
        AdminSocket::At(path) => Some(SocketPath { path: path.value.clone(), written: true }),
    };
    AdminSettings { listen: config.admin.listen.map(|listen| listen.value), socket }
}
