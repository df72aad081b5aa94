//! Hellos of rustls' client.

use std::sync::{Arc, LazyLock};

use rustls::client::{EchGreaseConfig, EchMode};
use rustls::crypto::aws_lc_rs::{default_provider, hpke};
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use smartproxy::route::TlsVersion;

use super::Sample;

const BOTH: &[TlsVersion] = &[TlsVersion::Tls12, TlsVersion::Tls13];

/// Those of usual size, made once.
pub(crate) fn small_samples() -> &'static [Sample] {
    static SAMPLES: LazyLock<Vec<Sample>> = LazyLock::new(|| {
        vec![
            sample("default, with X25519MLKEM768", config(&[&TLS13, &TLS12]), Some("shop.example.com"), &[], BOTH),
            sample("TLS 1.2", config(&[&TLS12]), Some("a.example"), &[b"http/1.1"], &[TlsVersion::Tls12]),
            sample("TLS 1.3", config(&[&TLS13]), Some("a.example"), &[b"h2", b"http/1.1"], &[TlsVersion::Tls13]),
            sample("no server name", config(&[&TLS13, &TLS12]), None, &[b"h2"], BOTH),
        ]
    });
    &SAMPLES
}

pub(crate) fn samples() -> Vec<Sample> {
    let mut samples = vec![ip_address(), ech_grease(), long_alpn()];
    samples.extend(small_samples().iter().map(|sample| Sample {
        name: sample.name,
        wire: sample.wire.clone(),
        server_name: sample.server_name,
        alpn: sample.alpn.clone(),
        tls_versions: sample.tls_versions,
        ech: sample.ech,
    }));
    samples
}

fn config(versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}

fn sample(
    name: &'static str,
    mut config: ClientConfig,
    server_name: Option<&'static str>,
    alpn: &[&[u8]],
    tls_versions: &'static [TlsVersion],
) -> Sample {
    config.enable_sni = server_name.is_some();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let alpn = config.alpn_protocols.clone();
    let wire = first_flight(config, ServerName::try_from(server_name.unwrap_or("unsent.example")).unwrap());
    Sample { name, wire, server_name, alpn, tls_versions, ech: false }
}

fn ip_address() -> Sample {
    let wire = first_flight(config(&[&TLS13, &TLS12]), ServerName::try_from("192.0.2.1").unwrap());
    Sample { name: "an IP address", wire, server_name: None, alpn: vec![], tls_versions: BOTH, ech: false }
}

fn ech_grease() -> Sample {
    let suite = hpke::ALL_SUPPORTED_SUITES[0];
    let (placeholder, _) = suite.generate_key_pair().unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_ech(EchMode::Grease(EchGreaseConfig::new(suite, placeholder)))
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Sample { ech: true, ..sample("GREASE ECH", config, Some("a.example"), &[], &[TlsVersion::Tls13]) }
}

/// 12 KB, above what a first read takes.
fn long_alpn() -> Sample {
    let names: Vec<Vec<u8>> = (0..50).map(|number| vec![number; 240]).collect();
    let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    sample("long ALPN", config(&[&TLS13, &TLS12]), Some("a.example"), &names, BOTH)
}

fn first_flight(config: ClientConfig, server_name: ServerName<'static>) -> Vec<u8> {
    let mut client = ClientConnection::new(Arc::new(config), server_name).unwrap();
    let mut wire = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut wire).unwrap();
    }
    wire
}
