//! The real binary, end to end: a real process, real sockets, certificates made at run time.

#![cfg(test)]

mod backpressure;
mod causes;
mod endings;
mod harness;
mod hello;
mod main_job;
mod reload;
mod requests;
mod stop;
mod storm;
mod unreachable;
