use std::path::PathBuf;

use super::CertificateFiles;
use super::action::Host;
use crate::config::place::Located;
use crate::route::TlsVersion;

/// What a route does with TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// No TLS from the client.
    Plain,
    /// TLS is relayed unread.
    Passthrough,
    /// TLS ends here; the target is spoken to in the clear.
    Terminate(TlsServer),
    /// TLS ends here; a new TLS connection leads to the target.
    TerminateAndReencrypt(TlsServer, TlsUpstream),
}

/// Our side of a TLS connection from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsServer {
    /// What we show.
    pub certificate: Certificate,
    /// The oldest version that we speak.
    pub min_version: TlsVersion,
    /// What we ask the client to show.
    pub client_auth: ClientAuth,
}

/// Which certificate a terminating route shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// One of `[[certificates]]`, by SNI.
    FromCertificates,
    /// Its own.
    Files(CertificateFiles),
    /// One made at start, for development.
    SelfSigned,
}

/// Whether a client shows a certificate, and who must have signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// None is asked for.
    None,
    /// One is asked for; if shown, it must be signed by a certificate of this file.
    Optional(Located<PathBuf>),
    /// One must be shown, signed by a certificate of this file.
    Required(Located<PathBuf>),
}

/// Our side of a TLS connection to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsUpstream {
    /// Whether the target's certificate is verified.
    pub verify: bool,
    /// The roots that are trusted; `None` is the system's.
    pub ca: Option<Located<PathBuf>>,
    /// The name to ask for and to verify; `None` is the target's host.
    pub server_name: Option<Host>,
    /// What we show to the target, if it asks.
    pub client_certificate: Option<CertificateFiles>,
}
