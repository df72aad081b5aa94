//! What a configuration means once every rule is kept: plain data, without a value that might be missing.

mod action;
mod admin;
mod policy;
mod route;
mod tls;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use action::{
    Action, Forward, Host, LoadBalancing, ProxyVersion, Redirect, Respond, Target, TargetPort, UpstreamProtocol,
};
pub use admin::{Admin, AdminSocket, AdminTls, AdminToken, InvalidToken, Token};
pub use policy::{
    BasicAuth, Defaults, ErrorAnswers, ErrorPage, ForwardAuth, HeaderEdits, HeaderRules, Hsts, Limits, PassiveHealth,
    Security, Timeouts,
};
pub use route::{DisabledRoute, Route};
pub use tls::{Certificate, ClientAuth, Tls, TlsServer, TlsUpstream};

use super::fault::Fault;
use super::place::{Located, Place};
use super::source::Source;
use crate::net::{AddressSet, ListenAddress};
use crate::telemetry::RequestDetail;

/// A whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The process.
    pub server: Server,
    /// What is written, and how.
    pub log: Log,
    /// The operator's way in.
    pub admin: Admin,
    /// What holds for a connection whose route is not known yet, and for routes that say nothing else.
    pub defaults: Defaults,
    /// Every address that an enabled route wants, once each, in order of address.
    pub listeners: Vec<Listener>,
    /// Certificates that are served by SNI to every terminating route without one of its own.
    pub certificates: Vec<CertificateFiles>,
    /// The enabled routes in file order; a route's [`RouteId`](crate::route::RouteId) is its index here.
    pub routes: Vec<Route>,
    /// The disabled routes in file order.
    pub disabled: Vec<DisabledRoute>,
    pub(super) source: Arc<Source>,
}

impl Config {
    /// A fault about a place in this configuration's file, for what only the outside can show: a missing file, a key
    /// that does not belong to its certificate.
    #[must_use]
    pub fn fault(&self, place: &Place, message: impl Into<String>) -> Fault {
        self.source.fault(*place, message.into(), None)
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn fault_with_help(&self, place: &Place, message: impl Into<String>, help: impl Into<String>) -> Fault {
        self.source.fault(*place, message.into(), Some(help.into()))
    }
}

/// `[server]`: the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Worker threads; `None` is one per core available to the process.
    pub workers: Option<NonZeroUsize>,
    /// Live client connections of the process; `None` is 45 % of the file-descriptor limit.
    pub max_connections: Option<NonZeroUsize>,
    /// How long draining may take after SIGTERM.
    pub shutdown_timeout: Duration,
    /// How often the daemon looks for what has leaked; `None` is never.
    pub leak_check: Option<Duration>,
}

/// `[log]`: what is written, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// A level, or tracing filter directives; checked.
    pub level: String,
    /// For people or for machines.
    pub format: LogFormat,
    /// Whether each connection and request writes a line at its end.
    pub access: bool,
    /// What the line of a request holds.
    pub detail: RequestDetail,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address; `[::]` takes IPv4 too; port 0 lets the kernel choose.
    pub address: Located<ListenAddress>,
    /// Whether a PROXY header stands in front of each connection.
    pub proxy_protocol: Option<ProxyProtocol>,
}

/// Who may send a PROXY header on a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyProtocol {
    /// The peers whose header is believed.
    pub trusted: AddressSet,
    /// Whether a connection without a header is refused.
    pub required: bool,
}

/// A certificate chain and its key, both in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The full chain, leaf first.
    pub certificate: Located<PathBuf>,
    /// The private key of the leaf.
    pub key: Located<PathBuf>,
}
