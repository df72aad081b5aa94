//! The operator's way in: a Unix socket for the client commands, and a read-only HTTP address.

mod answer;
mod listener;
mod status;
mod unstalled;

pub use answer::Face;
pub use listener::{Admin, AdminError, AdminSettings, SocketPath};
pub use status::{Drained, LastReload, Reloaded, Status};
