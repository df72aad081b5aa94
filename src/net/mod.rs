//! Sockets and addresses, without policy.

mod address;
pub mod buffer;
mod descriptors;
mod ledger;
mod listener;
mod options;
mod own;
pub mod pipe;
mod prefixed;
pub mod sys;
mod transport;

pub use address::{AddressSet, ClientAddress, ListenAddress, TargetAddress, canonical};
pub use descriptors::{
    DESCRIPTORS_KEPT, TooFewDescriptors, descriptor_advice, is_free_for_clients, is_last_for_clients,
    is_near_last_for_clients, refresh_descriptor_limit, room_for_a_client,
};
pub use ledger::{Claim, Owner, SocketId, owner_of, pooled_sockets};
pub use listener::{AdoptError, BoundListener, Listener, Sharing, bind_advice};
pub use options::reset_on_close;
pub use own::{Ends, open_descriptors};
pub use prefixed::Prefixed;
pub use transport::{Ending, Transport};
