//! What a connection speaks, learned from its first bytes.
//!
//! The parsers do no I/O and are handed every byte received so far; [`read_proxy_header`] and [`read_opening`] are the one
//! bounded reader that feeds them, under one deadline. "Need more" is an answer of its own, never "no match".

mod client_hello;
mod cursor;
mod error;
mod peek;
mod preface;
mod proxy_header;

pub use client_hello::{ClientHello, HELLO_LENGTH_MAX, HelloFault, HelloReader, MalformedHello, RECORDS_MAX};
pub use error::SniffError;
pub use peek::{Opening, READ_LENGTH_MAX, read_opening, read_proxy_header};
pub use preface::{METHOD_LENGTH_MAX, Preface};
pub use proxy_header::{
    PROXY_V1_LENGTH_MAX, PROXY_V2_BLOCK_LENGTH_MAX, ProxyHeader, ProxyHeaderFault, ProxyHeaderFound, ProxyVersion,
};

/// What a parser makes of the bytes received so far, when they break no rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Progress<T> {
    /// Every byte fits so far, and the answer depends on bytes still to come.
    NeedMore,
    /// The answer, which no later byte changes.
    Done(T),
}
