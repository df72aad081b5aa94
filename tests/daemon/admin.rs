//! The operator's HTTP address: whom it answers, whom it does not wait for, and what its lists and metrics hold.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::harness::{
    CERTIFICATES, End, HOST, Metrics, PATIENCE, Peer, Proxy, Refusing, Target, Way, case_ip, listener, until,
};

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
fn the_socket_is_for_its_owner_and_group_only() {
    use std::os::unix::fs::PermissionsExt;
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::Tcp.route("echo", "127.0.0.2", echo.address, ""));
    let mode = std::fs::metadata(proxy.path("admin.sock")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o660, "{mode:o}");
    proxy.finish();
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

fn json(proxy: &Proxy, path: &str) -> Value {
    let (status, text) = proxy.ask(path);
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// The same over the socket.
fn over_socket(proxy: &Proxy, path: &str) -> Value {
    let mut stream = UnixStream::connect(proxy.path("admin.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn routes_and_certificates_are_listed_on_both_ways_in_with_what_is_known_of_them() {
    let (http, refusing) = (Target::http("target"), Refusing::new());
    let targets = format!("{}\", \"{}", http.address, refusing.address);
    let domains = "match.domains = [\"shop.test\", \"*.shop.test\"]\nload_balancing.algorithm = \"round-robin\"";
    let fixed =
        "\n[[routes]]\nname = \"fixed\"\nmatch.ports = [\"127.0.0.3:0\"]\nmatch.path = \"/fixed/\"\nrespond = {}\n";
    let down = Way::Tcp.route("down", "127.0.0.4", refusing.address, "");
    let proxy = Proxy::start(&format!(
        "{}{}{down}",
        fixed.trim_start(),
        Way::TerminateHttp.route("shop", "127.0.0.2", targets, domains)
    ));
    for _ in 0..2 {
        let mut client = Peer::connect(proxy.address("127.0.0.2")).tls(HOST, &CERTIFICATES.client(&[]));
        assert_eq!(client.get(HOST, "/").status(), 200);
        client.finish();
        assert_eq!(client.end(), End::Whole);
    }
    let _ = Peer::connect(proxy.address("127.0.0.4")).end();
    proxy.metrics_until("all have ended", |metrics| metrics.sum("connections_closed_total", &[]) == 3);
    let routes = json(&proxy, "/routes");
    // The last of the file first, since nothing of it works, then what works in part.
    let [down, shop, fixed] = routes["routes"].as_array().unwrap().as_slice() else { panic!("{routes:#}") };
    assert_eq!((&down["name"], &down["set_aside"], &down["target_count"]), (&"down".into(), &1.into(), &1.into()));
    assert_eq!((&routes["matched"], &shop["name"], &shop["tls"]), (&3.into(), &"shop".into(), &"terminate".into()));
    assert_eq!(shop["domains"], serde_json::json!(["shop.test", "*.shop.test"]));
    assert_eq!((&shop["requests"], &shop["errors"], &shop["active"]), (&2.into(), &0.into(), &0.into()));
    assert_eq!(shop["received_bytes"], proxy.metrics().sum("received_bytes_total", &[("route", "shop")]));
    assert_eq!((&shop["targets"][0]["set_aside"], &shop["set_aside"]), (&Value::Null, &1.into()));
    assert_eq!(shop["targets"][1]["set_aside"]["cause"], "refused");
    assert_eq!(
        (&fixed["action"], &fixed["path"], &fixed["listeners"][0]),
        (&"respond".into(), &"/fixed/".into(), &"127.0.0.3:0".into())
    );
    assert_eq!(json(&proxy, "/routes?limit=1")["routes"].as_array().unwrap().len(), 1);
    let certificates = json(&proxy, "/certificates");
    let only = &certificates["certificates"][0];
    assert_eq!(
        (&certificates["matched"], &only["routes"], &only["admin"]),
        (&1.into(), &serde_json::json!(["shop"]), &false.into())
    );
    assert!(
        only["names"].to_string().contains("*.shop.test") && only["expires_in_seconds"].as_i64() > Some(0),
        "{only}"
    );
    for path in ["/routes", "/certificates?limit=9"] {
        let listed = over_socket(&proxy, path);
        assert_eq!(listed["matched"], json(&proxy, path)["matched"], "{path}");
    }
    for path in ["/routes?limit=x", "/routes?name=y", "/certificates?limit=-1", "/history?after=x"] {
        assert_eq!(proxy.ask(path).0, 400, "{path}");
    }
    proxy.finish();
}

/// So many of the operator's connections are served at once on each way in (`CONNECTIONS_MAX` in `src/admin/listener.rs`).
#[test]
fn one_operator_above_the_limit_waits_until_another_leaves() {
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::Tcp.route("echo", "127.0.0.2", echo.address, ""));
    let ask = |stream: &mut UnixStream| stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let answered = |stream: &mut UnixStream| {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
    };
    let connect = || UnixStream::connect(proxy.path("admin.sock")).unwrap();
    let mut inside: Vec<_> = (0..64).map(|_| connect()).collect();
    inside.iter_mut().for_each(|stream| {
        ask(stream);
        answered(stream);
    });
    let mut above = connect();
    ask(&mut above);
    above.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let waiting = above.read(&mut [0]).unwrap_err();
    assert_eq!(waiting.kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(proxy.ask("/healthz").0, 200, "the other way in has places of its own");
    drop(inside.pop());
    answered(&mut above);
    drop((inside, above));
    proxy.finish();
}

#[test]
fn the_history_is_of_the_last_seconds_and_its_totals_are_those_of_the_metrics() {
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::Tcp.route("echo", "127.0.0.2", echo.address, ""));
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    client.send(b"five!");
    client.expect(b"five!");
    // While it lives, what it has moved is counted.
    let sum = |history: &Value, of: &str| {
        history["samples"].as_array().unwrap().iter().map(|step| step[of].as_u64().unwrap()).sum::<u64>()
    };
    let sampled = until(|| {
        let history = json(&proxy, "/history");
        if sum(&history, "accepted") == 1 { Ok(history) } else { Err(format!("no sample has it: {history:#}")) }
    });
    let sampled = sampled.unwrap();
    assert_eq!((sum(&sampled, "received_bytes"), sum(&sampled, "sent_bytes")), (5, 5));
    assert_eq!((&sampled["totals"]["active"], &sampled["totals"]["received_bytes"]), (&1.into(), &5.into()));
    client.finish();
    assert_eq!(client.end(), End::Whole);
    // It is counted as closed a moment before it is no longer active.
    let over = |metrics: &Metrics| {
        metrics.sum("connections_closed_total", &[]) == 1 && metrics.sum("connections_active", &[]) == 0
    };
    proxy.metrics_until("it has ended", over);
    let history = over_socket(&proxy, "/history");
    assert_eq!((&history["causes"][0]["cause"], &history["causes"][0]["count"]), (&"finished".into(), &1.into()));
    assert_eq!((&history["totals"]["closed"], &history["totals"]["active"]), (&1.into(), &0.into()));
    let last = history["samples"].as_array().unwrap().last().unwrap()["number"].as_u64().unwrap();
    let newer = json(&proxy, &format!("/history?after={last}"));
    assert!(newer["samples"].as_array().unwrap().iter().all(|step| step["number"].as_u64() > Some(last)), "{newer:#}");
    proxy.finish();
}
