use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureAlgorithm;

use super::certificate::Certificate;
use crate::name::{HostName, HostPattern};

/// Certificates that all cover one name, the preferred first. Never empty.
pub(super) type Candidates = Arc<[Arc<Certificate>]>;

/// Certificates by the names that they cover: `[[certificates]]`.
///
/// Asking costs two hash lookups, however many there are.
#[derive(Debug)]
pub struct CertificateStore {
    exact: HashMap<Box<str>, Candidates>,
    /// By the name after `*.`.
    one_label: HashMap<Box<str>, Candidates>,
    unnamed: Option<Candidates>,
    certificates: Vec<Arc<Certificate>>,
}

impl CertificateStore {
    /// Files the certificates. The first is the one for clients that name no host.
    ///
    /// Several for one name are all kept: a client gets the first that it can verify, ECDSA and Ed25519 before RSA
    /// (they cost the server a third), otherwise in the order given.
    #[must_use]
    pub fn new(certificates: Vec<Arc<Certificate>>) -> Self {
        let mut exact: HashMap<Box<str>, Vec<Arc<Certificate>>> = HashMap::new();
        let mut one_label: HashMap<Box<str>, Vec<Arc<Certificate>>> = HashMap::new();
        for certificate in &certificates {
            for name in certificate.names() {
                let (map, key) = match name {
                    HostPattern::Exact(name) => (&mut exact, name),
                    HostPattern::OneLabel(name) => (&mut one_label, name),
                    // No certificate has such a name.
                    HostPattern::AnyLabels(_) => continue,
                };
                let filed = map.entry(key.as_str().into()).or_default();
                if !filed.iter().any(|other| Arc::ptr_eq(other, certificate)) {
                    filed.push(Arc::clone(certificate));
                }
            }
        }
        let unnamed = certificates
            .first()
            .map(|first| ranked(certificates.iter().filter(|other| other.names() == first.names()).cloned().collect()));
        Self { exact: finished(exact), one_label: finished(one_label), unnamed, certificates }
    }

    /// The certificate for the name, or without a name the first of all; of several the preferred.
    ///
    /// A certificate for exactly the name beats one with a wildcard.
    #[must_use]
    pub fn find(&self, host: Option<&HostName>) -> Option<&Arc<Certificate>> {
        self.candidates(host)?.first()
    }

    /// Every certificate, in the order given.
    #[must_use]
    pub fn certificates(&self) -> &[Arc<Certificate>] {
        &self.certificates
    }

    pub(super) fn candidates(&self, host: Option<&HostName>) -> Option<&Candidates> {
        let Some(host) = host else {
            return self.unnamed.as_ref();
        };
        self.exact.get(host.as_str()).or_else(|| self.one_label.get(host.parent()?))
    }
}

fn finished(map: HashMap<Box<str>, Vec<Arc<Certificate>>>) -> HashMap<Box<str>, Candidates> {
    map.into_iter().map(|(name, certificates)| (name, ranked(certificates))).collect()
}

fn ranked(mut certificates: Vec<Arc<Certificate>>) -> Candidates {
    // A stable sort: the order given decides among equals.
    certificates.sort_by_key(|certificate| certificate.certified().key.algorithm() == SignatureAlgorithm::RSA);
    certificates.into()
}
