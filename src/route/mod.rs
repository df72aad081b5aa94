//! Which route takes a connection or a request: pure matching, facts in, route out.

mod rule;

pub use rule::{Protocol, RouteId, Rule, TlsHandling, TlsVersion};
