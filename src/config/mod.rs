//! TOML text into a valid [`Config`], with every fault at its place; knows no runtime type.
//!
//! Two steps: `file` is the mirror of the text, `resolve` turns it into `resolved`, where nothing can be missing.

mod fault;
mod file;
mod load;
mod place;
mod report;
mod resolve;
mod resolved;
mod schema;
mod source;
mod value;

pub use fault::{Fault, Faults};
pub use load::{FILE_SIZE_MAX, LoadError};
pub use place::{Located, Place};
pub use report::FAULTS_MAX;
pub use resolved::*;
pub use schema::schema;
pub use value::{nearest, parse_duration, parse_network, parse_size};

#[cfg(test)]
mod tests;
