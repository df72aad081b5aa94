//! HTTP/1.1 as bytes: heads and chunked bodies are taken apart and put together here, and nothing is read, written or
//! waited for.
//!
//! The parser is stricter than RFC 9112 asks of a recipient: what two readers could take for two different messages is
//! refused, never repaired. What it accepts, it hands on as slices of the bytes that came.
//!
//! Two looks are taken at each byte of a head: one that finds its lines while they arrive, and lets no line be what it may
//! not, and one that takes the lines apart. Names, values, methods and targets are checked by the types of `http` that they
//! become. httparse and hyper are the oracles of the tests and of the fuzzers (`fuzz/properties`): a parser of all that they
//! tolerate would cost a fifth of a request (measured: `docs/performance.md`).

mod chunk;
pub mod encode;
mod fault;
mod fields;
mod head;
mod length;
mod lines;
mod name;
mod request_head;
mod response_head;
#[cfg(test)]
mod tests;

pub use chunk::{ChunkFault, Chunks, EXTENSIONS_MAX, LINE_MAX, Piece, TRAILERS_MAX};
pub use fault::HeadFault;
pub use fields::{FIELDS_MAX, fields_of};
pub use head::{HeadLimits, HeadScan, TARGET_MAX};
pub use length::Length;
pub use request_head::RequestHead;
pub use response_head::{ReasonPhrase, ResponseHead};
