//! TLS: the home of rustls.
//!
//! Certificates and keys, what a route needs to terminate TLS or to speak it to a target, the two handshakes, and the
//! streams that come out of them. Nothing here watches files or knows the configuration: a reload builds everything
//! anew and hands in the same [`TicketKeys`], so that clients can resume their sessions.

mod accept;
mod agreed;
mod ahead;
mod authorities;
mod certificate;
mod client;
mod connect;
mod first;
mod pem;
mod policy;
mod provider;
mod refuse;
mod self_signed;
mod server;
mod store;
mod stream;
mod ticket;
mod verdict;

#[cfg(test)]
mod tests;

pub use accept::{HandshakeError, accept};
pub use agreed::Agreed;
pub use authorities::{Authorities, AuthoritiesError, SystemAuthorities};
pub use certificate::{Certificate, CertificateError, CertificateWarning};
pub use client::{ClientParameters, ClientPolicy, TargetName, Verification};
pub use connect::{TargetTlsError, connect};
pub use pem::{PEM_FILE_SIZE_MAX, PemError};
pub use policy::{ClientAuth, PolicyError, PolicyId};
pub use refuse::{Alert, REFUSAL_DISCARD_MAX, REFUSAL_LINGER, close_in_order, refuse};
pub use self_signed::self_signed_pem;
pub use server::{CertificateSource, ServerParameters, ServerPolicy};
pub use store::CertificateStore;
pub use stream::{ClientSession, ClientTls, TargetTls};
pub use ticket::TicketKeys;
