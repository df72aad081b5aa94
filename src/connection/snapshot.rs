use std::fmt::Display;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::state::State;
use crate::net::{ClientAddress, ListenAddress};
use crate::telemetry::NO_ROUTE;

/// A connection as the operator sees it.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// Its number, unique in the process.
    pub id: u64,
    /// Where the client comes from.
    #[serde(serialize_with = "shown")]
    pub client: ClientAddress,
    /// The other end of its socket, where that is not the client: what stands in front of us, and has sent a PROXY header.
    #[serde(serialize_with = "shown_if_any")]
    pub peer: Option<ClientAddress>,
    /// Our address that it came to.
    #[serde(serialize_with = "shown")]
    pub listener: ListenAddress,
    /// Its route's name; `-` is written before it has one.
    #[serde(serialize_with = "route")]
    pub route: Option<Arc<str>>,
    /// SNI that it asked for; without TLS or SNI the host of its last request.
    pub host: Option<Box<str>>,
    /// The target that it is, or was last, connected or connecting to.
    #[serde(serialize_with = "shown_if_any")]
    pub target: Option<Arc<str>>,
    /// See [`State`].
    #[serde(serialize_with = "state")]
    pub state: State,
    /// Since it was accepted.
    pub age_seconds: f64,
    /// Since it entered its state.
    pub state_seconds: f64,
    /// Payload from the client.
    pub bytes_in: u64,
    /// Payload to the client.
    pub bytes_out: u64,
    /// Of that, what came in the last few seconds, by the second.
    pub bytes_in_per_second: u64,
    /// Of that, what went in the last few seconds, by the second.
    pub bytes_out_per_second: u64,
    /// `tcp`, `tls`, `http/1.1` or `h2`; `-` before it is known.
    pub protocol: &'static str,
    /// TLS with the client, if there is any.
    pub tls: Option<TlsLabel>,
}

/// What TLS with the client came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TlsLabel {
    /// `1.2` or `1.3`; for a passthrough the best that the client offered.
    pub version: &'static str,
    /// The key exchange group's name, when the handshake was ours.
    pub group: Option<&'static str>,
}

impl Snapshot {
    /// Its route's name, or `-`.
    #[must_use]
    pub fn route_name(&self) -> &str {
        self.route.as_deref().unwrap_or(NO_ROUTE)
    }
}

fn shown<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn shown_if_any<S: Serializer>(value: &Option<impl Display>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

fn route<S: Serializer>(name: &Option<Arc<str>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name.as_deref().unwrap_or(NO_ROUTE))
}

fn state<S: Serializer>(state: &State, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.as_str())
}
