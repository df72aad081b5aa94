//! Host names and request paths, the patterns that match them, and what is written of them for a target or a client.

mod host;
mod language;
mod normal;
mod path;
mod pattern;
mod rewrite;
mod template;

pub use host::{HostName, InvalidHostName, LENGTH_MAX};
pub use language::Language;
pub use normal::{PathFault, normalize_path};
pub use path::{InvalidPathPattern, PathPattern, PathSpecificity};
pub use pattern::{HostPattern, InvalidHostPattern};
pub use rewrite::{InvalidPrefix, PathPrefix, PathRewrite, Unrewritable};
pub use template::{FieldValue, InvalidTemplate, Piece, Placeholder, Template};
