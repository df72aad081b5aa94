//! Towards the targets: which one, at which address, and the one way to connect to it.
//!
//! Every socket that leads to a target is opened by [`connect()`].

mod balance;
mod connect;
mod health;
mod resolve;
mod stream;
mod target;

pub use balance::{Algorithm, Choice, Member, Order, Targets};
pub use connect::{
    ADDRESSES_MAX, ATTEMPT_DELAY, ConnectError, Connected, FAILURES_MAX, FailedAttempt, Failure, Plan, Timeouts,
    connect, connect_in,
};
pub use health::{Health, HealthPolicy, SetAside};
pub use resolve::{
    FAILED_FOR, FRESH_FOR, LOOKUPS_MAX, NAMES_MAX, ResolveError, STALE_FOR, count_lookups, lookups_running,
};
pub use stream::Stream;
pub use target::{InFlight, Target, TargetHost, TargetKey, TargetPort};
