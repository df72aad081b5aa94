//! What every test of the binary stands on: the daemon, its targets, its clients, and the books that have to balance.

mod browser;
mod certificates;
mod curl;
mod held;
mod http;
mod limited;
mod lines;
mod metrics;
mod peer;
mod proxy;
mod python;
mod queue;
mod target;
mod wait;
mod way;

pub(crate) use browser::Browser;
pub(crate) use certificates::{CERTIFICATES, certificate_for};
pub(crate) use curl::Curl;
pub(crate) use held::Held;
pub(crate) use http::{Message, parsed_head};
pub(crate) use limited::limited;
pub(crate) use lines::field;
pub(crate) use metrics::Metrics;
pub(crate) use peer::{End, Ends, Peer};
pub(crate) use proxy::{BINARY, FILE, Proxy, USERS, folder_with};
pub(crate) use python::Python;
pub(crate) use queue::{ONE_PLACE, Queue, closed, leave, served};
pub(crate) use target::{Refusing, Target, UNREACHABLE, Unanswering, listener, next_head};
pub(crate) use wait::{PATIENCE, until};
pub(crate) use way::{HELLO, HOST, Way, case_ip, payload, play};
