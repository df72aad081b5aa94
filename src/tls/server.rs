use std::sync::{Arc, OnceLock};

use rustls::ServerConfig;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::certificate::Certificate;
use super::policy::{CertificateOrigin, ClientAuth, PolicyError, PolicyId};
use super::provider::{provider, versions};
use super::store::{Candidates, CertificateStore};
use super::ticket::TicketKeys;
use crate::name::HostName;
use crate::route::TlsVersion;

/// How many TLS 1.3 tickets a client gets: enough for a browser that opens a second connection at once, and what the
/// other servers send.
const TICKETS: usize = 2;

/// What a route asks for where it terminates TLS.
#[derive(Clone, Debug)]
pub struct ServerParameters {
    /// What is shown to clients.
    pub certificates: CertificateSource,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// Whether clients have to show a certificate.
    pub client_auth: ClientAuth,
    /// ALPN protocols, the preferred first (`h2`, `http/1.1`); empty: ALPN is not answered.
    pub alpn: Vec<Vec<u8>>,
}

/// Where the certificate for a client comes from.
#[derive(Clone, Debug)]
pub enum CertificateSource {
    /// This one, for the names that it covers and for clients that name no host.
    Fixed(Arc<Certificate>),
    /// The one that covers the name.
    Store(Arc<CertificateStore>),
}

/// Everything that is needed to terminate TLS for a route. Made when the configuration is assembled, shared by all
/// connections, never changed.
#[derive(Debug)]
pub struct ServerPolicy {
    config: Arc<ServerConfig>,
    source: CertificateSource,
    id: PolicyId,
}

impl ServerPolicy {
    /// Builds the policy. Clients can resume sessions under every policy that is built with the same keys and the same
    /// client authentication.
    ///
    /// # Errors
    /// There is no certificate at all, or the authorities verify nobody; the operator is to blame.
    pub fn new(parameters: ServerParameters, keys: &TicketKeys) -> Result<Self, PolicyError> {
        let ServerParameters { certificates: source, min_version, client_auth, alpn } = parameters;
        let (origin, first) = match &source {
            CertificateSource::Fixed(certificate) => {
                (CertificateOrigin::Fixed(certificate.source().into()), Some(certificate))
            }
            CertificateSource::Store(store) => (CertificateOrigin::Store, store.find(None)),
        };
        let resolver = single(first.ok_or(PolicyError::NoCertificate)?);
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(min_version))
            .map_err(PolicyError::Library)?;
        let builder = match &client_auth {
            ClientAuth::None => builder.with_no_client_auth(),
            ClientAuth::Optional(authorities) | ClientAuth::Required(authorities) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(authorities.store()), provider());
                let verifier = match &client_auth {
                    ClientAuth::Optional(_) => verifier.allow_unauthenticated(),
                    ClientAuth::None | ClientAuth::Required(_) => verifier,
                };
                builder.with_client_cert_verifier(verifier.build().map_err(PolicyError::Verifier)?)
            }
        };
        let mut config = builder.with_cert_resolver(resolver);
        config.alpn_protocols = alpn;
        config.ticketer = keys.ticketer(&client_auth)?;
        config.send_tls13_tickets = TICKETS;
        // Tickets hold the sessions; a store would be a lock between all workers, for clients of before 2010.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // `max_fragment_size` stays at the 16 KiB of RFC 8446 section 5.1: fewer records are less CPU.
        Ok(Self { config: Arc::new(config), source, id: PolicyId::new(origin, min_version, client_auth) })
    }

    /// Which settings connections under this policy are made with.
    #[must_use]
    pub fn id(&self) -> &PolicyId {
        &self.id
    }

    /// The certificate for a client that asks for this name, or for none; of several the one that most can verify.
    #[must_use]
    pub fn certificate(&self, server_name: Option<&HostName>) -> Option<&Arc<Certificate>> {
        match &self.source {
            CertificateSource::Fixed(certificate) => {
                server_name.is_none_or(|name| certificate.covers(name)).then_some(certificate)
            }
            CertificateSource::Store(store) => store.find(server_name),
        }
    }

    /// Every certificate that clients may be shown.
    #[must_use]
    pub fn certificates(&self) -> &[Arc<Certificate>] {
        match &self.source {
            CertificateSource::Fixed(certificate) => std::slice::from_ref(certificate),
            CertificateSource::Store(store) => store.certificates(),
        }
    }

    /// Whether a client that asks for this name, or for none, finds a certificate.
    #[must_use]
    pub fn covers(&self, server_name: Option<&HostName>) -> bool {
        self.certificate(server_name).is_some()
    }

    /// Whether clients are refused that show no certificate.
    #[must_use]
    pub fn requires_client_certificate(&self) -> bool {
        self.id.requires_client_certificate()
    }

    /// What a client that asks for this name is offered.
    pub(super) fn offer(&self, server_name: Option<&HostName>) -> Option<Offer> {
        match &self.source {
            CertificateSource::Fixed(certificate) => self.covers(server_name).then(|| Offer {
                config: Arc::clone(&self.config),
                certificate: Choice::Made(Arc::clone(certificate)),
            }),
            CertificateSource::Store(store) => {
                let candidates = store.candidates(server_name)?;
                // The library does not tell which certificate it used; with a resolver of its own for each connection we
                // know. The copy is a dozen reference counts, next to a handshake of 200 us.
                let mut config = ServerConfig::clone(&self.config);
                let certificate = match &**candidates {
                    [only] => {
                        config.cert_resolver = single(only);
                        Choice::Made(Arc::clone(only))
                    }
                    _ => {
                        let selection = Arc::new(Selection::new(Arc::clone(candidates)));
                        config.cert_resolver = Arc::<Selection>::clone(&selection);
                        Choice::InHandshake(selection)
                    }
                };
                Some(Offer { config: Arc::new(config), certificate })
            }
        }
    }
}

fn single(certificate: &Arc<Certificate>) -> Arc<SingleCertAndKey> {
    Arc::new(SingleCertAndKey::from(Arc::clone(certificate.certified())))
}

/// One connection's handshake settings.
pub(super) struct Offer {
    pub(super) config: Arc<ServerConfig>,
    pub(super) certificate: Choice,
}

/// How the certificate of a connection is known.
pub(super) enum Choice {
    /// There was only one.
    Made(Arc<Certificate>),
    /// By what the client can verify.
    InHandshake(Arc<Selection>),
}

impl Choice {
    /// The certificate, once the handshake is complete.
    pub(super) fn certificate(self) -> Option<Arc<Certificate>> {
        match self {
            Self::Made(certificate) => Some(certificate),
            Self::InHandshake(selection) => selection.chosen.get().cloned(),
        }
    }
}

/// The choice between certificates for one name, and what was chosen.
#[derive(Debug)]
pub(super) struct Selection {
    candidates: Candidates,
    chosen: OnceLock<Arc<Certificate>>,
}

impl Selection {
    fn new(candidates: Candidates) -> Self {
        Self { candidates, chosen: OnceLock::new() }
    }
}

impl ResolvesServerCert for Selection {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // The library has already struck the schemes that fit none of the client's cipher suites.
        let schemes = hello.signature_schemes();
        let usable = |certificate: &&Arc<Certificate>| certificate.certified().key.choose_scheme(schemes).is_some();
        // If none is usable the first goes on, and the library gives the client the exact reason.
        let found = self.candidates.iter().find(usable).or_else(|| self.candidates.first())?;
        // A second hello, after HelloRetryRequest, offers the same schemes (RFC 8446 section 4.1.2).
        Some(Arc::clone(self.chosen.get_or_init(|| Arc::clone(found)).certified()))
    }
}
