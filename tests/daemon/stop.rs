//! Stop: drained, forced at the timeout, cut by a second signal.

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{
    CERTIFICATES, End, HELLO, HOST, ONE_PLACE, Peer, Proxy, Queue, Target, Unanswering, Way, closed, leave, limited,
    listener, served,
};

fn live(proxy: &Proxy, count: usize) {
    proxy.connections_until("clients are connected", |live| live.len() == count);
}

fn cause(line: &Value) -> (&str, &str) {
    (line["party"].as_str().unwrap_or_default(), line["cause"].as_str().unwrap_or_default())
}

#[test]
fn a_stop_closes_the_listeners_and_lets_every_connection_finish() {
    for signal in [Signal::TERM, Signal::INT] {
        let (web_listener, web_target) = listener();
        let (relay_listener, relay_target) = listener();
        let echo = Target::echo();
        let config = Way::Tcp.route("relay", "127.0.0.2", relay_target, "")
            + &Way::Http.route("web", "127.0.0.3", web_target, "")
            + &Way::TerminateHttp.route("secure", "127.0.0.4", echo.address, "");
        let proxy = Proxy::start(&config);
        let (tcp, web) = (proxy.address("127.0.0.2"), proxy.address("127.0.0.3"));
        let mut relay = Way::Tcp.client(tcp);
        let mut relay_target = Way::Tcp.target(&relay_listener);
        let mut busy = Way::Http.client(web);
        let mut busy_target = Way::Http.target(&web_listener);
        let mut idle = Way::TerminateHttp.silent_client(proxy.address("127.0.0.4"));
        live(&proxy, 3);
        proxy.signal(signal);
        proxy.event("stopping", |_| true);
        assert_eq!(idle.end(), End::Whole, "an idle HTTP connection is told to end");
        let secure = proxy.address("127.0.0.4");
        closed(secure);
        assert_eq!(proxy.ask("/readyz").0, 503, "a draining daemon is not ready");
        assert_eq!(proxy.ask("/healthz").0, 200, "and healthy all the same");
        busy_target.answer("the last answer");
        let answer = busy.message();
        assert_eq!((answer.status(), answer.text()), (200, "the last answer".to_owned()));
        assert_eq!(answer.field("connection"), "close", "{answer:?}");
        assert_eq!(busy.end(), End::Whole);
        relay.send(b"to the end");
        relay_target.expect(b"to the end");
        relay.finish();
        assert_eq!(relay_target.end(), End::Whole);
        relay_target.send(b"farewell");
        relay_target.finish();
        relay.expect(b"farewell");
        assert_eq!(relay.end(), End::Whole);
        let (relay, busy, idle) = (relay.ends(), busy.ends(), idle.ends());
        assert_eq!(cause(&proxy.line_of(relay)), ("client", "finished"));
        assert_eq!(cause(&proxy.line_of(busy)).1, "drained");
        assert_eq!(cause(&proxy.line_of(idle)), ("operator", "drained"));
        proxy.ended();
    }
}

#[test]
fn what_is_left_at_the_shutdown_timeout_is_cut() {
    let (listeners, addresses): (Vec<_>, Vec<_>) = Way::ALL.iter().map(|_| listener()).unzip();
    let mut config = String::from("server.shutdown_timeout = \"500ms\"\n");
    for (number, way) in Way::ALL.iter().enumerate() {
        config += &way.route(&way.to_string(), &crate::harness::case_ip(number), addresses[number], "");
    }
    let proxy = Proxy::start(&config);
    let mut pairs: Vec<_> = Way::ALL
        .iter()
        .enumerate()
        .map(|(number, way)| {
            let client = way.client(proxy.address(&crate::harness::case_ip(number)));
            (*way, client, way.target(&listeners[number]))
        })
        .collect();
    live(&proxy, Way::ALL.len());
    proxy.signal(Signal::TERM);
    for (way, client, target) in &mut pairs {
        let ends = (client.rest().1, target.rest().1);
        assert!(ends.0 != End::Silence && ends.1 != End::Silence, "{way}: {ends:?}");
        if !way.serves_requests() {
            assert_eq!(ends, (End::Reset, End::Reset), "{way}: nobody may take a cut for an end");
        }
        assert_eq!(cause(&proxy.line_of(client.ends())), ("operator", "cut"), "{way}");
    }
    proxy.event("cutting", |event| event.to_string().contains("shutdown_timeout"));
    proxy.ended();
}

#[test]
fn a_second_signal_cuts_at_once() {
    let (listener, target) = listener();
    let proxy = Proxy::start(&Way::Tcp.route("relay", "127.0.0.2", target, ""));
    let mut client = Way::Tcp.client(proxy.address("127.0.0.2"));
    let mut target = Way::Tcp.target(&listener);
    live(&proxy, 1);
    proxy.signal(Signal::TERM);
    proxy.event("stopping", |_| true);
    client.send(b"still here");
    target.expect(b"still here");
    proxy.signal(Signal::INT);
    assert_eq!((client.end(), target.end()), (End::Reset, End::Reset));
    assert_eq!(cause(&proxy.line_of(client.ends())), ("operator", "cut"));
    proxy.ended();
}

#[test]
fn connections_that_wait_in_the_queue_at_a_stop_are_served() {
    let echo = Target::echo();
    let config = String::from(ONE_PLACE) + &Way::Tcp.route("echo", "127.0.0.2", echo.address, "");
    let proxy = Proxy::start(&config);
    let address = proxy.address("127.0.0.2");
    let mut first = served(address);
    let queue = Queue::at(address, 5);
    proxy.signal(Signal::TERM);
    proxy.event("stopping", |_| true);
    // Closed to others at once, though those in the queue are not served yet.
    closed(address);
    first.send(b"still first");
    first.expect(b"still first");
    leave(first);
    queue.echoed();
    proxy.ended();
}

#[test]
fn clients_in_every_phase_before_the_relay_are_cut_at_the_shutdown_timeout() {
    let unanswering = Unanswering::new();
    let config = String::from("server.shutdown_timeout = \"300ms\"\n")
        + &Way::TerminateTcp.route("tls", "127.0.0.2", unanswering.address, "")
        + &Way::Tcp.route("tcp", "127.0.0.3", unanswering.address, "");
    let proxy = Proxy::start(&config);
    let mut sniffed = Peer::connect(proxy.address("127.0.0.2"));
    sniffed.send(&HELLO[..50]);
    let mut handshaking = Peer::connect(proxy.address("127.0.0.2"));
    handshaking.send(&HELLO);
    let connecting = Peer::connect(proxy.address("127.0.0.2")).tls(HOST, &CERTIFICATES.client(&[]));
    let plain = Peer::connect(proxy.address("127.0.0.3"));
    let states = |live: &[Value]| {
        let mut states: Vec<_> = live.iter().filter_map(|live| live["state"].as_str()).collect();
        states.sort_unstable();
        states == ["connecting", "connecting", "handshaking", "sniffing"]
    };
    proxy.connections_until("each is in its phase", states);
    proxy.signal(Signal::TERM);
    let clients = [(sniffed, "sniff"), (handshaking, "handshake"), (connecting, "connect"), (plain, "connect")];
    for (mut client, phase) in clients {
        assert_ne!(client.rest().1, End::Silence);
        let line = proxy.line_of(client.ends());
        assert_eq!((cause(&line), line["phase"].as_str()), (("operator", "cut"), Some(phase)), "{line}");
    }
    proxy.ended();
}

#[test]
fn a_client_in_the_middle_of_its_hello_at_a_stop_is_still_served() {
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::Passthrough.route("echo", "127.0.0.2", echo.address, ""));
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    client.send(&HELLO[..100]);
    proxy.connections_until("the hello is waited for", |live| live.iter().any(|live| live["state"] == "sniffing"));
    proxy.signal(Signal::TERM);
    proxy.event("stopping", |_| true);
    client.send(&HELLO[100..]);
    client.expect(&HELLO);
    client.finish();
    assert_eq!(client.end(), End::Whole);
    proxy.ended();
}

#[test]
fn hundreds_of_connections_that_wait_in_the_queue_at_a_stop_are_served() {
    // More than one turn of an accept loop takes.
    const QUEUED: usize = 400;
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::Tcp.route("echo", "127.0.0.2", echo.address, ""));
    let address = proxy.address("127.0.0.2");
    // A process that is stopped (SIGSTOP) accepts nothing, so all of them are in the kernel's queue.
    proxy.signal(Signal::STOP);
    let queue = Queue::at(address, QUEUED);
    proxy.signal(Signal::TERM);
    proxy.signal(Signal::CONT);
    queue.echoed();
    proxy.event("stopping", |_| true);
    proxy.ended();
}

/// Whoever the daemon has taken out of its queue is counted and logged, also when no place comes in time.
#[test]
fn connections_that_wait_for_a_place_at_the_shutdown_timeout_are_cut_and_counted() {
    let echo = Target::echo();
    let config = format!("{ONE_PLACE}server.shutdown_timeout = \"500ms\"\n")
        + &Way::Tcp.route("echo", "127.0.0.2", echo.address, "");
    let proxy = Proxy::start(&config);
    let address = proxy.address("127.0.0.2");
    let mut first = served(address);
    let mut queue = Queue::at(address, 5);
    proxy.signal(Signal::TERM);
    proxy.event("cutting", |event| event.to_string().contains("shutdown_timeout"));
    for client in queue.0.iter_mut().chain([&mut first]) {
        assert_ne!(client.rest().1, End::Silence);
        assert_eq!(cause(&proxy.line_of(client.ends())), ("operator", "cut"));
    }
    proxy.ended();
}

/// The order to drain must not come before the request that a queued client has sent.
#[test]
fn requests_that_wait_in_the_queue_at_a_stop_are_answered() {
    const QUEUED: usize = 20;
    let target = Target::http("target");
    let config = Way::Http.route("web", "127.0.0.2", target.address, "")
        + &Way::TerminateHttp.route("secure", "127.0.0.3", target.address, "");
    let proxy = Proxy::start(&config);
    let address = proxy.address("127.0.0.2");
    proxy.signal(Signal::STOP);
    let queue = Queue::requesting(address, QUEUED);
    proxy.signal(Signal::TERM);
    proxy.signal(Signal::CONT);
    // Whether the answer or the end alone says that the connection ends depends on which signal was heard first.
    queue.answered();
    proxy.ended();
}

/// More wait in the queue than there are descriptors for: the address stays open, and nobody is lost.
#[test]
fn connections_that_wait_in_the_queue_at_a_stop_are_served_though_there_are_no_descriptors_for_all() {
    // Two descriptors for each that is served, beside 25 that are kept and 32 for the process: 71. Half of the rest, 29, may wait.
    const LIMIT: u64 = 200;
    const SERVED: usize = 71;
    const QUEUED: usize = 80;
    let echo = Target::echo();
    let config = String::from("defaults.timeouts.sniff = \"1m\"\n")
        + &Way::Passthrough.route("echo", "127.0.0.2", echo.address, "");
    let proxy = Proxy::start_with(&config, |command| limited(command, LIMIT));
    let address = proxy.address("127.0.0.2");
    let silent = Queue::at(address, SERVED);
    live(&proxy, SERVED);
    let mut queue = Queue::at(address, QUEUED);
    queue.0.iter_mut().for_each(|client| client.send(&HELLO));
    proxy.event_after(0, "the limit", |event| event.to_string().contains("server.max_connections allows"));
    proxy.signal(Signal::TERM);
    proxy.event("stopping", |_| true);
    drop(silent);
    for mut client in queue.0 {
        client.expect(&HELLO);
        leave(client);
    }
    closed(address);
    proxy.ended();
}

/// A client that is refused and does not leave is lingered for; that must not outlast a cut, nor a kill.
#[test]
fn clients_that_are_being_turned_away_are_cut_and_killed_like_all_others() {
    let echo = Target::echo();
    let config = String::from("server.shutdown_timeout = \"300ms\"\ndefaults.timeouts.linger = \"1m\"\n")
        + &Way::Http.route("blocked", "127.0.0.2", echo.address, "security.block = [\"127.0.0.0/8\"]")
        + &Way::TerminateHttp.route("named", "127.0.0.3", echo.address, "match.domains = [\"target.test\"]");
    let proxy = Proxy::start(&config);
    let turned_away = || {
        let mut blocked = Peer::connect(proxy.address("127.0.0.2"));
        blocked.request(HOST, "/");
        assert_eq!(blocked.message().status(), 403);
        let mut unrouted = Peer::connect(proxy.address("127.0.0.3"));
        unrouted.request(HOST, "/");
        assert_eq!(unrouted.message().status(), 400);
        let mut unnamed = Peer::connect(proxy.address("127.0.0.3"));
        unnamed.send(&HELLO);
        // The alert, and no more: TLS 1.2's record of two bytes.
        assert_eq!(unnamed.receive(7).first(), Some(&21));
        [blocked, unrouted, unnamed]
    };
    let killed = turned_away();
    for live in proxy.connections() {
        let output = proxy.command(&["kill", &live["id"].to_string()]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    for client in &killed {
        assert_eq!(cause(&proxy.line_of(client.ends())), ("operator", "killed"));
    }
    let cut = turned_away();
    proxy.signal(Signal::TERM);
    for client in &cut {
        assert_eq!(cause(&proxy.line_of(client.ends())), ("operator", "cut"));
    }
    assert!(!proxy.log_text().contains("did not end"), "{}", proxy.log_text());
    proxy.ended();
}
