//! Host names and request paths, and the patterns that match them.

mod host;
mod normal;
mod path;
mod pattern;

pub use host::{HostName, InvalidHostName, LENGTH_MAX};
pub use normal::{PathFault, normalize_path};
pub use path::{InvalidPathPattern, PathPattern, PathSpecificity};
pub use pattern::{HostPattern, InvalidHostPattern};
