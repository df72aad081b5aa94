//! TOML text into a valid [`Config`], with every fault at its place; knows no runtime type.
//!
//! Two steps: `file` is the mirror of the text, `resolve` turns it into `resolved`, where nothing can be missing.

mod fault;
mod load;
mod place;
mod resolved;
mod secret;
mod source;

pub use fault::{Fault, Faults};
pub use load::{FILE_SIZE_MAX, LoadError};
pub use place::{Located, Place};
pub use resolved::*;
pub use secret::Secret;
