//! TLS that ends at the proxy: versions, key exchange, certificates by name, client certificates, and what is verified.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::harness::{CERTIFICATES, Curl, End, HOST, Peer, Proxy, Target, Way};

fn echoed(address: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> Peer {
    let mut client = Peer::connect(address).tls(name, config);
    client.send(b"ping");
    client.expect(b"ping");
    client.finish();
    assert_eq!(client.end(), End::Whole);
    client
}

#[test]
fn both_versions_are_spoken_and_the_post_quantum_group_is_preferred() {
    let echo = Target::echo();
    let config = Way::TerminateTcp.route("both", "127.0.0.2", echo.address, "")
        + &Way::TerminateTcp.route("new", "127.0.0.3", echo.address, "tls.min_version = \"1.3\"");
    let proxy = Proxy::start(&config);
    for (version, shown) in [(&rustls::version::TLS12, "1.2"), (&rustls::version::TLS13, "1.3")] {
        let client = echoed(proxy.address("127.0.0.2"), HOST, &CERTIFICATES.client_of(&[version]));
        let line = proxy.line_of(client.ends());
        assert_eq!((line["tls"].as_str(), line["host"].as_str()), (Some(shown), Some(HOST)), "{line}");
        if shown == "1.3" {
            assert_eq!(line["group"], "X25519MLKEM768", "{line}");
        }
    }
    let old =
        Peer::connect(proxy.address("127.0.0.3")).try_tls(HOST, &CERTIFICATES.client_of(&[&rustls::version::TLS12]));
    assert!(old.is_err(), "the route wants 1.3");
    echoed(proxy.address("127.0.0.3"), HOST, &CERTIFICATES.client(&[]));
    let metrics = proxy.metrics();
    assert_eq!(metrics.sum("tls_handshakes_total", &[("side", "client"), ("result", "done")]), 3);
    assert_eq!(metrics.sum("tls_handshakes_total", &[("side", "client")]), 4);
    proxy.finish();
}

#[test]
fn a_client_that_comes_back_resumes_its_session() {
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::TerminateTcp.route("resumed", "127.0.0.2", echo.address, ""));
    let config = CERTIFICATES.client(&[]);
    for _ in 0..3 {
        echoed(proxy.address("127.0.0.2"), HOST, &config);
    }
    let shown = proxy.metrics().shown("tls_handshakes_total");
    assert!(shown.contains("resumed"), "no handshake was a resumption: {shown}");
    proxy.finish();
}

#[test]
fn certificates_are_served_by_name_and_a_wildcard_is_one_label() {
    let echo = Target::echo();
    // The route has no certificate of its own.
    let route = Way::TerminateTcp.route("named", "127.0.0.2", echo.address, "").replace("tls.certificate", "# ");
    let proxy =
        Proxy::start(&("[[certificates]]\ncertificate = \"server.pem\"\nkey = \"server.key\"\n".to_owned() + &route));
    let address = proxy.address("127.0.0.2");
    for name in [HOST, "www.shop.test", "target.test"] {
        echoed(address, name, &CERTIFICATES.client(&[]));
    }
    for name in ["a.b.shop.test", "elsewhere.test"] {
        let refused = Peer::connect(address).try_tls(name, &CERTIFICATES.client(&[]));
        assert!(refused.is_err(), "{name}");
    }
    proxy.finish();
}

#[test]
fn a_client_certificate_is_asked_for_and_verified() {
    let echo = Target::echo();
    let more = "tls.client_auth = { mode = \"required\", ca = \"ca.pem\" }";
    let proxy = Proxy::start(&Way::TerminateTcp.route("mutual", "127.0.0.2", echo.address, more));
    echoed(proxy.address("127.0.0.2"), HOST, &CERTIFICATES.client_with_certificate());
    let without = Peer::connect(proxy.address("127.0.0.2"));
    let address = without.ends();
    if let Ok(mut client) = without.try_tls(HOST, &CERTIFICATES.client(&[])) {
        assert_eq!(client.rest().1, End::Alert);
    }
    assert_eq!(proxy.line_of(address)["cause"], "client_certificate");
    assert_eq!(echo.accepted(), 1, "who shows none does not reach the target");
    proxy.finish();
}

#[test]
fn a_self_signed_certificate_is_made_at_start() {
    if !Curl::found() {
        return;
    }
    let http = Target::http("target");
    let route = Way::TerminateHttp.route("own", "127.0.0.2", http.address, "match.domains = [\"shop.test\"]");
    let route = route.replace("{ certificate = \"server.pem\", key = \"server.key\" }", "\"self-signed\"");
    let proxy = Proxy::start(&route);
    let curl = || Curl::to("https", HOST, proxy.address("127.0.0.2"), "/");
    let answer = curl().arg("--insecure").run();
    assert_eq!((answer.exit, answer.status), (0, 200), "{answer:?}");
    // curl(1): 60 is a certificate that cannot be verified.
    assert_eq!(curl().run().exit, 60, "nobody vouches for it");
    proxy.finish();
}

#[test]
fn many_requests_at_once_are_carried_over_http_2() {
    if !Curl::found() {
        return;
    }
    let http = Target::http("target");
    let proxy = Proxy::start(&Way::TerminateHttp.route("h2", "127.0.0.2", http.address, ""));
    let address = proxy.address("127.0.0.2");
    let answer = Curl::to("https", HOST, address, "/[1-50]")
        .trusting(&proxy.path("ca.pem"))
        .arg("--http2")
        .arg("--parallel")
        .arg("--fail")
        .run();
    assert_eq!((answer.exit, answer.status, answer.version.as_str()), (0, 200, "2"), "{answer:?}");
    proxy.metrics_until("all are answered", |metrics| {
        metrics.sum("requests_total", &[("route", "h2"), ("status", "2xx")]) == 50
    });
    assert!(proxy.lines("connection").len() <= 50);
    proxy.finish();
}
