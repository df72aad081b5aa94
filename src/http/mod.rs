//! The home of hyper: serving a client over HTTP/1.1 or HTTP/2, and forwarding its requests to targets.
//!
//! The room knows no route and no configuration: who calls [`serve`] says what is done with a request.

mod activity;
pub mod answer;
mod body;
mod exchange;
mod forward;
mod host;
mod pool;
mod request_id;
mod serve;
mod trailers;

pub use body::{Body, BodyError, RequestBody};
pub use exchange::Exchange;
pub use forward::{ForwardedPolicy, Forwarding, HeaderEdits, Scheme, Timeouts, forward};
pub use host::{Host, InvalidHost};
pub use pool::{IDLE_MAX, IDLE_PER_KEY_MAX, Pool};
pub use request_id::RequestId;
pub use serve::{Settings, Version, serve};
