//! What is counted and written about connections: meters, Prometheus text, and the access log.

mod access_log;
#[cfg(test)]
mod kept;
mod line;
mod mask;
mod meters;
mod route;
mod sink;
mod speaker;
mod totals;
mod tracers;
mod traffic;

pub use access_log::{AccessLog, LOGGED_FIELD_MAX, RequestDetail};
#[cfg(test)]
pub use kept::Kept;
pub use line::{Format, Line};
pub use mask::QueryMask;
pub use meters::{AcceptFault, HandshakeSide, Held, Level, Meters, ReloadResult};
pub use route::{ConnectResult, NO_ROUTE, ROUTES_SHOWN_MAX, RouteCounts, RouteMeter, StatusClass};
pub use sink::{BYTES_QUEUED_MAX, LINES_QUEUED_MAX, Sink, SinkWriter};
pub use speaker::Speaker;
pub use totals::Totals;
pub use tracers::{
    EVENT_BYTES_QUEUED_MAX, EVENTS_QUEUED_MAX, Subject, TRACERS_MAX, TooManyTracers, Trace, TraceFilter, Tracers,
};
pub use traffic::Traffic;
