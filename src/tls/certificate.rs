use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::InconsistentKeys;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::pem::{self, PemError};
use super::provider::provider;
use crate::name::{HostName, HostPattern};
use crate::net::canonical;

/// A certificate chain with its private key, and what the proxy needs to know of it.
///
/// The key appears in no text that is made from it.
pub struct Certificate {
    certified: Arc<CertifiedKey>,
    names: Vec<HostPattern>,
    addresses: Vec<IpAddr>,
    not_before: SystemTime,
    not_after: SystemTime,
    source: Arc<str>,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file gave no certificate or no key.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// The first certificate cannot be parsed.
    #[error("{}: the first certificate of the file is not a valid X.509 version 3 certificate", .0.display())]
    Invalid(PathBuf),
    /// The key is of a kind or size that is not supported.
    #[error("{}: the private key cannot be used; it needs to be RSA of 2048 to 8192 bits, ECDSA P-256, P-384 or P-521, or Ed25519", .0.display())]
    UnusableKey(PathBuf, #[source] rustls::Error),
    /// The key belongs to another certificate.
    #[error("{}: the certificate does not belong to the private key in {}; give the two that were issued together", certificate.display(), key.display())]
    Mismatch {
        /// The file with the certificate.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },
    /// The key belongs to a certificate of the file that is not its first.
    #[error("{}: certificate {position} of the file belongs to the private key in {}; put it first, and its issuers after it", certificate.display(), key.display())]
    Order {
        /// The file with the certificates.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
        /// The certificate's place in the file; the first is 1.
        position: usize,
    },
    /// No certificate could be made.
    #[error("a self-signed certificate could not be made")]
    SelfSigned(#[source] rcgen::Error),
}

/// What an operator should know of a certificate that works as far as the proxy is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateWarning {
    /// It is no longer valid, for this long.
    Expired(Duration),
    /// It becomes valid only after this time.
    NotYetValid(Duration),
    /// It has no subject alternative name, so that no client takes it for any host (RFC 9525 section 6.3).
    NoName,
}

impl Certificate {
    /// Reads a chain, the server's own certificate first, and its private key from PEM files.
    ///
    /// # Errors
    /// A file cannot be read or lacks what it should hold, or the two do not belong together; the operator is to blame.
    /// An expired certificate is no error: see [`Certificate::warnings`].
    pub fn load(chain: &Path, key: &Path) -> Result<Self, CertificateError> {
        let certificates = pem::certificates(chain)?;
        let signing_key = signing_key(key)?;
        let certified = CertifiedKey::new(certificates, signing_key);
        match certified.keys_match() {
            // Unknown means that the key cannot tell its public half, which all of ours can.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => return Err(mismatch(&certified, chain, key)),
            Err(_) => return Err(CertificateError::Invalid(chain.into())),
        }
        let source = format!("{} with {}", chain.display(), key.display());
        Self::from_certified(certified, source).ok_or_else(|| CertificateError::Invalid(chain.into()))
    }

    /// Whether the file holds a private key that could be used, with whatever certificate.
    ///
    /// # Errors
    /// Those of [`Certificate::load`] that are about the key's file.
    pub fn check_key(key: &Path) -> Result<(), CertificateError> {
        signing_key(key).map(|_| ())
    }

    /// Takes a chain and key that were made in the process.
    pub(super) fn from_der(
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
        source: String,
    ) -> Option<Self> {
        Self::from_certified(CertifiedKey::from_der(vec![certificate], key, &provider()).ok()?, source)
    }

    fn from_certified(certified: CertifiedKey, source: String) -> Option<Self> {
        let facts = Facts::read(certified.cert.first()?)?;
        Some(Self {
            certified: Arc::new(certified),
            names: facts.names,
            addresses: facts.addresses,
            not_before: facts.not_before,
            not_after: facts.not_after,
            source: source.into(),
        })
    }

    /// The names that it is valid for: its DNS subject alternative names. The common name counts for nothing (RFC 9525 section 2).
    #[must_use]
    pub fn names(&self) -> &[HostPattern] {
        &self.names
    }

    /// The IP addresses that it is valid for.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// The time from which it is valid.
    #[must_use]
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// The time until which it is valid.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Where it comes from, for people: its files, or how it was made.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it is valid for the name. `*.example.com` is valid for exactly one label in front (RFC 9525 section 6.3).
    #[must_use]
    pub fn covers(&self, host: &HostName) -> bool {
        self.names.iter().any(|name| name.matches(host))
    }

    /// Whether it is valid for the IP address; an IPv4 address mapped into IPv6 is the IPv4 address.
    #[must_use]
    pub fn covers_address(&self, address: IpAddr) -> bool {
        self.addresses.contains(&canonical(address))
    }

    /// What an operator should know of it at the time `now`.
    #[must_use]
    pub fn warnings(&self, now: SystemTime) -> Vec<CertificateWarning> {
        let mut warnings = Vec::new();
        match now.duration_since(self.not_after) {
            Ok(since) if !since.is_zero() => warnings.push(CertificateWarning::Expired(since)),
            Ok(_) | Err(_) => {}
        }
        match self.not_before.duration_since(now) {
            Ok(until) if !until.is_zero() => warnings.push(CertificateWarning::NotYetValid(until)),
            Ok(_) | Err(_) => {}
        }
        if self.names.is_empty() && self.addresses.is_empty() {
            warnings.push(CertificateWarning::NoName);
        }
        warnings
    }

    /// The chain in PEM's binary form (DER), the certificate itself first; no key.
    pub fn chain(&self) -> impl Iterator<Item = &[u8]> {
        self.certified.cert.iter().map(AsRef::as_ref)
    }

    pub(super) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Certificate({})", self.source)
    }
}

impl fmt::Display for CertificateWarning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired(since) => write!(formatter, "the certificate expired {} ago; renew it", rounded(*since)),
            Self::NotYetValid(until) => {
                write!(formatter, "the certificate becomes valid in {}; is the clock right?", rounded(*until))
            }
            Self::NoName => formatter.write_str(
                "the certificate has no subject alternative name, so no client accepts it; have it issued with one",
            ),
        }
    }
}

fn rounded(duration: Duration) -> String {
    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;
    match duration.as_secs() {
        seconds if seconds >= 2 * DAY => format!("{} days", seconds / DAY),
        seconds if seconds >= 2 * HOUR => format!("{} hours", seconds / HOUR),
        seconds => format!("{seconds} seconds"),
    }
}

fn signing_key(path: &Path) -> Result<Arc<dyn SigningKey>, CertificateError> {
    let key = pem::private_key(path)?;
    let unusable = |error| CertificateError::UnusableKey(path.into(), error);
    provider().key_provider.load_private_key(key).map_err(unusable)
}

/// Tells a wrong pair from a chain in the wrong order, which is the commoner fault.
fn mismatch(certified: &CertifiedKey, chain: &Path, key: &Path) -> CertificateError {
    let belongs = |certificate: &CertificateDer<'static>| {
        CertifiedKey::new(vec![certificate.clone()], Arc::clone(&certified.key)).keys_match().is_ok()
    };
    match certified.cert.iter().position(belongs) {
        Some(index) => {
            CertificateError::Order { certificate: chain.into(), key: key.into(), position: index.saturating_add(1) }
        }
        None => CertificateError::Mismatch { certificate: chain.into(), key: key.into() },
    }
}

/// What is read from the certificate itself.
struct Facts {
    names: Vec<HostPattern>,
    addresses: Vec<IpAddr>,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Facts {
    fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let mut names = Vec::new();
        let mut addresses = Vec::new();
        if let Some(alternatives) = parsed.subject_alternative_name().ok()? {
            for name in &alternatives.value.general_names {
                match name {
                    GeneralName::DNSName(text) => names.extend(pattern(text)),
                    GeneralName::IPAddress(bytes) => addresses.extend(address(bytes)),
                    _ => {}
                }
            }
        }
        let validity = parsed.validity();
        Some(Self {
            names,
            addresses,
            not_before: time(validity.not_before.timestamp())?,
            not_after: time(validity.not_after.timestamp())?,
        })
    }
}

/// A name that clients would accept as well; `f*.example.com` and `*` are valid for nothing.
fn pattern(text: &str) -> Option<HostPattern> {
    match HostPattern::parse(text).ok()? {
        name @ (HostPattern::Exact(_) | HostPattern::OneLabel(_)) => Some(name),
        // Two stars are ours alone; no client knows them.
        HostPattern::AnyLabels(_) => None,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::V4(Ipv4Addr::from(octets)));
    }
    let octets = <[u8; 16]>::try_from(bytes).ok()?;
    Some(canonical(IpAddr::V6(Ipv6Addr::from(octets))))
}

/// A time from seconds since 1970, which certificates may well put before it.
fn time(seconds: i64) -> Option<SystemTime> {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    }
}
