//! What all measurements have in common: the backends, a certificate, and how long everything takes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

use crate::backend::Backends;
use crate::pin;

/// The name that the peers' certificate is for, and that every client asks for.
pub(crate) const NAME: &str = "bench.example.com";

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) rounds: usize,
    /// Before anything is counted.
    pub(crate) warm_up: Duration,
    /// While it is.
    pub(crate) measured: Duration,
    /// Of a column of idle connections.
    pub(crate) idle_connections: usize,
}

impl Pace {
    pub(crate) fn of_environment() -> Self {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<f64>().ok());
        let quick = std::env::var("PEERS_QUICK").is_ok_and(|value| value != "0");
        let (rounds, seconds, idle_connections) = if quick { (1.0, 0.3, 500) } else { (5.0, 1.5, 5000) };
        let seconds = number("PEERS_SECONDS").unwrap_or(seconds);
        Self {
            rounds: number("PEERS_ROUNDS").unwrap_or(rounds).max(1.0) as usize,
            warm_up: Duration::from_secs_f64(seconds / 4.0),
            measured: Duration::from_secs_f64(seconds),
            idle_connections,
        }
    }
}

/// What the peers stand between and are given.
pub(crate) struct World {
    pub(crate) pace: Pace,
    pub(crate) backends: Backends,
    folder: TempDir,
}

impl World {
    pub(crate) fn new(pace: Pace) -> Self {
        pin::on_loads_core();
        let folder = tempfile::tempdir().unwrap();
        // P-256, which is what certificate authorities hand out by default today.
        let issued = rcgen::generate_simple_self_signed(vec![NAME.into()]).unwrap();
        std::fs::write(folder.path().join("certificate.pem"), issued.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), issued.signing_key.serialize_pem()).unwrap();
        // HAProxy reads both from one file.
        let both = issued.cert.pem() + &issued.signing_key.serialize_pem();
        std::fs::write(folder.path().join("both.pem"), both).unwrap();
        Self { pace, backends: Backends::start(), folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A client's TLS 1.3 with AES-128-GCM, so that all peers do the same work.
    pub(crate) fn tls(&self, group: Group, resumption: Resumption, alpn: &[&str]) -> Arc<ClientConfig> {
        let provider = CryptoProvider {
            cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
            kx_groups: vec![group.library()],
            ..aws_lc_rs::default_provider()
        };
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("certificate.pem")).unwrap()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config.resumption = match resumption {
            Resumption::Never => rustls::client::Resumption::disabled(),
            Resumption::Always => rustls::client::Resumption::in_memory_sessions(256),
        };
        Arc::new(config)
    }
}

/// A key exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    X25519,
    /// Not in OpenSSL 3.0.
    X25519MlKem768,
}

impl Group {
    fn library(self) -> &'static dyn SupportedKxGroup {
        match self {
            Self::X25519 => aws_lc_rs::kx_group::X25519,
            Self::X25519MlKem768 => aws_lc_rs::kx_group::X25519MLKEM768,
        }
    }
}

/// Whether a client comes back with a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resumption {
    Never,
    Always,
}

/// The first bytes of a client that asks for this name.
pub(crate) fn hello(config: &Arc<ClientConfig>, name: &str) -> Vec<u8> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = rustls::ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}
