//! What is counted and written about connections: meters, Prometheus text, and the access log.

mod access_log;
mod buckets;
mod catalogue;
#[cfg(test)]
mod kept;
mod line;
mod mask;
mod meters;
mod moment;
mod process;
mod route;
mod sink;
mod speaker;
mod target;
#[cfg(test)]
mod tests;
mod totals;
mod tracers;
mod traffic;
mod users;
mod words;

pub use access_log::{AccessLog, LOGGED_FIELD_MAX, RequestDetail};
pub use catalogue::{MetricInfo, MetricKind};
#[cfg(test)]
pub use kept::Kept;
pub use line::{Format, Line, quoted};
pub use mask::QueryMask;
pub use meters::{Held, Level, LookupMeter, Meters};
pub use moment::WorkerMoment;
pub use route::{NO_ROUTE, ROUTES_SHOWN_MAX, RouteCounts, RouteMeter};
pub use sink::{BYTES_QUEUED_MAX, LINES_QUEUED_MAX, Sink, SinkWriter};
pub use speaker::Speaker;
pub use target::TargetMeter;
pub use totals::Totals;
pub use tracers::{
    EVENT_BYTES_QUEUED_MAX, EVENTS_QUEUED_MAX, Subject, TRACERS_MAX, TooManyTracers, Trace, TraceFilter, Tracers,
};
pub use traffic::Traffic;
pub use words::{
    AcceptFault, Checkout, ConnectResult, DaemonState, HandshakeSide, LeakKind, LookupResult, ReloadResult, StatusClass,
};

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A time as metrics have it.
fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// A moment as metrics have it.
fn unix_seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
