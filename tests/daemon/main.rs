//! The real binary, end to end: a real process, real sockets, certificates made at run time.

#![cfg(test)]

mod access_log;
mod admin;
mod admin_access;
mod answers;
mod backpressure;
mod causes;
mod client_commands;
mod command_line;
mod connections;
mod demo;
mod descriptors;
mod documents;
mod drain;
mod endings;
mod flood;
mod harness;
mod hello;
mod http2;
mod keys;
mod limits;
mod main_job;
mod manual;
mod match_hello;
mod match_truth;
mod origin;
mod page;
mod passive_health;
mod proxy_header;
mod reload;
mod requests;
mod service;
mod splicing;
mod stop;
mod storm;
mod tls;
mod top;
mod trace;
mod unreachable;
