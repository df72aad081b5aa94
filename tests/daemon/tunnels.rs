//! `CONNECT`: tunnels that a route asks for.

use crate::harness::{Curl, HOST, Peer, Proxy, Target, Way};

/// A forward proxy with one page behind it, whatever it is asked for.
fn forward_proxy() -> Target {
    Target::serving(|mut peer: Peer| {
        assert_eq!(peer.message().start, "CONNECT shop.test:80 HTTP/1.1");
        peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n");
        let inside = peer.message();
        assert_eq!((inside.start.as_str(), inside.field("x-request-id")), ("GET /inside HTTP/1.1", ""));
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nbehind");
        peer.rest();
    })
}

#[test]
fn curl_goes_through_a_forward_proxy_behind_us_where_a_route_names_connect() {
    if !Curl::found() {
        return;
    }
    let target = forward_proxy();
    let named = Way::Http.route("named", "127.0.0.2", target.address, "match.methods = [\"CONNECT\"]");
    let unnamed = Way::Http.route("unnamed", "127.0.0.3", target.address, "");
    let proxy = Proxy::start(&(named + &unnamed));
    let through = |ip: &str| {
        let proxy = format!("http://{}", proxy.address(ip));
        let curl = Curl::to("http", HOST, "127.0.0.1:80".parse().unwrap(), "/inside");
        curl.arg("--proxytunnel").arg("--noproxy").arg("").arg("--proxy").arg(&proxy).run()
    };
    let answer = through("127.0.0.2");
    assert!(answer.status == 200 && answer.body == "behind", "{answer:?}");
    let line = proxy.line("request", "the tunnel", |line| line["route"] == "named");
    assert!(
        line["method"] == "CONNECT"
            && line["path"] == "shop.test:80"
            && line["status"] == 200
            && line["cause"] == "finished",
        "{line}"
    );
    // CURLE_RECV_ERROR or CURLE_COULDNT_CONNECT, as the version has it: the tunnel was not made.
    assert_ne!(through("127.0.0.3").exit, 0);
    let line = proxy.line("request", "the refusal", |line| line["status"] == 501);
    assert!(line["cause"] == "no_route" && line["host"] == HOST, "{line}");
    proxy.finish();
}
