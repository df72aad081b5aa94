use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::name::HostName;
use crate::sniff::{Progress, ProxyHeader, ProxyHeaderFound};
use crate::tls::{
    Authorities, Certificate, CertificateSource, ClientAuth, ClientParameters, ServerParameters, ServerPolicy,
    SystemAuthorities, TargetName, TicketKeys, Verification,
};

/// A certificate for `app.internal` that signs itself, as files.
pub(super) struct Authority {
    folder: tempfile::TempDir,
}

impl Authority {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["app.internal".to_owned()]).unwrap().self_signed(&key).unwrap();
        std::fs::write(folder.path().join("certificate.pem"), certificate.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
        Self { folder }
    }

    pub(super) fn server(&self) -> ServerPolicy {
        let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| self.folder.path().join(name));
        let certificates = CertificateSource::Fixed(Arc::new(Certificate::load(&certificate, &key).unwrap()));
        let min_version = crate::route::TlsVersion::Tls12;
        let parameters =
            ServerParameters { certificates, min_version, client_auth: ClientAuth::None, alpn: Vec::new() };
        ServerPolicy::new(parameters, &TicketKeys::generate().unwrap()).unwrap()
    }
}

/// Trusts the authority; targets have to show `server_name`, if one is given.
pub(super) fn policy(authority: &Authority, server_name: Option<&str>) -> ClientPolicy {
    let authorities = Authorities::load(&authority.folder.path().join("certificate.pem")).unwrap();
    let parameters = ClientParameters {
        verification: Verification::Authorities(authorities),
        server_name: server_name.map(|name| TargetName::Host(HostName::parse(name).unwrap())),
        client_certificate: None,
        alpn: Vec::new(),
    };
    ClientPolicy::new(parameters, &SystemAuthorities::new()).unwrap()
}

/// A target that takes one connection, skips `header` bytes, and answers over TLS with what it gets.
pub(super) async fn echo(listener: TcpListener, server: ServerPolicy, header: usize) {
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.read_exact(&mut vec![0; header]).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let Ok(mut stream) = crate::tls::accept(stream, &server, None, deadline).await else { return };
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    stream.shutdown().await.unwrap();
}

async fn ping(connected: &mut Connected) {
    assert!(connected.stream.agreed().is_some());
    connected.stream.write_all(b"ping").await.unwrap();
    connected.stream.flush().await.unwrap();
    let mut bytes = Vec::new();
    connected.stream.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes, b"ping");
}

#[tokio::test]
async fn tls_to_the_target_is_verified_and_used() {
    let authority = Authority::new();
    let (listener, address) = listening().await;
    let target = tokio::spawn(echo(listener, authority.server(), 0));
    let world = World::new(vec![at(address)]).await;
    let policy = policy(&authority, Some("app.internal"));
    let mut connected = connect(&Plan { tls: Some(&policy), ..world.plan() }).await.unwrap();
    ping(&mut connected).await;
    target.await.unwrap();
    world.assert_recorded(&[(ConnectResult::Connected, 1)], 1);
}

#[tokio::test]
async fn a_target_is_asked_for_its_own_name_unless_another_is_given() {
    let authority = Authority::new();
    let (listener, address) = listening().await;
    let target = tokio::spawn(echo(listener, authority.server(), 0));
    let world = World::new(vec![names::named(address.port())]).await;
    let resolver = Resolver::new(|_| Ok(vec![IpAddr::from([127, 0, 0, 1])]), 1, 1);
    let policy = policy(&authority, None);
    let plan = Plan { tls: Some(&policy), ..world.plan() };
    ping(&mut connect_with(&plan, world.order(), &resolver).await.unwrap()).await;
    target.await.unwrap();
}

#[tokio::test]
async fn a_target_that_does_not_verify_is_passed_over() {
    let (trusted, stranger) = (Authority::new(), Authority::new());
    let (wrong, wrong_address) = listening().await;
    let (right, right_address) = listening().await;
    tokio::spawn(echo(wrong, stranger.server(), 0));
    tokio::spawn(echo(right, trusted.server(), 0));
    let world = World::new(vec![at(wrong_address), at(right_address)]).await;
    let policy = policy(&trusted, Some("app.internal"));
    let mut connected = connect(&Plan { tls: Some(&policy), ..world.plan() }).await.unwrap();
    assert_eq!(connected.address.socket(), right_address);
    ping(&mut connected).await;
    world.assert_recorded(&[(ConnectResult::Tls, 1), (ConnectResult::Connected, 1)], 1);
}

#[tokio::test]
async fn a_target_that_does_not_verify_is_not_reached() {
    let (listener, address) = listening().await;
    tokio::spawn(echo(listener, Authority::new().server(), 0));
    let world = World::new(vec![at(address)]).await;
    let policy = policy(&Authority::new(), Some("app.internal"));
    let error = connect(&Plan { tls: Some(&policy), ..world.plan() }).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::new(Phase::UpstreamHandshake, Party::Target, Cause::UpstreamTls));
    assert!(matches!(error.failure(), Failure::Tls(_)));
    assert!(!world.guard.connection().reached_target());
    world.assert_recorded(&[(ConnectResult::Tls, 1)], 0);
}

#[tokio::test]
async fn a_target_that_is_silent_in_its_handshake_is_given_up() {
    let (_listener, address) = listening().await;
    let mut world = World::new(vec![at(address)]).await;
    world.timeouts.tls_handshake = Duration::from_millis(20);
    let policy = policy(&Authority::new(), None);
    let error = connect(&Plan { tls: Some(&policy), ..world.plan() }).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::new(Phase::UpstreamHandshake, Party::Target, Cause::UpstreamTlsTimeout));
    world.assert_recorded(&[(ConnectResult::Tls, 1)], 0);

    world.timeouts.tls_handshake = Duration::from_secs(20);
    world.timeouts.connect_total = Duration::from_millis(20);
    let error = connect(&Plan { tls: Some(&policy), ..world.plan() }).await.unwrap_err();
    assert!(matches!(error.failure(), Failure::TotalTimeout));
    world.assert_recorded(&[(ConnectResult::Tls, 1), (ConnectResult::Timeout, 1)], 0);
}

#[tokio::test]
async fn the_proxy_header_is_the_first_that_a_target_sees() {
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let (listener, address) = listening().await;
        let world = World::new(vec![at(address)]).await;
        let mut connected = connect(&Plan { proxy_header: Some(version), ..world.plan() }).await.unwrap();
        connected.stream.write_all(b"ping").await.unwrap();
        drop(connected);
        let mut received = Vec::new();
        listener.accept().await.unwrap().0.read_to_end(&mut received).await.unwrap();
        let Ok(Progress::Done(Some(ProxyHeaderFound { header, length }))) = ProxyHeader::read(&received) else {
            panic!("no header in {received:?}");
        };
        assert_eq!(header, ProxyHeader::Proxied { source: world.client, destination: world.listener });
        assert_eq!(&received[length..], b"ping");
    }
}

#[tokio::test]
async fn the_proxy_header_goes_before_tls() {
    let authority = Authority::new();
    let (listener, address) = listening().await;
    let world = World::new(vec![at(address)]).await;
    let header = "PROXY TCP4 192.0.2.7 127.0.0.1 50000 443\r\n";
    let target = tokio::spawn(echo(listener, authority.server(), header.len()));
    let policy = policy(&authority, Some("app.internal"));
    let plan = Plan { tls: Some(&policy), proxy_header: Some(ProxyVersion::V1), ..world.plan() };
    ping(&mut connect(&plan).await.unwrap()).await;
    target.await.unwrap();
}
