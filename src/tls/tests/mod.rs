//! Handshakes over loopback sockets, with certificates made on the spot.

mod bulk;
mod certificates;
mod client;
mod closing;
mod server;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::*;
use crate::name::{HostName, HostPattern};
use crate::route::TlsVersion;

/// An authority, and the folder where what it issues lies.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

/// What kind of key a certificate has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Ecdsa,
    Rsa,
}

/// When a certificate is valid.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Validity {
    Now,
    Past,
    Future,
}

impl Authority {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut parameters = CertificateParams::new([]).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Each has its own name: two of one name would be one authority with the wrong key.
        let name = folder.path().file_name().unwrap().to_str().unwrap();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
        Self { issuer, folder }
    }

    /// The files of a new certificate and its key.
    pub(super) fn files(&self, names: &[&str], kind: Key, validity: Validity) -> (PathBuf, PathBuf) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut parameters = CertificateParams::new(names).unwrap();
        match validity {
            Validity::Now => {}
            Validity::Past => parameters.not_after = rcgen::date_time_ymd(2001, 1, 1),
            Validity::Future => parameters.not_before = rcgen::date_time_ymd(4000, 1, 1),
        }
        let key = match kind {
            Key::Ecdsa => KeyPair::generate().unwrap(),
            Key::Rsa => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap(),
        };
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let number = fs::read_dir(self.folder.path()).unwrap().count();
        let chain = self.folder.path().join(format!("{number}.pem"));
        let key_file = self.folder.path().join(format!("{number}.key"));
        fs::write(&chain, certificate.pem()).unwrap();
        fs::write(&key_file, key.serialize_pem()).unwrap();
        (chain, key_file)
    }

    pub(super) fn issue_as(&self, names: &[&str], kind: Key, validity: Validity) -> Arc<Certificate> {
        let (chain, key) = self.files(names, kind, validity);
        Arc::new(Certificate::load(&chain, &key).unwrap())
    }

    pub(super) fn issue(&self, names: &[&str]) -> Arc<Certificate> {
        self.issue_as(names, Key::Ecdsa, Validity::Now)
    }

    pub(super) fn authorities(&self) -> Authorities {
        let path = self.folder.path().join("authority.pem");
        fs::write(&path, self.issuer.pem()).unwrap();
        Authorities::load(&path).unwrap()
    }

    /// A client that trusts this authority.
    pub(super) fn client(&self, min: TlsVersion, max: TlsVersion) -> ClientConfig {
        let versions = match (min, max) {
            (TlsVersion::Tls12, TlsVersion::Tls12) => vec![&rustls::version::TLS12],
            (TlsVersion::Tls13, _) => vec![&rustls::version::TLS13],
            (TlsVersion::Tls12, TlsVersion::Tls13) => vec![&rustls::version::TLS13, &rustls::version::TLS12],
        };
        ClientConfig::builder_with_provider(provider::provider())
            .with_protocol_versions(&versions)
            .unwrap()
            .with_root_certificates(Arc::clone(self.authorities().store()))
            .with_no_client_auth()
    }

    pub(super) fn any_client(&self) -> Arc<ClientConfig> {
        Arc::new(self.client(TlsVersion::Tls12, TlsVersion::Tls13))
    }
}

pub(super) fn host(name: &str) -> HostName {
    HostName::parse(name).unwrap()
}

pub(super) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

pub(super) fn parameters(certificates: CertificateSource) -> ServerParameters {
    ServerParameters { certificates, min_version: TlsVersion::Tls12, client_auth: ClientAuth::None, alpn: Vec::new() }
}

pub(super) fn fixed(certificate: &Arc<Certificate>) -> CertificateSource {
    CertificateSource::Fixed(Arc::clone(certificate))
}

pub(super) fn stored(certificates: &[&Arc<Certificate>]) -> CertificateSource {
    let certificates = certificates.iter().map(|certificate| Arc::clone(certificate)).collect();
    CertificateSource::Store(Arc::new(CertificateStore::new(certificates)))
}

pub(super) fn policy(parameters: ServerParameters) -> ServerPolicy {
    ServerPolicy::new(parameters, &TicketKeys::generate().unwrap()).unwrap()
}

pub(super) async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

pub(super) type Client = tokio_rustls::client::TlsStream<TcpStream>;

/// A client that asks for `asked` (or for no name) meets the policy. Its handshake counts once a byte from the server
/// has reached it: only then does it know that its own certificate was taken.
pub(super) async fn meet(
    policy: &ServerPolicy,
    asked: Option<&str>,
    config: &Arc<ClientConfig>,
) -> (Result<ClientTls<TcpStream>, HandshakeError>, io::Result<Client>) {
    let (near, far) = tcp_pair().await;
    let name = match asked {
        Some(name) => ServerName::try_from(name.to_owned()).unwrap(),
        None => ServerName::try_from("127.0.0.1").unwrap(),
    };
    let client = async {
        let mut stream = TlsConnector::from(Arc::clone(config)).connect(name, near).await?;
        assert_eq!(stream.read_u8().await?, b's');
        Ok(stream)
    };
    let asked = asked.map(host);
    let server = async {
        let mut stream = accept(far, policy, asked.as_ref(), soon()).await?;
        stream.write_all(b"s").await.unwrap();
        stream.flush().await.unwrap();
        Ok(stream)
    };
    tokio::join!(server, client)
}

/// The TLS error inside a client's failure.
pub(super) fn library_error(error: &io::Error) -> &rustls::Error {
    error.get_ref().and_then(|inner| inner.downcast_ref()).unwrap()
}

pub(super) fn patterns(names: &[&str]) -> Vec<HostPattern> {
    names.iter().map(|name| HostPattern::parse(name).unwrap()).collect()
}
