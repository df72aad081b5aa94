use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use super::pem::{self, PemError};

/// Certificate authorities whose certificates are trusted: those of one file.
///
/// Two are equal when they hold the same certificates, wherever they were read from.
#[derive(Clone)]
pub struct Authorities {
    /// Sorted, so that the order in a file makes no difference.
    certificates: Arc<[CertificateDer<'static>]>,
    store: Arc<RootCertStore>,
    source: Arc<Path>,
}

/// Why there are no authorities to trust.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    /// The file gave no certificates.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// A certificate of the file cannot be used as a root.
    #[error("{}: certificate {position} of the file is not a valid X.509 certificate", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The certificate's place in the file; the first is 1.
        position: usize,
        /// What the parser says.
        #[source]
        source: rustls::Error,
    },
    /// The system has no list of roots.
    #[error(
        "the system has no trusted root certificates; install the ca-certificates package or name a file with tls.upstream.ca{}",
        .0.as_deref().map(|first| format!(" ({first})")).unwrap_or_default()
    )]
    NoSystemRoots(Option<String>),
}

impl Authorities {
    /// Reads the certificates of a PEM file.
    ///
    /// # Errors
    /// The file cannot be read, holds no certificate, or one that is none; the operator is to blame.
    pub fn load(path: &Path) -> Result<Self, AuthoritiesError> {
        let mut certificates = pem::certificates(path)?;
        let mut store = RootCertStore::empty();
        for (index, certificate) in certificates.iter().enumerate() {
            store.add(certificate.clone()).map_err(|source| AuthoritiesError::Invalid {
                path: path.into(),
                position: index.saturating_add(1),
                source,
            })?;
        }
        certificates.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
        certificates.dedup();
        Ok(Self { certificates: certificates.into(), store: Arc::new(store), source: path.into() })
    }

    /// The file that they were read from.
    #[must_use]
    pub fn source(&self) -> &Path {
        &self.source
    }

    pub(super) fn store(&self) -> &Arc<RootCertStore> {
        &self.store
    }
}

impl PartialEq for Authorities {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.certificates, &other.certificates) || self.certificates == other.certificates
    }
}

impl Eq for Authorities {}

impl fmt::Debug for Authorities {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Authorities({}, {} certificates)", self.source.display(), self.certificates.len())
    }
}

/// The roots that the system trusts, read when first asked for.
///
/// Reading them takes tens of milliseconds, so one value serves a whole assembly; a reload makes another and so sees changes.
/// `SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured.
#[derive(Debug, Default)]
pub struct SystemAuthorities {
    loaded: OnceLock<Result<Arc<RootCertStore>, Option<String>>>,
}

impl SystemAuthorities {
    /// Roots that have not been read yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Roots that are given instead of the system's.
    #[must_use]
    pub fn from_authorities(authorities: &Authorities) -> Self {
        let loaded = OnceLock::from(Ok(Arc::clone(authorities.store())));
        Self { loaded }
    }

    pub(super) fn store(&self) -> Result<Arc<RootCertStore>, AuthoritiesError> {
        self.loaded.get_or_init(system_store).clone().map_err(AuthoritiesError::NoSystemRoots)
    }
}

fn system_store() -> Result<Arc<RootCertStore>, Option<String>> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    // Lists of roots hold a few that no parser takes; the others are as good without them.
    let (_added, _ignored) = store.add_parsable_certificates(found.certs);
    if store.is_empty() {
        return Err(found.errors.first().map(ToString::to_string));
    }
    Ok(Arc::new(store))
}
