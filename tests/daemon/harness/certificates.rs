//! Certificates, made once for the run; nothing is kept in the tree.

use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// The names that the server's certificate covers.
pub(crate) const NAMES: [&str; 5] = ["shop.test", "*.shop.test", "target.test", "localhost", "127.0.0.1"];

/// One authority and what it has signed, in PEM.
pub(crate) struct Certificates {
    authority: String,
    server: (String, String),
    /// The same names from an authority that nobody trusts.
    stranger: (String, String),
    client: (String, String),
}

/// The certificates of this run.
pub(crate) static CERTIFICATES: LazyLock<Certificates> = LazyLock::new(Certificates::make);

impl Certificates {
    fn make() -> Self {
        let (authority, issuer) = make_authority("smartproxy test authority");
        let (_, other) = make_authority("an authority that nobody trusts");
        Self {
            authority,
            server: sign(&issuer, &NAMES),
            stranger: sign(&other, &NAMES),
            client: sign(&issuer, &["client.test"]),
        }
    }

    /// Writes `ca.pem`, `server.pem`, `server.key`, `stranger.pem`, `stranger.key`, `client.pem` and `client.key`.
    pub(crate) fn write(&self, folder: &Path) {
        fs::write(folder.join("ca.pem"), &self.authority).unwrap();
        for (name, (certificate, key)) in
            [("server", &self.server), ("stranger", &self.stranger), ("client", &self.client)]
        {
            fs::write(folder.join(format!("{name}.pem")), certificate).unwrap();
            fs::write(folder.join(format!("{name}.key")), key).unwrap();
        }
    }

    /// A client that trusts the authority and shows no certificate.
    pub(crate) fn client(&self, alpn: &[&str]) -> Arc<ClientConfig> {
        self.client_with(rustls::ALL_VERSIONS, alpn, None)
    }

    /// A client that can show a certificate.
    pub(crate) fn client_with_certificate(&self) -> Arc<ClientConfig> {
        self.client_with(rustls::ALL_VERSIONS, &[], Some(&self.client))
    }

    /// A client of some versions only.
    pub(crate) fn client_of(&self, versions: &[&'static rustls::SupportedProtocolVersion]) -> Arc<ClientConfig> {
        self.client_with(versions, &[], None)
    }

    fn client_with(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        alpn: &[&str],
        identity: Option<&(String, String)>,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            Some(identity) => {
                let (chain, key) = parsed(identity);
                builder.with_client_auth_cert(chain, key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// A TLS server with the certificate for [`NAMES`].
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        server_with(&self.server)
    }

    /// The same, which agrees to these protocols.
    pub(crate) fn server_of(&self, alpn: &[&str]) -> Arc<ServerConfig> {
        let mut config = ServerConfig::clone(&self.server());
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// A TLS server whose certificate does not verify.
    pub(crate) fn stranger(&self) -> Arc<ServerConfig> {
        server_with(&self.stranger)
    }

    /// A TLS server that lets in only who shows a certificate of the authority.
    pub(crate) fn server_for_known(&self) -> Arc<ServerConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.as_bytes()).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build().unwrap();
        server_asking(verifier, &self.server)
    }
}

/// A certificate for [`NAMES`] and others, and its key, in PEM; nobody trusts it.
pub(crate) fn certificate_for(names: &[&str]) -> (String, String) {
    sign(&make_authority("an authority for one test").1, &[names, &NAMES].concat())
}

fn server_with(identity: &(String, String)) -> Arc<ServerConfig> {
    server_asking(WebPkiClientVerifier::no_client_auth(), identity)
}

fn server_asking(verifier: Arc<dyn ClientCertVerifier>, identity: &(String, String)) -> Arc<ServerConfig> {
    let (chain, key) = parsed(identity);
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn parsed((certificate, key): &(String, String)) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).map(Result::unwrap).collect();
    (chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
}

fn make_authority(name: &str) -> (String, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let pem = params.self_signed(&key).unwrap().pem();
    (pem, Issuer::new(params, key))
}

fn sign(issuer: &Issuer<'_, KeyPair>, names: &[&str]) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    (params.signed_by(&key, issuer).unwrap().pem(), key.serialize_pem())
}
