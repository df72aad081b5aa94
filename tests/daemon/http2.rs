//! HTTP/2 on both sides of the proxy: what is agreed on with targets, and gRPC through all of it.

use tempfile::TempDir;

use crate::harness::{CERTIFICATES, Curl, HOST, Proxy, Python, Target, Way};

const ONE_WORKER: &str = "server.workers = 1\n";

fn speaking(way: Way, ip: &str, target: impl std::fmt::Display, protocol: &str) -> String {
    way.route("front", ip, target, &format!("upstream_protocol = \"{protocol}\""))
}

/// Sends requests, and gives the last answer's text.
fn asked(proxy: &Proxy, way: Way, count: usize) -> (u16, String) {
    let mut last = (0, String::new());
    for _ in 0..count {
        let mut client = way.silent_client(proxy.address("127.0.0.2"));
        let answer = client.get(HOST, "/");
        last = (answer.status(), answer.text());
    }
    last
}

#[test]
fn a_target_inside_tls_agrees_to_http_2_and_requests_share_its_connection() {
    let http = Target::http("target");
    // A proxy of ours is a target that agrees to both.
    let behind = Proxy::start(&Way::TerminateHttp.route("behind", "127.0.0.3", http.address, ""));
    for protocol in ["h2", "auto"] {
        let target = behind.address("127.0.0.3");
        let config = ONE_WORKER.to_owned() + &speaking(Way::ReencryptHttp, "127.0.0.2", target, protocol);
        let proxy = Proxy::start(&config);
        let (status, text) = asked(&proxy, Way::ReencryptHttp, 5);
        assert_eq!(status, 200);
        assert!(text.contains("host=shop.test"), "{text}");
        let labels = [("route", "front"), ("result", "connected")];
        assert_eq!(proxy.metrics().sum("upstream_connects_total", &labels), 1, "{protocol}");
        let line = behind.line("request", "one that came by HTTP/2", |line| line["protocol"] == "h2");
        assert_eq!(line["status"], 200, "{line}");
        proxy.finish();
    }
    behind.finish();
}

#[test]
fn a_target_that_does_not_agree_to_http_2_is_a_failure_or_gets_http_1() {
    for alpn in [&[][..], &["http/1.1"]] {
        let https = Target::https("old", CERTIFICATES.server_of(alpn));
        let proxy = Proxy::start(&speaking(Way::ReencryptHttp, "127.0.0.2", https.address, "h2"));
        assert_eq!(asked(&proxy, Way::ReencryptHttp, 1).0, 502);
        let line = proxy.line("request", "the failure", |line| line["cause"] == "upstream_tls");
        assert!(line["error"].as_str().unwrap().contains("does not agree to HTTP/2"), "{line}");
        proxy.finish();
        let proxy = Proxy::start(&speaking(Way::ReencryptHttp, "127.0.0.2", https.address, "auto"));
        let (status, text) = asked(&proxy, Way::ReencryptHttp, 2);
        assert!(status == 200 && text.starts_with("old GET /"), "{text}");
        proxy.finish();
    }
}

#[test]
fn grpc_goes_through_as_if_there_were_no_proxy() {
    if !Python::has("grpc") {
        return;
    }
    let cases = [
        (Way::Http, "client-plain", "server-plain", "h2c"),
        (Way::TerminateHttp, "client-tls", "server-plain", "h2c"),
        (Way::ReencryptHttp, "client-tls", "server-tls", "h2"),
        (Way::ReencryptHttp, "client-tls", "server-tls", "auto"),
    ];
    for (way, client, server, protocol) in cases {
        let folder = TempDir::new().unwrap();
        CERTIFICATES.write(folder.path());
        let mut script = Python::run("grpc_both.py", &[client, server, folder.path().to_str().unwrap()]);
        let port = script.line().split_once(' ').unwrap().1.to_owned();
        let target = format!("127.0.0.1:{port}");
        let proxy = Proxy::start(&(ONE_WORKER.to_owned() + &speaking(way, "127.0.0.2", target, protocol)));
        script.tell(&proxy.address("127.0.0.2").to_string());
        script.succeed();
        let labels = [("route", "front"), ("result", "connected")];
        assert_eq!(proxy.metrics().sum("upstream_connects_total", &labels), 1, "{way} {protocol}");
        proxy.finish();
    }
}

#[test]
fn a_plain_port_speaks_both_versions_and_offers_no_change_from_one_to_the_other() {
    if !Curl::found() {
        return;
    }
    let http = Target::http("target");
    let proxy = Proxy::start(&Way::Http.route("front", "127.0.0.2", http.address, ""));
    let address = proxy.address("127.0.0.2");
    // The last asks for HTTP/2 by an upgrade from HTTP/1.1, which RFC 9113 no longer knows.
    for (argument, version) in [("--http1.1", "1.1"), ("--http2-prior-knowledge", "2"), ("--http2", "1.1")] {
        let answer = Curl::to("http", HOST, address, "/").arg(argument).run();
        assert_eq!((answer.exit, answer.status, answer.version.as_str()), (0, 200, version), "{argument}: {answer:?}");
    }
    proxy.finish();
}

#[test]
fn websockets_go_through_as_if_there_were_no_proxy() {
    if !Python::has("websockets") {
        return;
    }
    for (way, client) in [(Way::Http, "client-plain"), (Way::TerminateHttp, "client-tls")] {
        let folder = TempDir::new().unwrap();
        CERTIFICATES.write(folder.path());
        let mut script = Python::run("websocket_both.py", &[client, folder.path().to_str().unwrap()]);
        let port = script.line().split_once(' ').unwrap().1.to_owned();
        let proxy = Proxy::start(&way.route("front", "127.0.0.2", format!("127.0.0.1:{port}"), ""));
        script.tell(&proxy.address("127.0.0.2").to_string());
        script.succeed();
        let line = proxy.line("request", "the tunnel", |line| line["status"] == 101);
        assert_eq!((line["cause"].as_str(), line["path"].as_str()), (Some("finished"), Some("/chat")), "{line}");
        proxy.finish();
    }
}

#[test]
fn websockets_reach_targets_that_speak_http_2() {
    if !Python::has("websockets") {
        return;
    }
    for protocol in ["h2", "auto"] {
        let folder = TempDir::new().unwrap();
        CERTIFICATES.write(folder.path());
        let mut script = Python::run("websocket_both.py", &["client-tls", folder.path().to_str().unwrap()]);
        let port = script.line().split_once(' ').unwrap().1.to_owned();
        // A proxy of ours is a target that takes WebSockets over HTTP/2.
        let behind = Proxy::start(&Way::TerminateHttp.route("behind", "127.0.0.3", format!("127.0.0.1:{port}"), ""));
        let proxy = Proxy::start(&speaking(Way::ReencryptHttp, "127.0.0.2", behind.address("127.0.0.3"), protocol));
        script.tell(&proxy.address("127.0.0.2").to_string());
        script.succeed();
        let line = proxy.line("request", "the tunnel", |line| line["status"] == 101);
        assert_eq!((line["cause"].as_str(), line["path"].as_str()), (Some("finished"), Some("/chat")), "{line}");
        let line = behind.line("request", "the tunnel", |line| line["protocol"] == "h2");
        assert_eq!((line["cause"].as_str(), line["status"].as_u64()), (Some("finished"), Some(200)), "{line}");
        proxy.finish();
        behind.finish();
    }
}

#[test]
fn websockets_go_by_http_1_1_to_a_target_that_takes_none_by_http_2() {
    let config = CERTIFICATES.server_of(&["h2", "http/1.1"]);
    let target = Target::serving(move |peer| {
        let Ok(mut peer) = peer.try_tls_server(&config) else { return };
        if peer.receive(4) == b"PRI " {
            // An empty SETTINGS frame: it speaks HTTP/2, and nothing of extended CONNECT.
            peer.send(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
        } else {
            assert!(peer.head().to_ascii_lowercase().contains("upgrade: websocket"));
            peer.send(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello");
        }
        peer.rest();
    });
    let proxy =
        Proxy::start(&(ONE_WORKER.to_owned() + &speaking(Way::ReencryptHttp, "127.0.0.2", target.address, "auto")));
    let mut client = Way::ReencryptHttp.silent_client(proxy.address("127.0.0.2"));
    let ask = format!(
        "GET /chat HTTP/1.1\r\nhost: {HOST}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
    );
    client.send(ask.as_bytes());
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    client.expect(b"hello");
    client.finish();
    drop(client);
    let line = proxy.line("request", "the tunnel", |line| line["status"] == 101);
    assert_eq!(line["path"], "/chat", "{line}");
    assert_eq!(target.accepted(), 2);
    proxy.finish();
}
