//! Sockets and addresses, without policy.

mod address;
mod prefixed;
mod transport;

pub use address::{AddressSet, ClientAddress, ListenAddress, TargetAddress, canonical};
pub use prefixed::Prefixed;
pub use transport::{Ending, Transport};
