//! One client connection: its guard, its states, who is admitted, and the registry of those that live.

mod admit;
mod gate;
mod guard;
mod live;
mod pace;
mod registry;
mod snapshot;
mod state;

pub use admit::{Admission, Refusal, RouteLoad, Slot};
pub use gate::{Gate, Place};
pub use guard::ConnectionGuard;
pub use live::{Connection, HOST_SHOWN_MAX};
pub use registry::{ConnectionId, Registry, SHARDS};
pub use snapshot::{Snapshot, TlsLabel};
pub use state::State;
