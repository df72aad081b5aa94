//! Telling connections to end, and knowing when the last one has; also those that are idle, for want of descriptors.

mod count;
mod leash;
mod spare;

pub use count::{Count, Counted};
pub use leash::{Hearing, Leash, Order};
pub use spare::{Asked, Keeper, Wanted, ask_for_descriptors};
