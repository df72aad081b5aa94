//! Serving a client over HTTP/1.1 or HTTP/2, and forwarding its requests to targets over either.
//!
//! The room knows no route and no configuration: who calls [`serve`] says what is done with a request.

mod activity;
pub mod answer;
mod asking;
mod body;
mod calling;
pub mod codec;
mod disguise;
mod edits;
mod errors;
mod exchange;
mod facts;
mod forward;
mod forwarded;
mod hop;
mod host;
mod incoming;
mod one;
mod opening;
mod parcel;
mod pool;
mod progress;
mod rate;
mod request;
mod request_body;
mod request_id;
mod response;
mod seat;
mod send;
mod serve;
mod stall;
mod taking;
#[cfg(test)]
mod tests;
mod timer;
mod trailers;
mod tunnel;
mod two;
mod unacknowledged;
mod via;
mod websocket;

pub use asking::{ANSWER_DISCARDED_MAX, Asking, ask};
pub use body::{Body, BodyError};
pub use edits::HeaderEdits;
pub use errors::{ErrorAnswers, ErrorPage};
pub use exchange::Exchange;
pub use facts::TlsNames;
pub use forward::{ForwardedPolicy, Forwarding, Scheme, TargetProtocol, Timeouts, forward};
pub use host::{Host, InvalidHost};
pub use incoming::{Incoming, IncomingError};
pub use pool::{IDLE_MAX, IDLE_PER_KEY_MAX, Pool, RESPONSE_HEAD_MAX};
pub use rate::MinRate;
pub use request::foretell_target;
pub use request_body::RequestBody;
pub use request_id::RequestId;
pub use serve::{
    H2_CONNECTION_WINDOW_BYTES, H2_RESETS_MAX, H2_SEND_BUFFER_BYTES, H2_STREAM_WINDOW_BYTES, H2_STREAMS_MAX, Settings,
    Version, serve,
};
pub use via::{VIA_SELF_MAX, Via};
