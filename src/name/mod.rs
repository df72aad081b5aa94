//! Host names and request paths, and the patterns that match them.

mod host;
mod path;
mod pattern;

pub use host::{HostName, InvalidHostName, LENGTH_MAX};
pub use path::{InvalidPathPattern, PathPattern};
pub use pattern::{HostPattern, InvalidHostPattern};
