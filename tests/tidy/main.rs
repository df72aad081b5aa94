//! What the compiler does not check: which way imports go, where sockets are opened, and what documents promise.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod documents;
mod imports;
mod metrics;
mod sockets;
mod sources;
