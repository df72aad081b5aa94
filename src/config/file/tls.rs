use super::certificate::{CertificateSpec, CertificateTable};
use super::section::{Sub, section};
use crate::config::resolved::Host;
use crate::config::value::{AuthMode, FilePath, TlsMode, Version};

section! {
    /// `tls` of a route.
    TlsSection (short TlsMode::as_section) {
        /// passthrough, terminate (to HTTP) or terminate-and-reencrypt (to HTTPS).
        mode: TlsMode [required],
        /// The route's own certificate; absent = one of [[certificates]], by SNI.
        certificate: CertificateSpec,
        /// The oldest TLS version that clients may speak.
        min_version: Version = Version::Tls12,
        /// The certificates that clients show.
        client_auth: Sub<ClientAuthSection>,
        /// The TLS connection to the target, with terminate-and-reencrypt.
        upstream: Sub<UpstreamSection>,
    }
}

section! {
    /// `tls.client_auth`.
    ClientAuthSection {
        /// none, optional or required.
        mode: AuthMode [required],
        /// PEM file of the certificates that must have signed the client's.
        ca: FilePath,
    }
}

section! {
    /// `tls.upstream`.
    UpstreamSection {
        /// Whether the target's certificate is verified.
        verify: bool = true,
        /// PEM file of the roots that are trusted; absent = the system's.
        ca: FilePath,
        /// The name to ask for and to verify; absent = the target's host.
        server_name: Host,
        /// What is shown to the target, if it asks.
        client_certificate: Sub<CertificateTable>,
    }
}
