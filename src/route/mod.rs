//! Which route takes a connection or a request: pure matching, facts in, route out.

mod decision;
mod explain;
mod facts;
mod index;
mod predicate;
mod rule;
mod specificity;
mod table;
mod unreachable;

#[cfg(test)]
mod tests;

pub use decision::{Decision, Listening};
pub use explain::{Reason, Verdict, explain};
pub use facts::{ConnectionFacts, RequestFacts, TlsFacts};
pub use predicate::Mismatch;
pub use rule::{Protocol, RouteId, Rule, TlsHandling, TlsVersion};
pub use table::Table;
pub use unreachable::unreachable;
