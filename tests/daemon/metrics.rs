//! The metrics of a daemon that has done something of everything: each phase is timed, each target counted, the process
//! known, and what a reload takes away gone.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::harness::{End, HELLO, HOST, Metrics, Peer, Proxy, Refusing, Target, Way};

fn left(mut client: Peer) {
    client.finish();
    assert_eq!(client.end(), End::Whole);
}

/// The value of a series whose name does not begin with ours.
fn process(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("process_{name} ")));
    line.unwrap_or_else(|| panic!("no process_{name} in {text}")).parse().unwrap()
}

#[test]
fn each_phase_is_timed_and_each_target_counted() {
    let (echo, web, refusing) = (Target::echo(), Target::http("target"), Refusing::new());
    let secure = Target::https("secure", crate::harness::CERTIFICATES.server());
    let named = format!("localhost:{}", web.address.port());
    let config = Way::Passthrough.route("bytes", "127.0.0.2", echo.address, "")
        + &Way::TerminateHttp.route("web", "127.0.0.3", web.address, "")
        + &Way::ReencryptHttp.route("secure", "127.0.0.4", secure.address, "")
        + &Way::Http.route("named", "127.0.0.5", &named, "")
        + &Way::Http.route("refused", "127.0.0.6", refusing.address, "");
    let proxy = Proxy::start(&config);
    let mut client = Way::Passthrough.client(proxy.address("127.0.0.2"));
    client.expect(&HELLO);
    let label = echo.address.to_string();
    proxy.metrics_until("the connection is in flight", |metrics| {
        metrics.sum("target_in_flight", &[("target", &label)]) == 1
    });
    left(client);
    for (way, ip, requests) in [
        (Way::TerminateHttp, "127.0.0.3", 3),
        (Way::ReencryptHttp, "127.0.0.4", 1),
        (Way::Http, "127.0.0.5", 1),
        (Way::Http, "127.0.0.6", 1),
    ] {
        let mut client = way.silent_client(proxy.address(ip));
        let expected = if ip == "127.0.0.6" { 502 } else { 200 };
        (0..requests).for_each(|_| assert_eq!(client.get(HOST, "/").status(), expected, "{ip}"));
        left(client);
    }
    let metrics = proxy.metrics_until("all have ended", |metrics| metrics.sum("connections_closed_total", &[]) == 5);
    let shows = |name: &str, labels: &[(&str, &str)], count: i64| {
        assert_eq!(metrics.sum(name, labels), count, "{name} {labels:?}\n{}", metrics.shown(name));
    };
    // What each client has gone through.
    shows("sniff_seconds_count", &[], 5);
    shows("tls_handshake_seconds_count", &[("side", "client")], 2);
    shows("tls_handshake_seconds_count", &[("side", "target")], 1);
    shows("connection_seconds_count", &[], 5);
    for (route, requests, answers, connects) in
        [("bytes", 0, 0, 1), ("web", 3, 3, 1), ("secure", 1, 1, 1), ("named", 1, 1, 1), ("refused", 1, 0, 0)]
    {
        let of = [("route", route)];
        shows("connection_seconds_count", &of, 1);
        shows("request_seconds_count", &of, requests);
        shows("first_byte_seconds_count", &of, answers);
        shows("connect_seconds_count", &of, connects);
    }
    // Who has waited on whom.
    let web_label = web.address.to_string();
    shows("target_attempts_total", &[("target", &web_label), ("result", "connected")], 1);
    shows("target_first_byte_seconds_count", &[("target", &web_label)], 3);
    let refused_label = refusing.address.to_string();
    shows("target_attempts_total", &[("target", &refused_label), ("result", "refused")], 1);
    shows("target_connect_seconds_count", &[("target", &refused_label)], 0);
    shows("target_in_flight", &[], 0);
    shows("upstream_checkouts_total", &[("connection", "opened")], 3);
    shows("upstream_checkouts_total", &[("connection", "reused")], 2);
    shows("dns_lookups_total", &[("result", "found")], 1);
    shows("dns_lookup_seconds_count", &[], 1);
    assert!(metrics.sum("target_resolved_timestamp_seconds", &[("target", &named)]) > 1_600_000_000);
    let certificate = proxy.path("server.pem").display().to_string();
    let expiry = metrics.sum("certificate_expiry_timestamp_seconds", &[("certificate", &certificate)]);
    assert!(expiry > 1_600_000_000, "{}", metrics.shown("certificate_expiry_timestamp_seconds"));
    shows("config_generation", &[], 1);
    shows("config_last_reload_successful", &[], 1);
    shows("state", &[("state", "ready")], 1);
    shows("state", &[], 1);
    shows("draining_connections", &[], 0);
    assert!(metrics.sum("connections_max", &[]) > 0);
    assert!(!metrics.shown("worker_busy_seconds_total").is_empty(), "the workers have worked");
    proxy.finish();
}

#[test]
fn the_process_is_known_by_the_names_that_dashboards_have_and_the_whole_text_is_sound() {
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::Tcp.route("echo", "127.0.0.2", echo.address, ""));
    let text = proxy.ask("/metrics").1;
    let own = |name| process(&text, name);
    assert!(own("resident_memory_bytes") > 1_000_000.0);
    assert!(own("virtual_memory_bytes") >= own("resident_memory_bytes"));
    assert!(own("open_fds") > 10.0 && own("open_fds") < own("max_fds"));
    assert_eq!(own("max_fds") as u64, proxy.descriptor_limits().current.unwrap());
    assert!(own("threads") >= 2.0);
    assert!(own("start_time_seconds") > 1_600_000_000.0);
    assert!(own("cpu_seconds_total") >= 0.0);
    assert!(text.contains(concat!("smartproxy_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1")), "{text}");
    if let Ok(mut tool) = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    {
        tool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = tool.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    } else {
        assert!(std::env::var_os("CI").is_none(), "promtool (of Debian's package prometheus) is not there");
    }
    proxy.finish();
}

#[test]
fn a_route_and_a_target_that_a_reload_removes_take_their_series_with_them_when_the_last_user_has_left() {
    let (kept, gone) = (Target::echo(), Target::echo());
    let first = Way::Tcp.route("kept", "127.0.0.2", kept.address, "");
    let second = Way::Tcp.route("gone", "127.0.0.3", gone.address, "");
    let mut proxy = Proxy::start(&(first.clone() + &second));
    let play = |ip: &str| {
        let mut client = Peer::connect(proxy.address(ip));
        client.send(b"ping");
        client.expect(b"ping");
        client
    };
    let (early, late) = (play("127.0.0.3"), play("127.0.0.3"));
    left(early);
    left(play("127.0.0.2"));
    proxy.metrics_until("two have ended", |metrics| metrics.sum("connections_closed_total", &[]) == 2);
    proxy.reload(&first);
    let label = gone.address.to_string();
    let of = |text: &str| text.contains("route=\"gone\"") || text.contains(&label);
    let text = proxy.ask("/metrics").1;
    assert!(of(&text), "one connection still uses them: {text}");
    let metrics = Metrics::parse(&text);
    assert_eq!((metrics.sum("config_generation", &[]), metrics.sum("draining_connections", &[])), (2, 1));
    left(late);
    proxy.metrics_until("their endings are kept", |metrics| {
        metrics.sum("connections_closed_forgotten_total", &[]) == 2 && metrics.sum("connections_closed_total", &[]) == 1
    });
    let text = proxy.ask("/metrics").1;
    assert!(!of(&text), "{text}");
    proxy.reload_refused("[[routes]]\n");
    let metrics = proxy.metrics();
    assert_eq!(metrics.sum("config_last_reload_successful", &[]), 0);
    assert_eq!(metrics.sum("config_generation", &[]), 2);
    proxy.finish();
}
