use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::inquiry::ForwardAuth;
use super::password::BasicAuth;
use super::redirect::Redirect;
use super::respond::Respond;
use crate::connection::Admission;
use crate::http::{ErrorAnswers, ForwardedPolicy, HeaderEdits, Settings, TargetProtocol, Timeouts};
use crate::name::PathRewrite;
use crate::relay;
use crate::route::Rule;
use crate::sniff::ProxyVersion;
use crate::telemetry::RouteMeter;
use crate::tls::{ClientPolicy, ServerPolicy};
use crate::upstream::{self, Targets};

/// One route as it runs: what it takes, whom it admits, and what it does.
#[derive(Debug)]
pub struct Route {
    /// What it takes.
    pub rule: Arc<Rule>,
    /// Its metrics.
    pub meter: Arc<RouteMeter>,
    /// Whom it admits.
    pub admission: Admission,
    /// How it terminates TLS, if it does.
    pub tls: Option<Arc<ServerPolicy>>,
    /// How long a TLS handshake with a client may take.
    pub handshake: Duration,
    /// How bytes are relayed.
    pub relay: relay::Limits,
    /// How requests are served.
    pub http: HttpSettings,
    /// What it does with what it takes.
    pub action: Action,
}

/// How a route serves requests.
#[derive(Debug)]
pub struct HttpSettings {
    /// The limits and timeouts of the client's connection.
    pub connection: Settings,
    /// The timeouts of a request.
    pub timeouts: Timeouts,
    /// Bytes of one request body; `None` is no limit.
    pub max_request_body: Option<u64>,
    /// Whose word about the client is taken.
    pub forwarded: ForwardedPolicy,
    /// Headers that are changed on the way.
    pub headers: HeaderRules,
    /// How failures are shown to clients.
    pub errors: Arc<ErrorAnswers>,
    /// `Strict-Transport-Security`; only where TLS ends here.
    pub hsts: Option<HeaderValue>,
    /// Who has to show a password; `None` is nobody.
    pub basic_auth: Option<BasicAuth>,
    /// Whom to ask first; `None` is nobody.
    pub forward_auth: Option<ForwardAuth>,
}

/// Headers that a route changes.
#[derive(Clone, Debug, Default)]
pub struct HeaderRules {
    /// On the way to the target.
    pub request: HeaderEdits,
    /// On the way to the client.
    pub response: HeaderEdits,
}

/// What a route does with what it takes.
#[derive(Debug)]
pub enum Action {
    /// Sends it to a target.
    Forward(Forward),
    /// Sends the client elsewhere.
    Redirect(Redirect),
    /// Answers by itself.
    Respond(Respond),
}

/// Tells pooled connections apart that differ in more than their target: those of equal class were made under the same TLS
/// policy. A class is never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolClass(pub u64);

impl PoolClass {
    /// Without TLS.
    pub const PLAIN: Self = Self(0);
}

/// How a route reaches its targets.
#[derive(Debug)]
pub struct Forward {
    /// The targets, and the order in which they are tried.
    pub targets: Targets,
    /// What is spoken with the targets.
    pub protocol: TargetProtocol,
    /// TLS towards the target, if it is re-encrypted.
    pub tls: Option<Arc<ClientPolicy>>,
    /// Which pooled connections may be used.
    pub pool_class: PoolClass,
    /// The PROXY header that goes first.
    pub proxy_header: Option<ProxyVersion>,
    /// How long connecting may take.
    pub timeouts: upstream::Timeouts,
    /// Whether Host reaches the target as the client sent it.
    pub preserve_host: bool,
    /// How the path of a request is changed.
    pub rewrite: Option<PathRewrite>,
}
