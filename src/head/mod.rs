//! The heads of HTTP messages, as everything between the wires sees them.
//!
//! `http`'s names, values, methods and targets, but not its maps: a head has a dozen fields that are each looked for once or
//! twice, and a list needs no hashes (measured: `docs/performance.md`).

mod headers;
mod message;

pub use headers::{Headers, Wanted};
pub use message::{Request, RequestParts, Response, ResponseParts};
