use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DnType, KeyPair, SanType};
use rustls::pki_types::PrivateKeyDer;

use super::certificate::{Certificate, CertificateError};
use crate::name::HostPattern;

/// How long a self-signed certificate is valid: it lives as long as the process, and clients refuse more than 825 days.
const LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// How far it reaches into the past, for clients whose clocks are late.
const LEEWAY: Duration = Duration::from_secs(24 * 3600);

impl Certificate {
    /// Makes a certificate for development: ECDSA P-256, valid for a year, signed by nobody but itself.
    ///
    /// It is valid for `names` and always also for `localhost`, `127.0.0.1` and `::1`. `**.example.com` becomes
    /// `*.example.com`, because certificates know one label only.
    ///
    /// # Errors
    /// The system gave no random numbers.
    pub fn self_signed(names: &[HostPattern]) -> Result<Self, CertificateError> {
        let Made { certificate, key, source } = make(names)?;
        let der = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Self::from_der(certificate.der().clone(), der, source)
            .ok_or(CertificateError::SelfSigned(rcgen::Error::CouldNotParseCertificate))
    }
}

/// Makes a certificate as [`Certificate::self_signed`] does, as the PEM texts of the certificate and of its key.
///
/// # Errors
/// The system gave no random numbers.
pub fn self_signed_pem(names: &[HostPattern]) -> Result<(String, String), CertificateError> {
    let Made { certificate, key, .. } = make(names)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

struct Made {
    certificate: rcgen::Certificate,
    key: KeyPair,
    source: String,
}

fn make(names: &[HostPattern]) -> Result<Made, CertificateError> {
    let mut texts: Vec<String> = names.iter().map(certificate_name).collect();
    texts.push("localhost".to_owned());
    let mut kept = Vec::with_capacity(texts.len());
    for text in texts {
        if !kept.contains(&text) {
            kept.push(text);
        }
    }
    let source = format!("self-signed for {}", kept.join(", "));
    let mut parameters = CertificateParams::new(kept).map_err(CertificateError::SelfSigned)?;
    for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        parameters.subject_alt_names.push(SanType::IpAddress(address));
    }
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, "smartproxy self-signed");
    let now = epoch_distance();
    parameters.not_before = rcgen::date_time_ymd(1970, 1, 1) + now.saturating_sub(LEEWAY);
    parameters.not_after = rcgen::date_time_ymd(1970, 1, 1) + now.saturating_add(LIFETIME);
    let key = KeyPair::generate().map_err(CertificateError::SelfSigned)?;
    let certificate = parameters.self_signed(&key).map_err(CertificateError::SelfSigned)?;
    Ok(Made { certificate, key, source })
}

fn certificate_name(pattern: &HostPattern) -> String {
    match pattern {
        HostPattern::Exact(name) => name.to_string(),
        HostPattern::OneLabel(name) | HostPattern::AnyLabels(name) => format!("*.{name}"),
    }
}

/// The time since 1970, held below the year 9999, where the form of dates in certificates ends (RFC 5280 section 4.1.2.5).
fn epoch_distance() -> Duration {
    const YEAR: u64 = 365 * 24 * 3600;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.min(Duration::from_secs(8000 * YEAR))
}
