//! HTTP/2, both sides of it: what comes from a client, and what goes to a target.

mod client;
mod strand;
mod target;
mod tunnel;

pub(super) use client::{Intake, Ties, serve};
#[cfg(test)]
pub(super) use target::REPLAY_MAX;
pub(super) use target::{Call, Mux, Opener, Over, Place, Shelf, Slot, Turn, Unopened};
pub(super) use tunnel::{Far, StreamTunnel, carry};
