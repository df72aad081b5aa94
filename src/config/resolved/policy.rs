use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use http::uri::PathAndQuery;

use super::action::Target;
use super::tls::TlsUpstream;
use crate::config::place::Located;
use crate::name::FieldValue;
use crate::net::AddressSet;

/// `[defaults]`: what holds where a route says nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Whose `X-Forwarded-*`, `Forwarded` and `X-Request-Id` are believed.
    pub trusted_proxies: AddressSet,
    /// Our name in `Via`; `None` is no `Via`.
    pub via: Option<Box<str>>,
    /// How failures are shown to clients.
    pub errors: ErrorAnswers,
    /// Which clients are let in.
    pub security: Security,
    /// Named limits.
    pub limits: Limits,
    /// Times without progress.
    pub timeouts: Timeouts,
    /// When a target is set aside; `None` is never.
    pub passive_health: Option<PassiveHealth>,
}

/// When a target that cannot be connected to is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassiveHealth {
    /// How many connections to it have to fail in a row.
    pub failures: NonZeroU32,
    /// How long it is then tried only where no other target is left.
    pub set_aside: Duration,
}

/// How failures are shown to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorAnswers {
    /// Whether the cause is named.
    pub show_cause: bool,
    /// Pages that stand in the place of ours: those of one status before those of a class, none twice.
    pub pages: Vec<ErrorPage>,
}

/// A page of the operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorPage {
    /// The statuses that it is for, within 400 to 599.
    pub statuses: RangeInclusive<u16>,
    /// Its file.
    pub path: Located<PathBuf>,
    /// Its media type.
    pub media_type: &'static str,
}

/// `Strict-Transport-Security` (RFC 6797).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hsts {
    /// How long; zero makes browsers forget.
    pub max_age: Duration,
    /// Whether names below are meant too.
    pub include_subdomains: bool,
    /// Whether browsers may carry the name in their list.
    pub preload: bool,
}

/// Which clients are let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    /// Only these, or `None` for all.
    pub allow: Option<AddressSet>,
    /// Not these, even if allowed.
    pub block: AddressSet,
    /// Whether `allow` is the route's own, and not that of `[defaults]`.
    pub allow_is_own: bool,
    /// The same of `block`.
    pub block_is_own: bool,
    /// Who has to show a password; `None` is nobody.
    pub basic_auth: Option<BasicAuth>,
    /// Whom to ask first; `None` is nobody.
    pub forward_auth: Option<ForwardAuth>,
}

/// Another server that is asked whether a request may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardAuth {
    /// At least one, of which at least one is no backup.
    pub targets: Vec<Located<Target>>,
    /// What it is asked for.
    pub path: PathAndQuery,
    /// Headers of its answer that the request gets.
    pub copy_headers: Vec<HeaderName>,
    /// TLS to it.
    pub tls: Option<TlsUpstream>,
}

/// Who has to show a user name and a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicAuth {
    /// The file of the users.
    pub file: Located<PathBuf>,
    /// What clients are told that it is for; it can stand between quotes in a header.
    pub realm: Box<str>,
}

/// Named limits of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Live client connections.
    pub max_connections: Option<NonZeroUsize>,
    /// Live client connections of one address.
    pub max_connections_per_ip: Option<NonZeroUsize>,
    /// Bytes of one request body.
    pub max_request_body: Option<NonZeroU64>,
    /// Bytes of one request head, 8 KiB to 1 MiB.
    pub max_request_head: usize,
    /// Bytes a second that a client moves at least of what it is waited for.
    pub min_rate: Option<NonZeroU64>,
}

/// Times after which something is given up. All but `connect_total` and `max_lifetime` measure time without progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From accept until PROXY header and ClientHello or request preface are complete.
    pub sniff: Duration,
    /// Either side's TLS handshake.
    pub tls_handshake: Duration,
    /// One attempt to connect.
    pub connect: Duration,
    /// All attempts to connect, over all addresses and targets.
    pub connect_total: Duration,
    /// A relayed connection without a byte in either direction.
    pub idle: Duration,
    /// One side has finished and the other moves no byte.
    pub half_closed: Duration,
    /// Our last bytes reaching a peer that stopped reading.
    pub linger: Duration,
    /// The whole connection; `None` is for ever.
    pub max_lifetime: Option<Duration>,
    /// From the first byte of a request to the end of its head.
    pub request_head: Duration,
    /// An idle HTTP client connection between requests.
    pub keep_alive: Duration,
    /// From the request sent to the response's head.
    pub response_head: Duration,
    /// A request or response body without progress.
    pub body: Duration,
    /// An upgraded connection without a byte.
    pub tunnel: Duration,
    /// An idle pooled upstream connection.
    pub upstream_keep_alive: Duration,
}

/// Headers that are changed on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderRules {
    /// On the way to the target.
    pub request: HeaderEdits,
    /// On the way to the client.
    pub response: HeaderEdits,
}

/// What is changed in one head: first `remove`, then `set`, then `add`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Replaces every value.
    pub set: Vec<(HeaderName, FieldValue)>,
    /// Added after what is there.
    pub add: Vec<(HeaderName, FieldValue)>,
    /// Taken away.
    pub remove: Vec<HeaderName>,
}

impl HeaderEdits {
    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }
}
