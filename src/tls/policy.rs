use std::sync::Arc;

use super::authorities::{Authorities, AuthoritiesError};
use crate::name::HostName;
use crate::route::TlsVersion;

/// Whether clients have to show a certificate: `tls.client_auth`.
///
/// Two are equal when they ask for the same in the name of the same authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    None,
    /// They are asked; without one they are served all the same, with one it must verify.
    Optional(Authorities),
    /// They are asked, and refused without one.
    Required(Authorities),
}

/// Which TLS settings a connection was made under.
///
/// A request on it may be served for a route whose policy has an equal one; for another the answer is 421, because the
/// connection may lack what that route asks of its clients. Certificates count by where they were configured to come
/// from, not by content: a renewed certificate does not turn the requests of kept connections away. Client authorities
/// count by content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyId(Arc<Settings>);

#[derive(Debug, PartialEq, Eq)]
struct Settings {
    certificates: CertificateOrigin,
    min_version: TlsVersion,
    client_auth: ClientAuth,
}

/// Where a policy takes its certificates from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CertificateOrigin {
    /// The store, by name.
    Store,
    /// The one certificate of this source.
    Fixed(Arc<str>),
}

impl PolicyId {
    pub(super) fn new(certificates: CertificateOrigin, min_version: TlsVersion, client_auth: ClientAuth) -> Self {
        Self(Arc::new(Settings { certificates, min_version, client_auth }))
    }

    pub(super) fn requires_client_certificate(&self) -> bool {
        match self.0.client_auth {
            ClientAuth::Required(_) => true,
            ClientAuth::None | ClientAuth::Optional(_) => false,
        }
    }
}

/// Why TLS settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A terminating route has nothing to show to its clients.
    #[error("there is no certificate to serve; give the route a tls.certificate, or add one under [[certificates]]")]
    NoCertificate,
    /// There are no roots to verify with.
    #[error(transparent)]
    Authorities(#[from] AuthoritiesError),
    /// The authorities cannot verify anybody.
    #[error("no certificate can be verified with these authorities")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
    /// A name that TLS cannot ask for.
    #[error(
        "{0} cannot be asked for as a TLS server name; set tls.upstream.server_name to the name in the target's certificate"
    )]
    ServerName(HostName),
    /// The TLS library refused, for want of random numbers for instance.
    #[error("the TLS library refused the settings")]
    Library(#[source] rustls::Error),
}
