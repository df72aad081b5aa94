//! Nothing is suspected to have leaked while clients of every kind come and go, and a real leak's place in the status is there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{End, HELLO, HOST, Metrics, Peer, Proxy, Refusing, Target, Way};

/// How many clients come and go.
const CLIENTS: usize = 12_000;

/// How many of them at a time.
const AT_ONCE: usize = 16;

/// However slow the machine is, so long the churn lasts at least, and at most: some passes of the detector, which looks once
/// in a second here.
const AT_LEAST: Duration = Duration::from_secs(4);
const AT_MOST: Duration = Duration::from_secs(25);

const CHECK: &str = "server.leak_check = \"1s\"\n";

fn suspects(metrics: &Metrics) -> String {
    metrics.shown("leak_suspects")
}

fn told(proxy: &Proxy) -> String {
    let text = proxy.log_text();
    text.lines().filter(|line| line.contains("leaked")).collect::<Vec<_>>().join("\n")
}

/// As fast as the machine gives: every kind of route, whole, reset and cut off clients, kept and pooled connections, targets
/// that refuse, an upgrade, operators. Once all have left, the causes add up to what was accepted.
#[test]
fn b18_a_storm_of_clients_of_every_kind_leaves_nothing_to_suspect_and_books_that_balance() {
    let (echo, web, refusing) = (Target::echo(), Target::http("target"), Refusing::new());
    let secure = Target::https("secure", crate::harness::CERTIFICATES.server());
    let secure_echo = Target::tls_echo(crate::harness::CERTIFICATES.server());
    // A proxy of ours is a target that agrees to HTTP/2, and so a proxy that has a client of it.
    let behind = Proxy::start(&(CHECK.to_owned() + &Way::TerminateHttp.route("behind", "127.0.0.2", web.address, "")));
    let over_http2 = "upstream_protocol = \"h2\"";
    let config = CHECK.to_owned()
        + &Way::Tcp.route("tcp", "127.0.0.2", echo.address, "")
        + &Way::Passthrough.route("passthrough", "127.0.0.3", echo.address, "")
        + &Way::Http.route("http", "127.0.0.4", web.address, "")
        + &Way::TerminateHttp.route("terminate", "127.0.0.5", web.address, "")
        + &Way::ReencryptHttp.route("reencrypt", "127.0.0.6", secure.address, "")
        + &Way::ReencryptTcp.route("reencrypt-tcp", "127.0.0.7", secure_echo.address, "")
        + &Way::Tcp.route("refused", "127.0.0.8", refusing.address, "")
        + &Way::Http.route("refused-http", "127.0.0.9", refusing.address, "")
        + &Way::Http.route("named", "127.0.0.10", format!("localhost:{}", web.address.port()), "")
        + &Way::ReencryptHttp.route("http2", "127.0.0.11", behind.address("127.0.0.2"), over_http2);
    let proxy = Proxy::start(&config);
    let at = |last: usize| proxy.address(&format!("127.0.0.{last}"));
    let addresses: Vec<_> = (2..=11).map(at).collect();
    let way = |index: usize| match index {
        0 | 6 => Way::Tcp,
        1 => Way::Passthrough,
        2 | 7 | 8 => Way::Http,
        3 => Way::TerminateHttp,
        4 | 9 => Way::ReencryptHttp,
        _ => Way::ReencryptTcp,
    };
    let visit = |number: usize| {
        // TLS costs the client of this test most, so one in ten is enough.
        let index = [0, 1, 2, 6, 7, 8, 0, 2, 1, [3, 4, 5, 9][number / 40 % 4]][number % 10];
        let (way, address) = (way(index), addresses[index]);
        let mut client = way.silent_client(address);
        match (way, number / 10 % 4) {
            // As port checks do, by a FIN or a reset.
            (_, 0) => return drop(client),
            (_, 1) => return client.reset(),
            (Way::Http | Way::TerminateHttp | Way::ReencryptHttp, kept) => {
                for _ in 0..kept {
                    let expected = if index == 7 { 502 } else { 200 };
                    assert_eq!(client.get(HOST, "/").status(), expected);
                }
            }
            (Way::Passthrough, _) => {
                client.send(&HELLO);
                client.expect(&HELLO);
            }
            (Way::Tcp | Way::TerminateTcp | Way::ReencryptTcp, _) if index == 6 => {
                assert_ne!(client.end(), End::Silence);
                return;
            }
            (Way::Tcp | Way::TerminateTcp | Way::ReencryptTcp, _) => {
                client.send_what_is_taken(b"ping");
                client.expect(b"ping");
            }
        }
        if number.is_multiple_of(3) { client.reset() } else { client.finish() }
    };
    let (next, begin) = (AtomicUsize::new(0), Instant::now());
    let over = |number: usize| {
        let passed = begin.elapsed();
        passed > AT_MOST || (number >= CLIENTS && passed > AT_LEAST)
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if over(number) {
                        return;
                    }
                    visit(number);
                }
            });
        }
        // Operators come and go too, and see nothing either.
        scope.spawn(|| {
            while !over(next.load(Ordering::Relaxed)) {
                assert_eq!(suspects(&proxy.metrics()), "");
                thread::sleep(Duration::from_millis(50));
            }
        });
    });
    let metrics = proxy.metrics_until("every client is closed", |metrics| {
        let count = |name| metrics.sum(name, &[]);
        count("connections_accepted_total") == count("connections_closed_total") && count("connections_active") == 0
    });
    assert!(metrics.sum("connections_accepted_total", &[]) > 1_000, "{}", metrics.shown("connections_accepted_total"));
    assert_eq!(metrics.sum("connection_seconds_count", &[]), metrics.sum("connections_accepted_total", &[]));
    // Idle now, the counts have to be right to the last one for some passes.
    thread::sleep(AT_LEAST);
    for proxy in [&proxy, &behind] {
        assert_eq!((suspects(&proxy.metrics()), told(proxy)), (String::new(), String::new()));
    }
    assert!(behind.metrics().sum("requests_total", &[("status", "2xx")]) > 0, "HTTP/2 was among it");
    proxy.finish();
    behind.finish();
}

/// What could look like a leak, for longer than it takes to be suspected: silent, idle, kept and pooled connections, one of
/// HTTP/2 that requests share, seen from both of its ends, and an operator's.
#[test]
fn what_only_waits_is_not_suspected() {
    let (echo, web) = (Target::echo(), Target::http("target"));
    let mut behind =
        Proxy::start(&(CHECK.to_owned() + &Way::TerminateHttp.route("behind", "127.0.0.2", web.address, "")));
    let config = CHECK.to_owned()
        + "defaults.timeouts.upstream_keep_alive = \"1m\"\n"
        + &Way::Passthrough.route("echo", "127.0.0.2", echo.address, "")
        + &Way::TerminateHttp.route("web", "127.0.0.3", web.address, "")
        + &Way::ReencryptHttp.route("http2", "127.0.0.4", behind.address("127.0.0.2"), "upstream_protocol = \"h2\"");
    let mut proxy = Proxy::start(&config);
    let silent = Peer::connect(proxy.address("127.0.0.2"));
    let mut relaying = Way::Passthrough.client(proxy.address("127.0.0.2"));
    relaying.expect(&HELLO);
    let mut kept = Way::TerminateHttp.silent_client(proxy.address("127.0.0.3"));
    assert_eq!(kept.get(HOST, "/").status(), 200);
    let mut shared = Way::ReencryptHttp.silent_client(proxy.address("127.0.0.4"));
    assert_eq!(shared.get(HOST, "/").status(), 200);
    assert_eq!(behind.connections().first().map(|live| live["protocol"].clone()), Some("h2".into()));
    let operator = Peer::connect(proxy.admin());
    thread::sleep(Duration::from_millis(3_500));
    for proxy in [&proxy, &behind] {
        assert_eq!((suspects(&proxy.metrics()), told(proxy)), (String::new(), String::new()));
    }
    let status: Value = serde_json::from_str(&proxy.ask("/status").1).unwrap();
    assert_eq!(status["leak_suspects"], serde_json::json!([]), "{status}");
    drop((silent, operator));
    relaying.reset();
    kept.reset();
    shared.reset();
    proxy.connections_until("all have left", |live| live.is_empty());
    proxy.rebase();
    proxy.finish();
    behind.rebase();
    behind.finish();
}

/// A socket that the process was started with is not the daemon's, and stays what it was.
#[test]
fn what_the_daemon_was_started_with_is_not_suspected_and_its_check_is_switched_by_a_reload() {
    let echo = Target::echo();
    let route = Way::Tcp.route("echo", "127.0.0.2", echo.address, "");
    let (inherited, _address) = crate::harness::listener();
    let strange = std::net::TcpStream::connect(inherited.local_addr().unwrap()).unwrap();
    for socket in [rustix::fd::AsFd::as_fd(&strange), rustix::fd::AsFd::as_fd(&inherited)] {
        rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::empty()).unwrap();
    }
    let mut proxy = Proxy::start(&(CHECK.to_owned() + &route));
    for socket in [rustix::fd::AsFd::as_fd(&strange), rustix::fd::AsFd::as_fd(&inherited)] {
        rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::CLOEXEC).unwrap();
    }
    thread::sleep(Duration::from_millis(3_500));
    assert_eq!((suspects(&proxy.metrics()), told(&proxy)), (String::new(), String::new()));
    proxy.reload(&(String::from("server.leak_check = \"0s\"\n") + &route));
    proxy.reload(&(String::from("server.leak_check = \"2s\"\n") + &route));
    proxy.finish();
}
