//! HTTP/1.1 as bytes: heads and chunked bodies are taken apart and put together here, and nothing is read, written or
//! waited for.
//!
//! The parser is stricter than RFC 9112 asks of a recipient: what two readers could take for two different messages is
//! refused, never repaired. What it accepts, it hands on as slices of the bytes that came.
//!
//! httparse finds the tokens. What it tolerates is judged before it is asked: lines that end with LF alone, empty lines
//! before a status line, letters beyond ASCII in a target, and a fragment there, which `http::Uri` would drop. What it does
//! not look at, the forms of a target and all that the fields mean, is judged after it.

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
pub use fields::FIELDS_MAX;
pub use head::{HeadLimits, HeadScan, TARGET_MAX};
pub use length::Length;
pub use request_head::RequestHead;
pub use response_head::{ReasonPhrase, ResponseHead};
