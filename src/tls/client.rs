use std::net::IpAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{DigitallySignedStruct, SignatureScheme};

use super::authorities::{Authorities, SystemAuthorities};
use super::certificate::Certificate;
use super::policy::PolicyError;
use super::provider::{provider, versions};
use crate::name::HostName;
use crate::route::TlsVersion;

/// What a route asks for where it encrypts again towards its targets: `tls.upstream`.
#[derive(Clone, Debug)]
pub struct ClientParameters {
    /// How the target's certificate is verified.
    pub verification: Verification,
    /// The name to ask for and to verify, instead of the target's own.
    pub server_name: Option<TargetName>,
    /// What the target is shown if it asks.
    pub client_certificate: Option<Arc<Certificate>>,
    /// ALPN protocols to offer, the preferred first; empty: none is offered. If `http/1.1` is not among them the target has
    /// to agree to one: one that agrees to none speaks HTTP/1.1 (RFC 9113 section 3.2).
    pub alpn: Vec<Vec<u8>>,
}

/// How a target's certificate is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verification {
    /// Against the roots that the system trusts.
    System,
    /// Against these authorities only.
    Authorities(Authorities),
    /// Not at all: whoever sits between the proxy and the target can read and change everything. The connection is
    /// encrypted for the holder of whatever key was shown, and nothing more is known of it.
    Off,
}

/// What a target's certificate has to be valid for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TargetName {
    /// A name, which is also asked for by SNI.
    Host(HostName),
    /// An address; SNI knows none (RFC 6066 section 3).
    Address(IpAddr),
}

impl From<HostName> for TargetName {
    fn from(name: HostName) -> Self {
        Self::Host(name)
    }
}

impl From<IpAddr> for TargetName {
    fn from(address: IpAddr) -> Self {
        Self::Address(address)
    }
}

impl TargetName {
    pub(super) fn to_library(&self) -> Result<ServerName<'static>, HostName> {
        match self {
            Self::Host(name) => ServerName::try_from(name.as_str().to_owned()).map_err(|_| name.clone()),
            Self::Address(address) => Ok(ServerName::from(*address)),
        }
    }
}

/// Everything that is needed to speak TLS to a route's targets. Made when the configuration is assembled, shared by all
/// connections, never changed.
///
/// It remembers the sessions of up to 256 names, so that connecting again is cheap.
#[derive(Debug)]
pub struct ClientPolicy {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
    /// The same where only HTTP/1.1 is to be agreed on; none if it is the same.
    http1: Option<Box<Self>>,
}

impl ClientPolicy {
    /// Builds the policy. The system's roots are read if it needs them and nobody has before.
    ///
    /// # Errors
    /// The system has no roots, or the server name cannot be one; the operator is to blame.
    pub fn new(parameters: ClientParameters, system: &SystemAuthorities) -> Result<Self, PolicyError> {
        let ClientParameters { verification, server_name, client_certificate, alpn } = parameters;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(TlsVersion::Tls12))
            .map_err(PolicyError::Library)?
            .dangerous()
            .with_custom_certificate_verifier(verifier(&verification, system)?);
        let mut config = match client_certificate {
            None => builder.with_no_client_auth(),
            Some(certificate) => {
                let key = SingleCertAndKey::from(Arc::clone(certificate.certified()));
                let resolver: Arc<dyn ResolvesClientCert> = Arc::new(key);
                builder.with_client_cert_resolver(resolver)
            }
        };
        config.alpn_protocols = alpn;
        let server_name = server_name.as_ref().map(TargetName::to_library).transpose();
        let server_name = server_name.map_err(PolicyError::ServerName)?;
        let http1 = (config.alpn_protocols.len() > 1).then(|| {
            // The sessions are shared: what was agreed on before binds no later handshake.
            let mut config = config.clone();
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Box::new(Self { config: Arc::new(config), server_name: server_name.clone(), http1: None })
        });
        Ok(Self { config: Arc::new(config), server_name, http1 })
    }

    /// The policy for a connection on which HTTP/1.1 is to be spoken, whatever else it would offer.
    #[must_use]
    pub fn http1(&self) -> &Self {
        self.http1.as_deref().unwrap_or(self)
    }

    /// Whether a target that agrees to no ALPN protocol is of no use.
    pub(super) fn must_agree(&self) -> bool {
        let offered = &self.config.alpn_protocols;
        !offered.is_empty() && !offered.iter().any(|protocol| protocol == b"http/1.1")
    }

    pub(super) fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// The name to ask a target for.
    pub(super) fn name_for(&self, target: &TargetName) -> Result<ServerName<'static>, HostName> {
        match &self.server_name {
            Some(name) => Ok(name.clone()),
            None => target.to_library(),
        }
    }
}

fn verifier(
    verification: &Verification,
    system: &SystemAuthorities,
) -> Result<Arc<dyn ServerCertVerifier>, PolicyError> {
    let roots = match verification {
        Verification::System => system.store()?,
        Verification::Authorities(authorities) => Arc::clone(authorities.store()),
        Verification::Off => return Ok(Arc::new(AnyCertificate(provider().signature_verification_algorithms))),
    };
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider());
    Ok(verifier.build().map_err(PolicyError::Verifier)?)
}

/// Takes every certificate, and checks only that the peer holds its key: the handshake's signature is what ties the keys
/// of the connection to anybody at all.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
