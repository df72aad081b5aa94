//! Which route takes a connection or a request: pure matching, facts in, route out.

mod decision;
mod facts;
mod rule;

pub use decision::{Decision, Listening};
pub use facts::{ConnectionFacts, RequestFacts, TlsFacts};
pub use rule::{Protocol, RouteId, Rule, TlsHandling, TlsVersion};

// STUB, to be replaced at merge by the real one.
/// Each rule that another of the rules shadows, with the one that does.
#[must_use]
pub fn unreachable(_rules: &[&Rule]) -> Vec<(RouteId, RouteId)> {
    Vec::new()
}
