//! Which route takes a connection or a request: pure matching, facts in, route out.

mod decision;
mod facts;
mod rule;

pub use decision::{Decision, Listening};
pub use facts::{ConnectionFacts, RequestFacts, TlsFacts};
pub use rule::{Protocol, RouteId, Rule, TlsHandling, TlsVersion};
