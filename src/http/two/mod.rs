//! HTTP/2 towards targets, on connections that many requests share.
//!
//! A connection has a task of its own, which only moves frames; each request's stream is driven by the request's task.

mod call;
mod mux;
mod outgoing;
mod request;
mod shelf;

pub(super) use call::Call;
pub(super) use mux::{Mux, Place, Slot, Unopened};
pub(super) use shelf::{Opener, Over, Shelf, Turn};
