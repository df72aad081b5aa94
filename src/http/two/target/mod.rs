//! HTTP/2 with targets, on connections that many requests share.
//!
//! A connection has a task of its own, which only moves frames; each request's stream is driven by the request's task.

mod call;
mod mux;
mod outgoing;
mod pulse;
mod request;
mod shelf;

pub(in crate::http) use call::Call;
pub(in crate::http) use mux::{Mux, Place, Slot, Unopened};
#[cfg(test)]
pub(in crate::http) use outgoing::REPLAY_MAX;
pub(in crate::http) use shelf::{Opener, Over, Shelf, Turn};
