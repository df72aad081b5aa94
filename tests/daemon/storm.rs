//! Many clients that come and go at once, and a process that runs out of descriptors.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::{End, PATIENCE, Peer, Proxy, Refusing, Target, Way, listener, until};

/// How many clients come and go.
const CLIENTS: usize = 10_000;

/// How many of them at a time.
const AT_ONCE: usize = 16;

#[test]
fn ten_thousand_clients_that_come_and_go_are_each_counted_exactly_once() {
    let (echo, refusing) = (Target::echo(), Refusing::new());
    let config = Way::Tcp.route("echo", "127.0.0.2", echo.address, "")
        + &Way::Passthrough.route("sniffed", "127.0.0.3", echo.address, "")
        + &Way::Tcp.route("refused", "127.0.0.4", refusing.address, "");
    let proxy = Proxy::start(&config);
    let addresses = ["127.0.0.2", "127.0.0.3", "127.0.0.4"].map(|ip| proxy.address(ip));
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= CLIENTS {
                        return;
                    }
                    // Two in ten are echoed, two are refused, and the others leave at once, each second one by a reset.
                    match number % 10 {
                        0 | 1 => {
                            let mut client = Peer::connect(addresses[0]);
                            client.send(b"ping");
                            client.expect(b"ping");
                            client.reset();
                        }
                        2 | 3 => assert_ne!(Peer::connect(addresses[2]).end(), End::Silence),
                        4 => drop(Peer::connect(addresses[0])),
                        5 => Peer::connect(addresses[0]).reset(),
                        6 | 7 => drop(Peer::connect(addresses[1])),
                        _ => Peer::connect(addresses[1]).reset(),
                    }
                }
            });
        }
    });
    let all = CLIENTS as i64;
    let metrics = proxy.metrics_until("every client is closed", |metrics| {
        metrics.sum("connections_accepted_total", &[]) >= all && metrics.sum("connections_closed_total", &[]) >= all
    });
    assert_eq!(metrics.sum("connections_accepted_total", &[]), all);
    assert_eq!(metrics.sum("connections_closed_total", &[]), all);
    assert_eq!(metrics.sum("connections_active", &[]), 0);
    let of = |route, cause| metrics.sum("connections_closed_total", &[("route", route), ("cause", cause)]);
    assert_eq!(of("refused", "refused"), all / 5, "{}", metrics.shown("connections_closed_total"));
    assert_eq!(of("-", "empty") + of("-", "reset"), all * 4 / 10, "{}", metrics.shown("connections_closed_total"));
    assert_eq!(
        metrics.sum("connections_closed_total", &[("route", "echo")]),
        all * 4 / 10,
        "{}",
        metrics.shown("connections_closed_total")
    );
    let refused = metrics.sum("connections_failed_total", &[("route", "refused")]);
    assert_eq!(refused, all / 5, "each that reached no target is counted as failed");
    assert_eq!(metrics.sum("access_log_lines_dropped_total", &[]), 0);
    proxy.finish();
}

/// Processor time that the daemon has used, in the ticks of proc_pid_stat(5): hundredths of a second.
pub(crate) fn processor_ticks(proxy: &Proxy) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", proxy.id())).unwrap();
    // The name in parentheses may have spaces; utime and stime are the 12th and 13th field after it.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
}

#[test]
fn out_of_descriptors_the_proxy_rests_without_spinning_and_recovers_and_admin_goes_on() {
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::Tcp.route("echo", "127.0.0.2", echo.address, ""));
    let address = proxy.address("127.0.0.2");
    let mut admin = TcpStream::connect(proxy.admin()).unwrap();
    admin.set_read_timeout(Some(PATIENCE)).unwrap();
    ask_again(&mut admin);
    let mark = proxy.log_mark();
    let old = proxy.limit_descriptors(proxy.descriptor_count() as u64 + 6);
    // Those that cannot be accepted wait in the kernel's queue.
    let mut clients: Vec<Peer> = (0..12).map(|_| Peer::connect(address)).collect();
    let event = proxy.event_after(mark, "rest of the accept loop", |event| {
        event.to_string().contains("cannot accept connections for now")
    });
    assert!(event.to_string().contains("LimitNOFILE"), "the log names the cure: {event}");
    let exhausted = || {
        let text = ask_again(&mut admin.try_clone().unwrap());
        let line = text.lines().find(|line| line.starts_with("smartproxy_accept_errors_total{class=\"exhausted\"}"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    let (begin, ticks) = (Instant::now(), processor_ticks(&proxy));
    // Ten rests of at least 10 ms that double: more than a second for one loop, half of that for two.
    until(|| if exhausted() >= 10 { Ok(()) } else { Err("the loop does not try again".to_owned()) }).unwrap();
    let (passed, used) = (begin.elapsed(), processor_ticks(&proxy) - ticks);
    assert!(passed > Duration::from_millis(200), "ten tries within {passed:?} are no rest");
    assert!(used * 10 < passed.as_millis() as u64, "{used} ticks within {passed:?}: the loop spins");
    drop(admin);
    let recovered = proxy.log_mark();
    proxy.limit_descriptors(old.current.unwrap());
    proxy.event_after(recovered, "accepting again", |event| event.to_string().contains("accepting connections again"));
    let mut served = 0;
    for client in &mut clients {
        // Some were accepted without a descriptor left for the target: those have ended, and are counted as that.
        let sent = client.write_all(b"ping").is_ok();
        let mut answer = [0; 4];
        if sent && client.read_exact(&mut answer).is_ok() {
            assert_eq!(&answer, b"ping");
            served += 1;
        }
    }
    drop(clients);
    proxy.settle();
    let metrics = proxy.metrics();
    let starved = metrics.sum("connections_closed_total", &[("cause", "out_of_descriptors")]);
    assert_eq!(served + starved, 12, "{}", metrics.shown("connections_closed_total"));
    assert!(served > 0);
    let said = proxy.log_text().matches("cannot accept connections for now").count();
    assert!(said <= 4, "the cure is said once for each rest, not {said} times");
    proxy.finish();
}

/// Asks for the metrics on a connection that stays open: it needs no new descriptor.
fn ask_again(admin: &mut TcpStream) -> String {
    admin.write_all(b"GET /metrics HTTP/1.1\r\nhost: admin\r\n\r\n").unwrap();
    let mut peer = Peer::over(admin.try_clone().unwrap());
    let answer = peer.message();
    assert_eq!(answer.status(), 200);
    answer.text()
}

#[test]
fn one_connection_above_max_connections_waits_until_another_ends() {
    let echo = Target::echo();
    let config = String::from("server.max_connections = 3\n") + &Way::Tcp.route("echo", "127.0.0.2", echo.address, "");
    let proxy = Proxy::start(&config);
    let address = proxy.address("127.0.0.2");
    let mut inside: Vec<_> = (0..3)
        .map(|_| {
            let mut client = Peer::connect(address);
            client.send(b"in");
            client.expect(b"in");
            client
        })
        .collect();
    let mut waiting = Peer::connect(address);
    waiting.send(b"me too");
    proxy.event_after(0, "the limit", |event| event.to_string().contains("server.max_connections allows"));
    assert_eq!(proxy.connections().len(), 3);
    inside.pop().unwrap().reset();
    waiting.expect(b"me too");
    assert_eq!(proxy.connections_until("three are in", |live| live.len() == 3).len(), 3);
    for mut client in inside.into_iter().chain([waiting]) {
        client.finish();
        assert_eq!(client.end(), End::Whole);
    }
    proxy.finish();
}

#[test]
fn a_target_socket_that_cannot_be_had_ends_one_client_with_its_cause() {
    let (_listener, target) = listener();
    let proxy = Proxy::start(&Way::Tcp.route("starved", "127.0.0.2", target, ""));
    let address = proxy.address("127.0.0.2");
    // One descriptor is left: the client's own.
    let old = proxy.limit_descriptors(proxy.highest_descriptor() + 2);
    let mut client = Peer::connect(address);
    let found = proxy.line_of(client.address());
    assert_eq!((found["phase"].as_str(), found["cause"].as_str()), (Some("connect"), Some("out_of_descriptors")));
    assert_ne!(client.end(), End::Silence);
    proxy.limit_descriptors(old.current.unwrap());
    proxy.signal(Signal::HUP);
    proxy.event("reloaded", |_| true);
    proxy.finish();
}
