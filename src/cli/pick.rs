//! Which target a route would take a client to.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::client::{converse, runtime};
use super::quantity::age;
use crate::config::AdminSocket;
use crate::handler::{Action, Route};
use crate::upstream::{Algorithm, Targets};

/// How long the running daemon may take to say which targets are set aside: it is asked by the way.
const DAEMON_TIMEOUT: Duration = Duration::from_secs(1);

/// The targets that a client would be taken to.
#[derive(Debug, Serialize)]
pub(super) struct Pick {
    algorithm: &'static str,
    /// The first; `None` where chance or what else goes on decides between several.
    first: Option<String>,
    /// All of them, in the order in which they would be tried where that is known, else as they are written.
    targets: Vec<Candidate>,
}

#[derive(Debug, Serialize)]
struct Candidate {
    target: String,
    weight: u16,
    backup: bool,
    /// Why the running daemon leaves it alone for now, if it runs and does.
    set_aside: Option<SetAside>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SetAside {
    cause: String,
    seconds: f64,
}

/// What the running daemon says of the targets.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Known {
    targets: Vec<KnownTarget>,
}

#[derive(Debug, Deserialize)]
struct KnownTarget {
    route: String,
    target: String,
    set_aside: Option<SetAside>,
}

impl Known {
    /// Asks the daemon that the configuration names, if it runs; nobody has to know of it here.
    pub(super) fn ask(socket: &AdminSocket) -> Self {
        let path: &Path = match socket {
            AdminSocket::Off => return Self::default(),
            AdminSocket::Default(path) => path,
            AdminSocket::At(path) => &path.value,
        };
        let Ok(runtime) = runtime() else { return Self::default() };
        let asked = async { tokio::time::timeout(DAEMON_TIMEOUT, converse(path, Method::GET, "/targets")).await };
        match runtime.block_on(asked) {
            Ok(Ok((StatusCode::OK, body))) => serde_json::from_str(&body).unwrap_or_default(),
            Ok(Ok(_) | Err(_)) | Err(_) => Self::default(),
        }
    }

    fn of(&self, route: &str, target: &str) -> Option<SetAside> {
        let known = self.targets.iter().find(|known| known.route == route && known.target == target)?;
        known.set_aside.clone()
    }
}

impl Pick {
    /// What the route would do with the client; `None` if it has no targets.
    pub(super) fn of(route: &Route, client: IpAddr, known: &Known) -> Option<Self> {
        let Action::Forward(forward) = &route.action else { return None };
        let targets = &forward.targets;
        let candidate = |target: String| {
            let (weight, backup) = standing(targets, &target);
            Candidate { set_aside: known.of(route.meter.name(), &target), target, weight, backup }
        };
        let written = || targets.standings().map(|(target, ..)| target.label().to_string());
        let (algorithm, labels): (_, Vec<_>) = match targets.algorithm() {
            Algorithm::RoundRobin => ("round-robin", written().collect()),
            Algorithm::Random => ("random", written().collect()),
            Algorithm::LeastConnections => ("least-connections", written().collect()),
            Algorithm::IpHash => {
                ("ip-hash", targets.order(client).map(|choice| choice.target().label().to_string()).collect())
            }
        };
        let targets: Vec<_> = labels.into_iter().map(candidate).collect();
        let first = match (algorithm, targets.as_slice()) {
            // Those that are set aside are tried last.
            ("ip-hash", all) => all.iter().find(|one| one.set_aside.is_none()).or_else(|| all.first()),
            (_, all) => {
                let mut in_front = all.iter().filter(|one| !one.backup && one.set_aside.is_none());
                in_front.next().filter(|_| in_front.next().is_none())
            }
        };
        Some(Self { algorithm, first: first.map(|first| first.target.clone()), targets })
    }

    /// The same for people, on one line.
    pub(super) fn describe(&self) -> String {
        let shown: Vec<_> = self.targets.iter().map(Candidate::describe).collect();
        let all = shown.join(", ");
        match (&self.first, self.targets.len()) {
            // Set aside or not, it is the only one that can be tried.
            (_, 1) => format!("target: {all}"),
            (Some(first), _) => format!("target: {first}, of {all} ({})", self.algorithm),
            (None, _) => format!("target: one of {all} ({})", self.algorithm),
        }
    }
}

impl Candidate {
    fn describe(&self) -> String {
        let mut text = self.target.clone();
        if self.weight > 1 {
            text.push_str(&format!(" (weight {})", self.weight));
        }
        if self.backup {
            text.push_str(" (backup)");
        }
        if let Some(SetAside { cause, seconds }) = &self.set_aside {
            text.push_str(&format!(" (set aside {} ago: {cause})", age(*seconds)));
        }
        text
    }
}

fn standing(targets: &Targets, label: &str) -> (u16, bool) {
    let found = targets.standings().find(|(target, ..)| &**target.label() == label);
    found.map_or((1, false), |(_, weight, backup)| (weight.get(), backup))
}
