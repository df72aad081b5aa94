use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::generation::Troubled;
use crate::server::{self, Control, Readiness, ReloadAnswer, Stopped};

/// What `smartproxy status` and `/status` say.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// The process.
    pub pid: u32,
    /// `starting`, `ready` or `draining`.
    pub state: String,
    /// Since the daemon began.
    pub uptime_seconds: f64,
    /// The configuration file.
    pub config: String,
    /// The number of the running generation: 1 at start, one more for each reload.
    pub generation: u64,
    /// When it was assembled, in seconds since 1970.
    pub generation_assembled_seconds: u64,
    /// Its routes.
    pub routes: usize,
    /// The addresses that are listened on.
    pub listeners: Vec<String>,
    /// Live client connections.
    pub connections: usize,
    /// How many there may be.
    pub max_connections: usize,
    /// The targets that are set aside since they could not be connected to.
    pub targets_set_aside: Vec<TargetSetAside>,
    /// What seems to have leaked; empty is as it has to be.
    pub leak_suspects: Vec<LeakSuspect>,
    /// What came of the last reload; absent before the first.
    pub last_reload: Option<LastReload>,
    /// The faults of the last reload, if it was refused; everything runs as before it.
    pub refused_reload: Option<String>,
}

/// A target that is set aside.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TargetSetAside {
    /// The route on which it is.
    pub route: String,
    /// The target.
    pub target: String,
    /// Why the last connection to it failed.
    pub cause: String,
    /// Since when.
    pub seconds: f64,
}

/// Something that seems to have leaked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeakSuspect {
    /// `socket`, `guard`, `state`, `gauge` or `task`.
    pub kind: String,
    /// What and where.
    pub what: String,
    /// Since it was first seen.
    pub seconds: f64,
}

/// What came of the last reload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LastReload {
    /// `done` or `refused`.
    pub result: String,
    /// How long ago.
    pub age_seconds: f64,
}

/// What is answered to a reload that was done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reloaded {
    /// The number of the generation that runs now.
    pub generation: u64,
    /// The configuration file that was read.
    pub config: String,
    /// What the operator should know of it.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// What is answered to a drain, at its end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Drained {
    /// Connections that lived when it began.
    pub live: usize,
    /// Those that did not end by themselves.
    pub cut: usize,
    /// Why they were cut; absent if none was.
    pub why: Option<String>,
}

impl From<Stopped> for Drained {
    fn from(stopped: Stopped) -> Self {
        let Stopped { live, cut, why } = stopped;
        Self { live, cut, why: why.map(Into::into) }
    }
}

/// The configuration file as anyone finds it, whatever folder they are in.
pub(super) fn shown_config(control: &Control) -> String {
    let path = control.config();
    std::path::absolute(path).unwrap_or_else(|_| path.into()).display().to_string()
}

impl Status {
    /// Asks the daemon.
    #[must_use]
    pub fn of(control: &Control) -> Self {
        let generation = control.current().load();
        let state = match control.readiness() {
            Readiness::Starting => "starting",
            Readiness::Ready => "ready",
            Readiness::Draining => "draining",
        };
        let (last_reload, refused_reload) = match control.last_reload() {
            None => (None, None),
            Some(reload) => {
                let (result, faults) = match reload.answer {
                    ReloadAnswer::Reloaded { .. } => ("done", None),
                    ReloadAnswer::Refused { faults } => ("refused", Some(faults)),
                };
                (Some(LastReload { result: result.into(), age_seconds: reload.at.elapsed().as_secs_f64() }), faults)
            }
        };
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            state: state.into(),
            uptime_seconds: control.started().elapsed().as_secs_f64(),
            config: shown_config(control),
            generation: generation.number,
            generation_assembled_seconds: seconds(generation.assembled),
            routes: generation.routes.len(),
            listeners: control.addresses().iter().map(ToString::to_string).collect(),
            connections: control.registry().live(),
            max_connections: control.gate().limit(),
            targets_set_aside: generation.troubled().filter_map(|one| TargetSetAside::of(&one)).collect(),
            leak_suspects: control.leak_suspects().iter().map(LeakSuspect::of).collect(),
            last_reload,
            refused_reload,
        }
    }
}

impl LeakSuspect {
    fn of(suspect: &server::LeakSuspect) -> Self {
        let server::LeakSuspect { kind, what, since } = suspect;
        Self { kind: kind.as_str().into(), what: what.clone(), seconds: since.elapsed().as_secs_f64() }
    }
}

impl TargetSetAside {
    fn of(troubled: &Troubled<'_>) -> Option<Self> {
        let set_aside = troubled.set_aside?;
        Some(Self {
            route: troubled.route.meter.name().to_string(),
            target: troubled.target.label().to_string(),
            cause: set_aside.cause.as_str().into(),
            seconds: set_aside.since.elapsed().as_secs_f64(),
        })
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
