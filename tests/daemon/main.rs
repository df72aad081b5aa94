//! The real binary, end to end: a real process, real sockets, certificates made at run time.

#![cfg(test)]

mod backpressure;
mod causes;
mod command_line;
mod endings;
mod harness;
mod hello;
mod http2;
mod keys;
mod limits;
mod main_job;
mod origin;
mod proxy_header;
mod reload;
mod requests;
mod service;
mod stop;
mod storm;
mod tls;
mod unreachable;
