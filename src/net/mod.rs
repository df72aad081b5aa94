//! Sockets and addresses, without policy.

mod address;
pub mod buffer;
mod descriptors;
mod listener;
mod options;
mod prefixed;
pub mod sys;
mod transport;

pub use address::{AddressSet, ClientAddress, ListenAddress, TargetAddress, canonical};
pub use descriptors::{
    DESCRIPTORS_KEPT, is_free_for_clients, is_last_for_clients, is_near_last_for_clients, open_descriptors,
};
pub use listener::{AdoptError, BoundListener, Listener, Sharing};
pub use options::{reset_on_close, set_nodelay_or_debug};
pub use prefixed::Prefixed;
pub use transport::{Ending, Transport};
