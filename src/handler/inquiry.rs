use std::sync::Arc;

use http::HeaderName;
use http::uri::PathAndQuery;

use super::route::PoolClass;
use crate::http::{HeaderEdits, TargetProtocol};
use crate::tls::ClientPolicy;
use crate::upstream::{self, Targets};

/// Another server that is asked first whether a request may go on.
#[derive(Debug)]
pub struct ForwardAuth {
    /// Whom to ask, and the order in which they are tried.
    pub targets: Targets,
    /// TLS to it.
    pub tls: Option<Arc<ClientPolicy>>,
    /// Which pooled connections may be used.
    pub pool_class: PoolClass,
    /// How long connecting may take.
    pub timeouts: upstream::Timeouts,
    /// What it is asked for.
    pub path: PathAndQuery,
    /// Headers of its answer that the request gets.
    pub copied: Vec<HeaderName>,
    /// None: it is told what the client says, and the client what it answers.
    pub unchanged: HeaderEdits,
}

impl ForwardAuth {
    /// What is spoken with it.
    pub(super) const PROTOCOL: TargetProtocol = TargetProtocol::Http1;
}
