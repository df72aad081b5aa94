//! What the compiler does not check: which way imports go, where sockets are opened, and what documents promise.

mod documents;
mod imports;
mod sockets;
mod sources;
