//! HTTP/2 with clients.
//!
//! One task serves a connection: it moves the frames of the h2 crate, and polls the streams that something has happened to.
//! Each stream is one request and its answer; who waits on a stream rings for it, so that a round polls only those.

mod answering;
mod bell;
mod clock;
mod delivered;
mod ended;
mod ending;
mod frames;
mod intake;
mod leftover;
mod sending;
mod serve;
mod streams;
mod ties;
mod wire;

pub(in crate::http) use intake::Intake;
pub(in crate::http) use serve::serve;
pub(in crate::http) use ties::Ties;
