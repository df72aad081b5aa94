//! One client connection: its guard, its states, who is admitted, and the registry of those that live.

mod admit;
mod gate;
mod guard;
mod live;
mod registry;
mod state;

pub use admit::{Admission, Refusal, RouteLoad, Slot};
pub use gate::{Gate, Place};
pub use guard::ConnectionGuard;
pub use live::{Connection, HOST_SHOWN_MAX, Snapshot, TlsLabel};
pub use registry::{ConnectionId, Registry};
pub use state::State;
