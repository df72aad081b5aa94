//! The operator's way in: a Unix socket for the client commands, and an HTTP address for everything that speaks HTTP.

mod answer;
mod certificates;
mod connections;
mod door;
mod history;
mod limits;
mod listener;
mod page;
mod places;
mod query;
mod reserve;
mod routes;
mod sampler;
mod status;
mod targets;
mod trace;
mod unstalled;
mod wanted;

pub use answer::Face;
pub use connections::Listing;
pub use door::Visitor;
pub use listener::{Admin, AdminError, AdminSettings, SocketPath};
pub use status::{Drained, LastReload, Reloaded, Status};
pub use trace::TRACE_TIME_MAX;
pub use wanted::{Column, IDS_MAX, Wanted};
