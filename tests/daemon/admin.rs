//! The operator's HTTP address: whom it answers, whom it does not wait for, and what its lists and metrics hold.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::harness::{CERTIFICATES, End, HOST, PATIENCE, Peer, Proxy, Target, Way, case_ip, listener, until};

/// What the admin address answers to a GET for this host: the status.
fn asked_for(proxy: &Proxy, host: &str, path: &str) -> u16 {
    let mut stream = TcpStream::connect_timeout(&proxy.admin(), PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

#[test]
fn probes_and_scrapers_come_by_any_name_and_what_tells_of_clients_by_none_but_this_hosts() {
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::Tcp.route("echo", "127.0.0.2", echo.address, ""));
    for host in ["localhost", "127.0.0.1", "proxy.internal:9900", "smartproxy", ""] {
        for path in ["/healthz", "/readyz", "/metrics"] {
            assert_eq!(asked_for(&proxy, host, path), 200, "{path} of {host:?}");
        }
    }
    for path in ["/status", "/connections", "/", "/healthz/", "/connections/1/kill"] {
        assert_eq!(asked_for(&proxy, "evil.example", path), 421, "{path}");
    }
    assert_eq!(asked_for(&proxy, "localhost", "/status"), 200);
    proxy.finish();
}

/// A client that asks without end and reads nothing.
fn never_reading(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut stream = TcpStream::from(socket);
    // The answers to these are more than any socket's buffers hold.
    let requests = "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(2_000);
    stream.write_all(requests.as_bytes()).unwrap();
    stream
}

#[test]
fn a_client_that_never_reads_its_answer_is_given_up() {
    let echo = Target::echo();
    // Each with its metrics: an address has 400 answers at once, and those are to be long ones.
    let route = |number: usize| Way::Tcp.route(&format!("echo-{number}"), &case_ip(number), echo.address, "");
    let proxy = Proxy::start(&(0..40).map(route).collect::<String>());
    let client = never_reading(proxy.admin());
    // Cut with requests unread, the connection is reset, which the socket knows without a read.
    let cut = until(|| match client.take_error().unwrap() {
        Some(_) => Ok(()),
        None => Err("the client still has its place".to_owned()),
    });
    cut.unwrap();
    proxy.finish();
}

/// The one live connection, as `/connections` lists it.
fn only(proxy: &Proxy) -> Value {
    proxy.connections_until("one connection lives", |live| live.len() == 1).remove(0)
}

#[test]
fn a_connection_is_listed_with_its_sni_or_with_the_host_of_its_current_request() {
    let target = Target::http("target");
    let config = Way::Http.route("plain", "127.0.0.2", target.address, "")
        + &Way::TerminateHttp.route("secure", "127.0.0.3", target.address, "");
    let proxy = Proxy::start(&config);
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    let plain = client.ends();
    for host in ["one.test", "two.test:8080", "127.0.0.1"] {
        assert_eq!(client.get(host, "/").status(), 200);
        let shown = host.split(':').next().unwrap();
        assert_eq!(only(&proxy)["host"], shown);
        let table = proxy.command(&["connections"]).output().unwrap();
        assert!(String::from_utf8_lossy(&table.stdout).contains(&format!(" {shown} ")), "{table:?}");
    }
    client.finish();
    assert_eq!(client.end(), End::Whole);
    assert_eq!(proxy.line_of(plain)["host"], "127.0.0.1", "the last one is in its line");
    let mut client = Peer::connect(proxy.address("127.0.0.3")).tls(HOST, &CERTIFICATES.client(&[]));
    // Misdirected, as the certificate does not cover it; what the connection was opened for stays.
    assert_eq!(client.get("elsewhere.test", "/").status(), 421);
    assert_eq!(only(&proxy)["host"], HOST);
    client.finish();
    assert_eq!(client.end(), End::Whole);
    proxy.finish();
}

#[test]
fn every_series_whose_labels_are_known_is_there_at_zero_from_the_start_and_after_a_reload() {
    let echo = Target::echo();
    let fixed = "match.path = \"/fixed\"\nrespond.status = 204";
    let respond = |name: &str| {
        let forwarding = Way::Http.route(name, "127.0.0.3", "x", fixed);
        forwarding.lines().filter(|line| !line.starts_with("targets")).collect::<Vec<_>>().join("\n") + "\n"
    };
    let first = Way::Passthrough.route("bytes", "127.0.0.2", echo.address, "") + &respond("answers");
    let mut proxy = Proxy::start(&first);
    let of_bytes = |route: &str| {
        let results =
            ["connected", "refused", "unreachable", "timeout", "resolve_failed", "tls", "cancelled", "failed"];
        let mut series: Vec<_> = results
            .iter()
            .map(|result| format!("upstream_connects_total{{result=\"{result}\",route=\"{route}\"}} 0\n"))
            .collect();
        series.extend(traffic(route));
        series
    };
    let of_answers = |route: &str| {
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx", "none"];
        let mut series: Vec<_> = classes
            .iter()
            .map(|status| format!("requests_total{{route=\"{route}\",status=\"{status}\"}} 0\n"))
            .collect();
        series.extend(traffic(route));
        series
    };
    let text = proxy.ask("/metrics").1;
    let classes = ["peer", "exhausted", "broken"].map(|class| format!("accept_errors_total{{class=\"{class}\"}} 0\n"));
    let results = ["done", "refused"].map(|result| format!("reloads_total{{result=\"{result}\"}} 0\n"));
    let wanted = [of_bytes("bytes"), of_answers("answers"), of_answers("-"), classes.to_vec(), results.to_vec()];
    for series in wanted.concat() {
        assert!(text.contains(&format!("smartproxy_{series}")), "no {series} in {text}");
    }
    // A route that relays bytes has no requests, and one that answers has no targets.
    assert!(!text.contains("requests_total{route=\"bytes\""), "{text}");
    assert!(!text.contains("upstream_connects_total{result=\"connected\",route=\"answers\""), "{text}");
    proxy.reload(&(first + &Way::Tcp.route("later", "127.0.0.4", echo.address, "")));
    let text = proxy.ask("/metrics").1;
    for series in of_bytes("later") {
        assert!(text.contains(&format!("smartproxy_{series}")), "no {series} in {text}");
    }
    let (_taken, address) = listener();
    let never = Way::Tcp.route("never", "127.0.0.5", echo.address, "").replace("127.0.0.5:0", &address.to_string());
    proxy.reload_refused(&never);
    assert!(!proxy.ask("/metrics").1.contains("never"), "what is refused has changed nothing");
    proxy.finish();
}

fn traffic(route: &str) -> [String; 3] {
    ["received_bytes_total", "sent_bytes_total", "connections_active"]
        .map(|name| format!("{name}{{route=\"{route}\"}} 0\n"))
}

#[test]
fn requests_and_bytes_of_a_connection_that_gets_no_route_are_counted_where_its_end_is() {
    let target = Target::http("target");
    let config = Way::Http.route("one", "127.0.0.2", target.address, "match.domains = [\"one.test\"]")
        + &Way::Http.route("two", "127.0.0.2", target.address, "match.domains = [\"two.test\"]");
    let proxy = Proxy::start(&config);
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    assert_eq!(client.get("three.test", "/").status(), 404);
    client.finish();
    assert_eq!(client.end(), End::Whole);
    let line = proxy.line_of(client.ends());
    assert_eq!(line["route"], "-");
    let none = [("route", "-")];
    let metrics = proxy.metrics_until("it is closed", |metrics| metrics.sum("connections_closed_total", &none) == 1);
    let counted = ["received_bytes_total", "sent_bytes_total"].map(|name| metrics.sum(name, &none));
    assert_eq!(counted, ["bytes_in", "bytes_out"].map(|name| line[name].as_i64().unwrap()));
    assert!(counted.iter().all(|bytes| *bytes > 0), "{counted:?}");
    assert_eq!(metrics.sum("requests_total", &[("route", "-"), ("status", "4xx")]), 1);
    proxy.finish();
}
