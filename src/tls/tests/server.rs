use rustls::{AlertDescription, CertificateError as Verdict};

use super::*;
use crate::net::{Prefixed, Transport};
use crate::outcome::{Cause, Party, Phase};

const ALL: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];

#[tokio::test]
async fn both_versions_are_spoken_and_the_session_says_what_was_agreed() {
    let authority = Authority::new();
    let certificate = authority.issue(&["a.test"]);
    let mut parameters = parameters(fixed(&certificate));
    parameters.alpn = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let policy = policy(parameters);
    for version in ALL {
        let mut config = authority.client(version, version);
        config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
        let (server, client) = meet(&policy, Some("a.test"), &Arc::new(config)).await;
        client.unwrap();
        let server = server.unwrap();
        let session = server.session();
        assert_eq!(session.agreed.version, version);
        assert_eq!(session.agreed.alpn.as_deref(), Some(&b"h2"[..]));
        assert!(!session.agreed.resumed);
        assert!(!session.authenticated);
        assert_eq!(session.server_name, Some(host("a.test")));
        assert!(Arc::ptr_eq(&session.certificate, &certificate));
        assert_eq!(&session.policy, policy.id());
        let group = session.agreed.key_exchange.unwrap();
        match version {
            TlsVersion::Tls13 => assert_eq!(group, "X25519MLKEM768"),
            TlsVersion::Tls12 => assert_eq!(group, "X25519"),
        }
    }
}

#[tokio::test]
async fn a_client_hello_that_was_read_before_is_not_lost_wherever_it_was_split() {
    let authority = Authority::new();
    let policy = policy(parameters(fixed(&authority.issue(&["a.test"]))));
    let config = authority.any_client();
    for sniffed in [1, 5, 6, 100, 1500, 16 * 1024] {
        let (near, mut far) = tcp_pair().await;
        let name = ServerName::try_from("a.test").unwrap();
        let server = async {
            let mut prefix = vec![0; sniffed];
            let count = far.read(&mut prefix).await.unwrap();
            prefix.truncate(count);
            accept(Prefixed::new(prefix.into(), far), &policy, Some(&host("a.test")), soon()).await
        };
        let (server, client) = tokio::join!(server, TlsConnector::from(Arc::clone(&config)).connect(name, near));
        client.unwrap();
        assert!(server.unwrap().tcp().local_addr().is_ok());
    }
}

#[tokio::test]
async fn the_certificate_is_chosen_by_name_exact_before_wildcard_and_the_first_without_name() {
    let authority = Authority::new();
    let first = authority.issue(&["first.test", "127.0.0.1"]);
    let exact = authority.issue(&["a.shop.test"]);
    let wide = authority.issue(&["*.shop.test"]);
    let policy = policy(parameters(stored(&[&first, &wide, &exact])));
    let config = authority.any_client();
    for (name, expected) in [(Some("a.shop.test"), &exact), (Some("b.shop.test"), &wide), (None, &first)] {
        let (server, client) = meet(&policy, name, &config).await;
        // The client has verified what it was shown.
        client.unwrap();
        assert!(Arc::ptr_eq(&server.unwrap().session().certificate, expected), "{name:?}");
        assert!(policy.covers(name.map(host).as_ref()));
    }
}

#[tokio::test]
async fn a_name_that_no_certificate_covers_gets_exactly_the_alert_unrecognized_name() {
    let authority = Authority::new();
    let certificate = authority.issue(&["a.test"]);
    for source in [fixed(&certificate), stored(&[&certificate])] {
        let policy = policy(parameters(source));
        assert!(!policy.covers(Some(&host("b.test"))));
        let (mut near, far) = tcp_pair().await;
        // Bytes that nobody reads would turn the close into a reset, and lose the alert.
        near.write_all(&[0; 10_000]).await.unwrap();
        let client = async {
            let mut seen = Vec::new();
            near.read_to_end(&mut seen).await.unwrap();
            drop(near);
            seen
        };
        let name = host("b.test");
        let (server, seen) = tokio::join!(accept(far, &policy, Some(&name), soon()), client);
        assert_eq!(seen, [0x15, 3, 3, 0, 2, 2, 112]);
        let outcome = server.unwrap_err().outcome();
        assert_eq!((outcome.phase, outcome.cause), (Phase::Handshake, Cause::NoCertificate));
        let (_, client) = meet(&policy, Some("b.test"), &authority.any_client()).await;
        let error = client.unwrap_err();
        assert_eq!(library_error(&error), &rustls::Error::AlertReceived(AlertDescription::UnrecognisedName));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_client_that_stays_is_left_after_the_linger_or_one_byte_too_many() {
    for (sent, waits) in [(REFUSAL_DISCARD_MAX, true), (REFUSAL_DISCARD_MAX + 1, false)] {
        let (mut near, far) = tcp_pair().await;
        let start = Instant::now();
        let write = async {
            near.write_all(&vec![0; sent]).await.unwrap();
            near
        };
        let (near, ()) = tokio::join!(write, refuse(far, Alert::InternalError, start + Duration::from_secs(60)));
        assert_eq!(start.elapsed() >= REFUSAL_LINGER, waits, "{sent}");
        drop(near);
    }
}

#[tokio::test]
async fn of_two_certificates_for_a_name_the_client_gets_the_one_that_it_can_verify() {
    let authority = Authority::new();
    let rsa = authority.issue_as(&["a.test"], Key::Rsa, Validity::Now);
    let ecdsa = authority.issue(&["a.test"]);
    let policy = policy(parameters(stored(&[&rsa, &ecdsa])));
    let (server, client) = meet(&policy, Some("a.test"), &authority.any_client()).await;
    client.unwrap();
    assert!(Arc::ptr_eq(&server.unwrap().session().certificate, &ecdsa));

    let mut algorithms = provider::provider().signature_verification_algorithms;
    let is_rsa = |scheme: &rustls::SignatureScheme| scheme.as_str().unwrap().starts_with("RSA");
    algorithms.mapping =
        algorithms.mapping.iter().copied().filter(|(scheme, _)| is_rsa(scheme)).collect::<Vec<_>>().leak();
    let only_rsa = rustls::crypto::CryptoProvider {
        signature_verification_algorithms: algorithms,
        ..rustls::crypto::CryptoProvider::clone(&provider::provider())
    };
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = ClientConfig::builder_with_provider(Arc::new(only_rsa.clone()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(Arc::clone(authority.authorities().store()))
            .with_no_client_auth();
        let (server, client) = meet(&policy, Some("a.test"), &Arc::new(config)).await;
        client.unwrap();
        assert!(Arc::ptr_eq(&server.unwrap().session().certificate, &rsa));
    }
}

#[tokio::test]
async fn a_client_below_the_lowest_version_is_refused_with_the_alert_protocol_version() {
    let authority = Authority::new();
    let mut parameters = parameters(fixed(&authority.issue(&["a.test"])));
    parameters.min_version = TlsVersion::Tls13;
    let config = Arc::new(authority.client(TlsVersion::Tls12, TlsVersion::Tls12));
    let (server, client) = meet(&policy(parameters), Some("a.test"), &config).await;
    let error = server.unwrap_err();
    assert!(matches!(error, HandshakeError::Failed(_)), "{error:?}");
    let outcome = error.outcome();
    assert_eq!((outcome.party, outcome.cause), (Party::Client, Cause::HandshakeFailed));
    let error = client.unwrap_err();
    assert_eq!(library_error(&error), &rustls::Error::AlertReceived(AlertDescription::ProtocolVersion));
}

#[tokio::test]
async fn a_client_with_no_common_alpn_protocol_is_refused() {
    let authority = Authority::new();
    let mut parameters = parameters(fixed(&authority.issue(&["a.test"])));
    parameters.alpn = vec![b"h2".to_vec()];
    let mut config = authority.client(TlsVersion::Tls12, TlsVersion::Tls13);
    config.alpn_protocols = vec![b"smtp".to_vec()];
    let (server, client) = meet(&policy(parameters), Some("a.test"), &Arc::new(config)).await;
    assert!(matches!(server, Err(HandshakeError::Failed(_))));
    let error = client.unwrap_err();
    assert_eq!(library_error(&error), &rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol));
}

/// A client of `authority` that shows a certificate which `issuer` has issued.
fn authenticated(authority: &Authority, issuer: &Authority, version: TlsVersion) -> Arc<ClientConfig> {
    let mut config = authority.client(version, version);
    let certificate = issuer.issue(&["client.test"]);
    let key = rustls::sign::SingleCertAndKey::from(Arc::clone(certificate.certified()));
    config.client_auth_cert_resolver = Arc::new(key);
    Arc::new(config)
}

#[tokio::test]
async fn client_certificates_are_asked_for_and_verified() {
    let (authority, clients, others) = (Authority::new(), Authority::new(), Authority::new());
    let certificate = authority.issue(&["a.test"]);
    let build = |client_auth| policy(ServerParameters { client_auth, ..parameters(fixed(&certificate)) });
    let required = build(ClientAuth::Required(clients.authorities()));
    let optional = build(ClientAuth::Optional(clients.authorities()));
    for version in ALL {
        let known = authenticated(&authority, &clients, version);
        let unknown = authenticated(&authority, &others, version);
        let silent = Arc::new(authority.client(version, version));
        for (policy, config, taken) in [
            (&required, &known, Some(true)),
            (&required, &unknown, None),
            (&required, &silent, None),
            (&optional, &known, Some(true)),
            (&optional, &unknown, None),
            (&optional, &silent, Some(false)),
        ] {
            let (server, client) = meet(policy, Some("a.test"), config).await;
            assert_eq!(client.is_ok(), taken.is_some());
            match (server, taken) {
                (Ok(server), Some(shown)) => assert_eq!(server.session().authenticated, shown),
                (Err(error), None) => {
                    assert!(matches!(error, HandshakeError::ClientCertificate(_)), "{error:?}");
                    assert_eq!(error.outcome().cause, Cause::ClientCertificate);
                    let told = client.unwrap_err();
                    assert!(matches!(library_error(&told), rustls::Error::AlertReceived(_)), "{told:?}");
                }
                (server, taken) => panic!("{server:?} {taken:?}"),
            }
        }
    }
}

#[tokio::test]
async fn sessions_are_resumed_across_policies_with_the_same_keys_and_client_authentication() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let certificate = authority.issue(&["a.test"]);
    let keys = TicketKeys::generate().unwrap();
    let none = || ClientAuth::None;
    let optional = || ClientAuth::Optional(clients.authorities());
    let required = || ClientAuth::Required(clients.authorities());
    let build = |client_auth| {
        ServerPolicy::new(ServerParameters { client_auth, ..parameters(fixed(&certificate)) }, &keys).unwrap()
    };
    for version in ALL {
        for (first, second, resumed) in [
            (none(), none(), true),
            (required(), required(), true),
            (none(), required(), false),
            (optional(), required(), false),
            (required(), none(), false),
            (none(), optional(), false),
        ] {
            let case = format!("{version:?} {first:?} {second:?}");
            // Both at once, as when a reload builds the new before it drops the old.
            let (first, second) = (build(first), build(second));
            let config = authenticated(&authority, &clients, version);
            meet(&first, Some("a.test"), &config).await.1.unwrap();
            let (server, client) = meet(&second, Some("a.test"), &config).await;
            client.unwrap();
            assert_eq!(server.unwrap().session().agreed.resumed, resumed, "{case}");
        }
    }
    let other = policy(parameters(fixed(&certificate)));
    let config = authority.any_client();
    meet(&build(none()), Some("a.test"), &config).await.1.unwrap();
    let (server, _) = meet(&other, Some("a.test"), &config).await;
    assert!(!server.unwrap().session().agreed.resumed);
}

#[tokio::test]
async fn a_session_of_an_anonymous_client_does_not_open_a_policy_that_requires_a_certificate() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let certificate = authority.issue(&["a.test"]);
    let keys = TicketKeys::generate().unwrap();
    let build = |client_auth| {
        ServerPolicy::new(ServerParameters { client_auth, ..parameters(fixed(&certificate)) }, &keys).unwrap()
    };
    let config = authority.any_client();
    let open = build(ClientAuth::Optional(clients.authorities()));
    meet(&open, Some("a.test"), &config).await.1.unwrap();
    let (server, _) = meet(&build(ClientAuth::Required(clients.authorities())), Some("a.test"), &config).await;
    assert!(matches!(server, Err(HandshakeError::ClientCertificate(_))));
}

#[test]
fn the_identity_of_a_policy_tells_client_authentication_version_and_source_apart() {
    let authority = Authority::new();
    let (a, b) = (authority.issue(&["a.test"]), authority.issue(&["a.test"]));
    let base = || parameters(fixed(&a));
    let id = |parameters| policy(parameters).id().clone();
    assert_eq!(id(base()), id(base()));
    assert_eq!(id(base()), id(ServerParameters { alpn: vec![b"h2".to_vec()], ..base() }));
    assert_ne!(id(base()), id(parameters(fixed(&b))));
    assert_ne!(id(base()), id(parameters(stored(&[&a]))));
    assert_eq!(id(parameters(stored(&[&b]))), id(parameters(stored(&[&a]))));
    assert_ne!(id(base()), id(ServerParameters { min_version: TlsVersion::Tls13, ..base() }));
    let client_auth = ClientAuth::Required(authority.authorities());
    let required = ServerParameters { client_auth, ..base() };
    assert_ne!(id(base()), id(required.clone()));
    let client_auth = ClientAuth::Required(Authority::new().authorities());
    assert_ne!(id(required), id(ServerParameters { client_auth, ..base() }));
}

#[test]
fn a_policy_without_any_certificate_is_refused() {
    let keys = TicketKeys::generate().unwrap();
    assert!(matches!(ServerPolicy::new(parameters(stored(&[])), &keys), Err(PolicyError::NoCertificate)));
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_runs_into_the_deadline() {
    let policy = policy(parameters(fixed(&Authority::new().issue(&["a.test"]))));
    let (_near, far) = tcp_pair().await;
    let start = Instant::now();
    let error = accept(far, &policy, None, start + Duration::from_secs(10)).await.unwrap_err();
    assert!(matches!(error, HandshakeError::Timeout));
    assert_eq!(error.outcome().cause, Cause::HandshakeTimeout);
    assert!(start.elapsed() >= Duration::from_secs(10));
}

#[tokio::test]
async fn clients_that_close_reset_or_send_garbage_are_told_apart() {
    let policy = policy(parameters(fixed(&Authority::new().issue(&["a.test"]))));

    let (near, far) = tcp_pair().await;
    drop(near);
    let error = accept(far, &policy, None, soon()).await.unwrap_err();
    assert_eq!(error.outcome().cause, Cause::ClosedEarly);

    let (near, far) = tcp_pair().await;
    near.set_zero_linger().unwrap();
    drop(near);
    let error = accept(far, &policy, None, soon()).await.unwrap_err();
    assert_eq!(error.outcome().cause, Cause::Reset);

    let (mut near, far) = tcp_pair().await;
    let client = async {
        near.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut seen = Vec::new();
        near.read_to_end(&mut seen).await.unwrap();
        drop(near);
        seen
    };
    let (server, seen) = tokio::join!(accept(far, &policy, None, soon()), client);
    let error = server.unwrap_err();
    assert_eq!(error.outcome().cause, Cause::HandshakeFailed);
    assert_eq!(error.outcome().party, Party::Client);
    assert_eq!((seen[0], seen.len()), (0x15, 7));
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_certificate_has_failed_the_handshake() {
    let policy = policy(parameters(fixed(&Authority::new().issue(&["a.test"]))));
    let (server, client) = meet(&policy, Some("a.test"), &Authority::new().any_client()).await;
    let error = client.unwrap_err();
    assert!(matches!(library_error(&error), rustls::Error::InvalidCertificate(Verdict::UnknownIssuer)));
    assert_eq!(server.unwrap_err().outcome().cause, Cause::HandshakeFailed);
}
