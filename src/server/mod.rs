//! The daemon: accept loops, the story of one connection, workers, signals, reload and stop.

mod accept;
mod control;
mod daemon;
mod leak;
mod learn;
mod listeners;
mod notify;
mod reload;
mod rest;
mod scrape;
mod serve;
mod served;
mod stop;
#[cfg(test)]
mod tests;
mod worker;

pub use control::{Control, LastReload, Readiness, ReloadAnswer, Request, Stopped};
pub use daemon::{Daemon, Exit, StartError};
pub use leak::LeakSuspect;
pub use listeners::{BindError, Inherited};
