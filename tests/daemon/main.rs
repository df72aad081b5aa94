//! The real binary, end to end: a real process, real sockets, certificates made at run time.

#![cfg(test)]

mod endings;
mod harness;
mod main_job;
mod unreachable;
