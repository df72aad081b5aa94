//! The real binary, end to end: a real process, real sockets, certificates made at run time.

mod harness;
mod main_job;
