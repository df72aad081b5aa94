//! HTTP/1.1 of our own, both sides of it: what comes from a client, and what goes to a target.
//!
//! A connection is served by one task, which polls the request's handling, both bodies and both streams; nothing is handed
//! from task to task.

mod answering;
mod call;
mod closing;
mod content;
pub(super) mod date;
mod feed;
mod outbox;
mod outgoing;
mod piping;
mod serve;
mod wire;

pub(super) use call::{Broken, Call, Link};
pub(super) use feed::Feed;
pub(super) use serve::serve;
