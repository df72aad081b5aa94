use rustls::CertificateError as Verdict;

use super::*;
use crate::net::Transport;
use crate::outcome::{Cause, Party, Phase};

fn trusting(authority: &Authority) -> ClientParameters {
    ClientParameters {
        verification: Verification::Authorities(authority.authorities()),
        server_name: None,
        client_certificate: None,
        alpn: Vec::new(),
    }
}

fn client_policy(parameters: ClientParameters) -> ClientPolicy {
    ClientPolicy::new(parameters, &SystemAuthorities::new()).unwrap()
}

/// Connects to a target that shows `certificate`, whatever it is asked for.
async fn reach(
    certificate: &Arc<Certificate>,
    policy: &ClientPolicy,
    target: &TargetName,
) -> Result<TargetTls<TcpStream>, TargetTlsError> {
    let mut parameters = parameters(fixed(certificate));
    parameters.alpn = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let server_policy = super::policy(parameters);
    let (near, far) = tcp_pair().await;
    let (_, client) = tokio::join!(accept(far, &server_policy, None, soon()), connect(near, policy, target, soon()));
    client
}

fn verdict(result: Result<TargetTls<TcpStream>, TargetTlsError>) -> Verdict {
    let error = result.unwrap_err();
    let outcome = error.outcome();
    assert_eq!((outcome.phase, outcome.party), (Phase::UpstreamHandshake, Party::Target));
    assert_eq!(outcome.cause, Cause::UpstreamTls);
    match error {
        TargetTlsError::Verify(rustls::Error::InvalidCertificate(verdict)) => verdict,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_target_is_verified_by_its_name_or_its_address_or_the_name_that_was_set() {
    let authority = Authority::new();
    let certificate = authority.issue(&["target.test", "127.0.0.1"]);
    let policy = client_policy(ClientParameters { alpn: vec![b"http/1.1".to_vec()], ..trusting(&authority) });
    for target in [TargetName::from(host("target.test")), TargetName::from(std::net::IpAddr::from([127, 0, 0, 1]))] {
        let stream = reach(&certificate, &policy, &target).await.unwrap();
        assert_eq!(stream.agreed().version, TlsVersion::Tls13);
        assert_eq!(stream.agreed().alpn.as_deref(), Some(&b"http/1.1"[..]));
        assert_eq!(stream.agreed().key_exchange, Some("X25519MLKEM768"));
        assert!(stream.tcp().local_addr().is_ok());
    }
    let server_name = Some(TargetName::from(host("target.test")));
    let named = client_policy(ClientParameters { server_name, ..trusting(&authority) });
    reach(&certificate, &named, &host("elsewhere.test").into()).await.unwrap();
}

#[tokio::test]
async fn a_target_whose_certificate_does_not_verify_is_refused() {
    let authority = Authority::new();
    let policy = client_policy(trusting(&authority));
    let target = TargetName::from(host("target.test"));
    let stranger = Authority::new().issue(&["target.test"]);
    assert_eq!(verdict(reach(&stranger, &policy, &target).await), Verdict::UnknownIssuer);
    let misnamed = authority.issue(&["other.test"]);
    let found = verdict(reach(&misnamed, &policy, &target).await);
    assert!(matches!(found, Verdict::NotValidForNameContext { .. }), "{found:?}");
    let old = authority.issue_as(&["target.test"], Key::Ecdsa, Validity::Past);
    let found = verdict(reach(&old, &policy, &target).await);
    assert!(matches!(found, Verdict::ExpiredContext { .. }), "{found:?}");
}

/// Each is put right in another place: on the target, or by one of two keys here.
#[tokio::test]
async fn what_is_wrong_with_a_targets_certificate_is_said_with_who_can_put_it_right() {
    let authority = Authority::new();
    let policy = client_policy(trusting(&authority));
    let target = TargetName::from(host("target.test"));
    let said =
        async |certificate: Arc<Certificate>| reach(&certificate, &policy, &target).await.unwrap_err().to_string();
    let old = said(authority.issue_as(&["target.test"], Key::Ecdsa, Validity::Past)).await;
    assert_eq!(old, "the target's certificate expired on 2001-01-01; renew it on the target");
    let early = said(authority.issue_as(&["target.test"], Key::Ecdsa, Validity::Future)).await;
    assert_eq!(early, "the target's certificate becomes valid only on 4000-01-01; are the clocks of both hosts right?");
    let misnamed = said(authority.issue(&["other.test", "*.third.test", "127.0.0.1"])).await;
    assert_eq!(
        misnamed,
        "the target's certificate is for other.test, *.third.test and 127.0.0.1, not for target.test; \
         tls.upstream.server_name says under which name it is verified"
    );
    let stranger = said(Authority::new().issue(&["target.test"])).await;
    assert_eq!(
        stranger,
        "no authority that is trusted here has signed the target's certificate; tls.upstream.ca names who is trusted \
         (without it the system's roots), and the target has to send its whole chain"
    );
}

#[tokio::test]
async fn without_verification_any_certificate_is_taken_in_both_versions() {
    let stranger = Authority::new().issue_as(&["other.test"], Key::Ecdsa, Validity::Past);
    let parameters = ClientParameters { verification: Verification::Off, ..trusting(&Authority::new()) };
    let policy = client_policy(parameters);
    let target = TargetName::from(host("target.test"));
    reach(&stranger, &policy, &target).await.unwrap();

    let old = rustls::ServerConfig::builder_with_provider(provider::provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(Arc::clone(stranger.certified()))));
    let (near, far) = tcp_pair().await;
    let server = tokio_rustls::TlsAcceptor::from(Arc::new(old)).accept(far);
    let (server, client) = tokio::join!(server, connect(near, &policy, &target, soon()));
    server.unwrap();
    assert_eq!(client.unwrap().agreed().version_name(), "TLSv1.2");
}

#[tokio::test]
async fn the_systems_roots_verify_when_nothing_else_is_said() {
    let authority = Authority::new();
    let certificate = authority.issue(&["target.test"]);
    let parameters = || ClientParameters { verification: Verification::System, ..trusting(&authority) };
    let ours = ClientPolicy::new(parameters(), &SystemAuthorities::from_authorities(&authority.authorities())).unwrap();
    reach(&certificate, &ours, &host("target.test").into()).await.unwrap();
    let other = SystemAuthorities::from_authorities(&Authority::new().authorities());
    let theirs = ClientPolicy::new(parameters(), &other).unwrap();
    assert_eq!(verdict(reach(&certificate, &theirs, &host("target.test").into()).await), Verdict::UnknownIssuer);
}

#[tokio::test]
async fn a_target_that_asks_is_shown_the_client_certificate() {
    let authority = Authority::new();
    let mut parameters = parameters(fixed(&authority.issue(&["target.test"])));
    parameters.client_auth = ClientAuth::Required(authority.authorities());
    let server_policy = super::policy(parameters);
    let client_certificate = Some(authority.issue(&[]));
    let policy = client_policy(ClientParameters { client_certificate, ..trusting(&authority) });
    let (near, far) = tcp_pair().await;
    let target = TargetName::from(host("target.test"));
    let (server, client) =
        tokio::join!(accept(far, &server_policy, None, soon()), connect(near, &policy, &target, soon()));
    client.unwrap();
    assert!(server.unwrap().session().authenticated);
}

#[tokio::test]
async fn targets_that_close_reset_or_speak_no_tls_are_told_apart() {
    let policy = client_policy(trusting(&Authority::new()));
    let target = TargetName::from(host("target.test"));

    let (near, mut far) = tcp_pair().await;
    let close = async {
        // Read first, so that the close is a FIN and not a reset.
        let mut hello = vec![0; 16 * 1024];
        assert!(far.read(&mut hello).await.unwrap() > 0);
        drop(far);
    };
    let (client, ()) = tokio::join!(connect(near, &policy, &target, soon()), close);
    assert!(matches!(client, Err(TargetTlsError::Closed)), "{client:?}");

    let (near, far) = tcp_pair().await;
    far.set_zero_linger().unwrap();
    drop(far);
    let client = connect(near, &policy, &target, soon()).await;
    assert!(matches!(client, Err(TargetTlsError::Reset)), "{client:?}");

    let (near, mut far) = tcp_pair().await;
    far.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    let client = connect(near, &policy, &target, soon()).await;
    assert!(matches!(client, Err(TargetTlsError::NotTls(_))), "{client:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_target_runs_into_the_deadline() {
    let policy = client_policy(trusting(&Authority::new()));
    let (near, _far) = tcp_pair().await;
    let deadline = Instant::now() + Duration::from_secs(10);
    let error = connect(near, &policy, &host("target.test").into(), deadline).await.unwrap_err();
    assert_eq!(error.outcome().cause, Cause::UpstreamTlsTimeout);
    assert!(Instant::now() >= deadline);
}

#[tokio::test]
async fn a_name_that_tls_cannot_ask_for_is_an_error_of_the_configuration() {
    let authority = Authority::new();
    // Read as a hexadecimal number, so no name for TLS.
    let name = host("a.0x1f");
    let parameters = ClientParameters { server_name: Some(name.clone().into()), ..trusting(&authority) };
    let error = ClientPolicy::new(parameters, &SystemAuthorities::new()).unwrap_err();
    assert!(matches!(error, PolicyError::ServerName(_)), "{error:?}");
    let (near, _far) = tcp_pair().await;
    let result = connect(near, &client_policy(trusting(&authority)), &name.into(), soon()).await;
    assert!(matches!(result, Err(TargetTlsError::Name(_))));
}
