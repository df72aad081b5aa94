//! The kinds of values: how each is read from the text, what it is called, and its JSON schema.

mod duration;
mod files;
mod hosts;
mod kind;
mod list;
mod log_level;
mod log_query;
mod network;
mod number;
mod path;
mod port;
mod realm;
mod scalar;
mod size;
mod status;
mod suggest;
mod token;
mod word;

pub use duration::parse_duration;
pub(super) use duration::{Time, TimeOrOff};
pub(super) use files::{FilePath, PathOrOff, SocketPath};
pub(super) use kind::{Key, KeyDoc, Kind, Problem, TextKind, found, table_of};
pub(super) use list::{List, Table};
pub(super) use log_level::LogLevel;
pub(super) use log_query::MaskSpec;
pub use network::parse_network;
pub(super) use network::{AddressOrOff, Network};
pub(super) use number::{RedirectStatus, Signed, Whole, integer};
pub(super) use path::{AskedPath, Pseudonym};
pub(super) use port::{PortSpec, decimal};
pub(super) use realm::Realm;
pub(super) use scalar::{Alpn, HeaderText, MethodName, Text};
pub(super) use size::Size;
pub use size::parse_size;
pub(super) use status::error_statuses;
pub use suggest::nearest;
pub(super) use token::TokenOrOff;
pub(super) use word::{
    Algorithm, AuthMode, CertificateWord, LogForm, OffWord, ProtocolWord, ProxyHeader, TlsMode, UpstreamWord, Version,
};
