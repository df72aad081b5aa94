//! Many clients that come and go at once, and a process that runs out of descriptors.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{End, HELLO, PATIENCE, Peer, Proxy, Refusing, Target, Way};

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
        let count = |name| metrics.sum(name, &[]);
        // The gauge falls after the ending is counted, so that none is missing when nobody is live.
        count("connections_accepted_total") >= all
            && count("connections_closed_total") >= all
            && count("connections_active") == 0
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
fn out_of_descriptors_the_proxy_rests_without_spinning_and_recovers() {
    let echo = Target::echo();
    let config = String::from("defaults.timeouts.sniff = \"1m\"\n")
        + &Way::Passthrough.route("echo", "127.0.0.2", echo.address, "");
    let proxy = Proxy::start(&config);
    let address = proxy.address("127.0.0.2");
    let old = proxy.limit_descriptors(proxy.lowest_free_descriptor() + 6);
    // Silent clients hold a descriptor each: six are accepted, and the others wait in the kernel's queue.
    let mut clients: Vec<Peer> = (0..12).map(|_| Peer::connect(address)).collect();
    let event = proxy.event("cannot accept connections for now", |_| true);
    assert!(event.to_string().contains("LimitNOFILE"), "the log names the cure: {event}");
    let (begin, ticks) = (Instant::now(), processor_ticks(&proxy));
    let exhausted = |proxy: &Proxy| proxy.metrics().sum("accept_errors_total", &[("class", "exhausted")]);
    let counted = exhausted(&proxy);
    assert!(counted > 0, "want of descriptors is counted");
    // The last one to come is not even accepted.
    let last = clients.last_mut().unwrap();
    last.patience(Duration::from_secs(1));
    assert_eq!(last.end(), End::Silence);
    last.patience(PATIENCE);
    let (passed, used) = (begin.elapsed(), processor_ticks(&proxy) - ticks);
    // A tick is 10 ms: a spinning loop would use one for every 10 ms passed.
    assert!(u128::from(used) * 100 < passed.as_millis(), "{used} ticks within {passed:?}: the loop spins");
    assert!(proxy.connections().len() < clients.len(), "some wait in the kernel's queue");
    assert!(exhausted(&proxy) > counted, "and counted for as long as it lasts");
    proxy.limit_descriptors(old.current.unwrap());
    proxy.event("accepting connections again", |_| true);
    for client in &mut clients {
        client.send(&HELLO);
        client.expect(&HELLO);
        client.finish();
        assert_eq!(client.end(), End::Whole);
    }
    let said = proxy.log_text().matches("cannot accept connections for now").count();
    assert_eq!(said, 1, "the cure is said once, however many workers meet the want");
    proxy.finish();
}

#[test]
fn idle_connections_to_targets_are_given_up_for_clients_when_descriptors_run_out() {
    let (target, echo) = (Target::http("target"), Target::echo());
    let config = String::from("defaults.timeouts.upstream_keep_alive = \"10m\"\ndefaults.timeouts.sniff = \"1m\"\n")
        + &Way::Http.route("web", "127.0.0.2", target.address, "")
        + &Way::Passthrough.route("echo", "127.0.0.3", echo.address, "");
    let mut proxy = Proxy::start(&config);
    let web = proxy.address("127.0.0.2");
    // At once, so that each has a connection to the target of its own.
    let mut clients: Vec<_> = (0..8).map(|_| Peer::connect(web)).collect();
    clients.iter_mut().for_each(|client| client.request("shop.test", "/"));
    clients.iter_mut().for_each(|client| assert_eq!(client.message().status(), 200));
    drop(clients);
    let idle = |metrics: &crate::harness::Metrics| metrics.sum("upstream_idle_connections", &[]);
    let pooled = idle(&proxy.metrics_until("connections are pooled", |metrics| idle(metrics) > 0));
    // The last one, which the operator's side has for itself.
    let old = proxy.limit_descriptors(proxy.lowest_free_descriptor() + 1);
    let address = proxy.address("127.0.0.3");
    let silent: Vec<_> = (0..pooled + 4).map(|_| Peer::connect(address)).collect();
    proxy.event("cannot accept connections for now", |_| true);
    proxy.metrics_until("the pools are empty", |metrics| idle(metrics) == 0);
    proxy.limit_descriptors(old.current.unwrap());
    proxy.connections_until("everyone is in", |live| live.len() == silent.len());
    drop(silent);
    proxy.rebase();
    proxy.finish();
}

#[test]
fn idle_connections_to_targets_are_given_up_for_another_target_when_descriptors_run_out() {
    let (target, other) = (Target::http("target"), Target::http("other"));
    let config = String::from("defaults.timeouts.upstream_keep_alive = \"10m\"\n")
        + &Way::Http.route("web", "127.0.0.2", target.address, "")
        + &Way::Http.route("other", "127.0.0.3", other.address, "");
    let mut proxy = Proxy::start(&config);
    let web = proxy.address("127.0.0.2");
    let mut clients: Vec<_> = (0..8).map(|_| Peer::connect(web)).collect();
    clients.iter_mut().for_each(|client| client.request("shop.test", "/"));
    clients.iter_mut().for_each(|client| assert_eq!(client.message().status(), 200));
    // Accepted before, so that nobody is when there are no more.
    let mut client = Peer::connect(proxy.address("127.0.0.3"));
    proxy.connections_until("everyone is in", |live| live.len() == clients.len() + 1);
    let idle = |metrics: &crate::harness::Metrics| metrics.sum("upstream_idle_connections", &[]);
    proxy.metrics_until("connections are pooled", |metrics| idle(metrics) > 0);
    let old = proxy.limit_descriptors(proxy.lowest_free_descriptor());
    assert_eq!(client.get("shop.test", "/").status(), 200);
    proxy.limit_descriptors(old.current.unwrap());
    drop((client, clients));
    proxy.rebase();
    proxy.finish();
}

#[test]
fn operators_are_answered_on_new_connections_when_clients_have_every_descriptor() {
    let echo = Target::echo();
    let config = String::from("defaults.timeouts.sniff = \"1m\"\n")
        + &Way::Passthrough.route("echo", "127.0.0.2", echo.address, "");
    let proxy = Proxy::start(&config);
    let address = proxy.address("127.0.0.2");
    let old = proxy.limit_descriptors(proxy.lowest_free_descriptor() + 4);
    let clients: Vec<Peer> = (0..12).map(|_| Peer::connect(address)).collect();
    proxy.event("cannot accept connections for now", |_| true);
    for _ in 0..5 {
        assert_eq!(proxy.ask("/healthz").0, 200);
        assert!(proxy.connections().len() < clients.len(), "some wait in the kernel's queue");
    }
    drop(clients);
    proxy.limit_descriptors(old.current.unwrap());
    proxy.finish();
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
