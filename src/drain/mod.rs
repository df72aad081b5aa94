//! Telling connections to end, and knowing when the last one has.

mod count;
mod leash;

pub use count::{Count, Counted};
pub use leash::{Leash, Order};
