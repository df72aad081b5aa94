//! Reload: addresses kept, added, removed and refused, under load, with nothing lost.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustix::process::Signal;

use crate::harness::{
    CERTIFICATES, End, HOST, ONE_PLACE, Peer, Proxy, Queue, Target, Way, closed, field, leave, listener, served,
};

#[test]
fn reloads_under_load_lose_no_request_and_keep_what_is_kept() {
    let pair = |name| (Target::http(name), Target::https(name, CERTIFICATES.server()));
    let (first, second) = (pair("first"), pair("second"));
    let echo = Target::echo();
    let base = |(target, secure): &(Target, Target)| {
        Way::Http.route("plain", "127.0.0.2", target.address, "")
            + &Way::TerminateHttp.route("secure", "127.0.0.3", target.address, "")
            + &Way::Tcp.route("long", "127.0.0.4", echo.address, "timeouts.idle = \"10m\"")
            + &Way::ReencryptHttp.route("reencrypted", "127.0.0.6", secure.address, "")
            + &Way::Passthrough.route("passed", "127.0.0.7", secure.address, "")
    };
    let added = Way::Http.route("added", "127.0.0.5", first.0.address, "");
    let mut proxy = Proxy::start(&base(&first));
    let (plain, secure) = (proxy.address("127.0.0.2"), proxy.address("127.0.0.3"));
    let (reencrypted, passed) = (proxy.address("127.0.0.6"), proxy.address("127.0.0.7"));
    let inodes = proxy.listening_inodes();
    let mut long = Peer::connect(proxy.address("127.0.0.4"));
    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        // Even if an assertion fails below, the clients have to end.
        let _over = Over(&over);
        let (over, answered) = (&over, &answered);
        // One keeps its connection, one makes a new one each time, and the others do so with TLS, which ends here or there.
        for kind in 0..5 {
            scope.spawn(move || {
                let over_tls = |address| Peer::connect(address).tls(HOST, &CERTIFICATES.client(&[]));
                let connect = || match kind {
                    0 | 1 => Peer::connect(plain),
                    2 => over_tls(secure),
                    3 => over_tls(reencrypted),
                    _ => over_tls(passed),
                };
                // What is passed on unread ends as its target ends it, which is without a word.
                let ended = |end| if kind == 4 { end != End::Silence } else { end == End::Whole };
                let mut client = connect();
                while !over.load(Ordering::Acquire) {
                    let answer = client.get(HOST, "/");
                    assert_eq!(answer.status(), 200, "{answer:?}");
                    answered.fetch_add(1, Ordering::AcqRel);
                    if kind > 0 {
                        client.finish();
                        assert!(ended(client.end()));
                        client = connect();
                    }
                }
                client.finish();
                assert!(ended(client.end()));
            });
        }
        for round in 0..6 {
            let before = answered.load(Ordering::Acquire);
            proxy.reload(&(base(if round % 2 == 0 { &second } else { &first }) + &added));
            let mut client = Peer::connect(proxy.addresses().last().copied().unwrap());
            assert_eq!(client.get(HOST, "/").status(), 200, "the added address serves");
            client.finish();
            assert_eq!(client.end(), End::Whole);
            proxy.reload_refused(&base(&first).replace("targets", "target"));
            proxy.reload(&base(if round % 2 == 0 { &second } else { &first }));
            long.send(b"still here");
            long.expect(b"still here");
            let enough = |_: &_| answered.load(Ordering::Acquire) > before;
            proxy.metrics_until("requests go on", enough);
        }
    });
    assert_eq!(proxy.listening_inodes(), inodes, "kept addresses are never bound anew");
    let mut client = Peer::connect(plain);
    assert_eq!(client.get(HOST, "/").field("x-target"), "first", "the last configuration is in force");
    client.finish();
    assert_eq!(client.end(), End::Whole);
    long.finish();
    assert_eq!(long.end(), End::Whole);
    let metrics = proxy.metrics();
    assert_eq!(metrics.sum("reloads_total", &[("result", "done")]), 12);
    assert_eq!(metrics.sum("reloads_total", &[("result", "refused")]), 6);
    assert_eq!(metrics.sum("requests_total", &[("status", "5xx")]), 0);
    for line in proxy.lines("request") {
        assert_eq!((line["status"].as_u64(), line["cause"].as_str()), (Some(200), Some("finished")), "{line}");
    }
    for line in proxy.lines("connection") {
        assert!(line["route"] != "passed" || line["party"] != "proxy", "{line}");
    }
    proxy.finish();
}

/// Tells the clients that it is over, whatever happens.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn a_refused_reload_names_every_fault_and_changes_nothing() {
    let echo = Target::echo();
    let good = Way::Tcp.route("kept", "127.0.0.2", echo.address, "");
    let proxy = Proxy::start(&good);
    let inodes = proxy.listening_inodes();
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    let (taken, address) = listener();
    let refused = [
        (String::from("this is not TOML\n"), "smartproxy.toml:"),
        (good.replace("targets", "tagets"), "did you mean `targets`"),
        (good.replace("protocol = \"tcp\"", "protocol = \"udp\"\nname = 3"), "smartproxy.toml:"),
        (
            good.clone()
                + &Way::TerminateTcp.route("new", "127.0.0.3", echo.address, "").replace("server.pem", "none.pem"),
            "none.pem",
        ),
        (
            good.clone()
                + &Way::TerminateTcp.route("new", "127.0.0.3", echo.address, "").replace("server.key", "client.key"),
            "client.key",
        ),
        (
            good.clone()
                + &Way::Tcp.route("new", "127.0.0.3", echo.address, "").replace("127.0.0.3:0", &address.to_string()),
            "cannot listen",
        ),
        (String::new(), "smartproxy.toml"),
    ];
    let mut count = 0;
    for (config, said) in &refused {
        // An empty file is a configuration without a route: whether that is one is for `check` to say.
        if config.is_empty() {
            std::fs::remove_file(proxy.path(crate::harness::FILE)).unwrap();
            let mark = proxy.log_mark();
            proxy.signal(Signal::HUP);
            proxy.event_after(mark, "a refused reload", |event| {
                field(event, "message").is_some_and(|message| message.contains("refused") && message.contains(said))
            });
        } else {
            let event = proxy.reload_refused(config);
            assert!(event.contains(said), "{said}: {event}");
        }
        count += 1;
        client.send(b"still here");
        client.expect(b"still here");
        assert_eq!(proxy.listening_inodes(), inodes, "{said}");
        assert_eq!(proxy.metrics().sum("reloads_total", &[("result", "refused")]), count);
    }
    drop(taken);
    client.finish();
    assert_eq!(client.end(), End::Whole);
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    client.send(b"new clients too");
    client.expect(b"new clients too");
    client.finish();
    assert_eq!(client.end(), End::Whole);
    proxy.finish();
}

#[test]
fn a_removed_address_is_closed_and_its_connections_live_on_until_they_end() {
    let (echo, http) = (Target::echo(), Target::http("gone"));
    let kept = Way::Tcp.route("kept", "127.0.0.2", echo.address, "");
    let removed = Way::Tcp.route("removed", "127.0.0.3", echo.address, "")
        + &Way::Http.route("removed-http", "127.0.0.4", http.address, "");
    let mut proxy = Proxy::start(&(kept.clone() + &removed));
    let (tcp, web) = (proxy.address("127.0.0.3"), proxy.address("127.0.0.4"));
    let mut long = Peer::connect(tcp);
    long.send(b"before");
    long.expect(b"before");
    let mut idle = Peer::connect(web);
    assert_eq!(idle.get(HOST, "/").status(), 200);
    let idle_address = idle.ends();
    proxy.reload(&kept);
    crate::harness::until(|| match std::net::TcpStream::connect(tcp) {
        Ok(_) => Err("the removed address still takes connections".to_owned()),
        Err(_) => Ok(()),
    })
    .unwrap();
    assert_eq!(idle.end(), End::Whole, "an idle HTTP connection is told to end");
    assert_eq!(proxy.line_of(idle_address)["cause"], "drained");
    long.send(b"after");
    long.expect(b"after");
    long.finish();
    assert_eq!(long.end(), End::Whole);
    proxy.finish();
}

#[test]
fn a_connection_keeps_the_generation_that_it_began_with() {
    let (first, second) = (Target::echo(), Target::serving(|mut peer| peer.send(b"second")));
    let config = |target: &Target| Way::TerminateTcp.route("changing", "127.0.0.2", target.address, "");
    let mut proxy = Proxy::start(&config(&first));
    let mut old = Way::TerminateTcp.client(proxy.address("127.0.0.2"));
    old.send(b"first");
    old.expect(b"first");
    proxy.reload(&config(&second));
    let mut new = Way::TerminateTcp.client(proxy.address("127.0.0.2"));
    new.expect(b"second");
    old.send(b"first still");
    old.expect(b"first still");
    for mut client in [old, new] {
        client.finish();
        assert_eq!(client.end(), End::Whole);
    }
    proxy.finish();
}

/// Who is queued at an address that a reload takes away was told by the kernel that it is connected.
#[test]
fn connections_that_wait_in_the_queue_of_a_removed_address_are_served() {
    const QUEUED: usize = 200;
    let echo = Target::echo();
    let kept = Way::Tcp.route("kept", "127.0.0.3", echo.address, "");
    let mut proxy = Proxy::start(&(Way::Tcp.route("removed", "127.0.0.2", echo.address, "") + &kept));
    let address = proxy.address("127.0.0.2");
    proxy.signal(Signal::STOP);
    let queue = Queue::at(address, QUEUED);
    proxy.write(&kept);
    proxy.signal(Signal::HUP);
    proxy.signal(Signal::CONT);
    queue.echoed();
    proxy.event("reloaded", |_| true);
    proxy.rebase();
    proxy.finish();
}

/// Who comes out of the queue of a removed address is told to end like those who were in before.
#[test]
fn requests_that_wait_in_the_queue_of_a_removed_address_are_answered_and_their_connections_end() {
    const QUEUED: usize = 20;
    let (echo, target) = (Target::echo(), Target::http("target"));
    let kept = Way::Tcp.route("kept", "127.0.0.3", echo.address, "");
    let removed = Way::Http.route("removed", "127.0.0.2", target.address, "");
    let mut proxy = Proxy::start(&(String::from(ONE_PLACE) + &removed + &kept));
    let address = proxy.address("127.0.0.2");
    // It holds the only place, so that those behind it come out of the queue after the reload.
    let long = served(proxy.address("127.0.0.3"));
    let queue = Queue::requesting(address, QUEUED);
    proxy.reload(&(String::from(ONE_PLACE) + &kept));
    closed(address);
    leave(long);
    assert!(queue.answered().iter().all(|connection| connection == "close"));
    proxy.rebase();
    proxy.finish();
}

/// The old socket of the address is open until its queue has been served, and must not be in the way of the new one. Neither
/// may those who wait take the descriptors that a reload needs.
#[test]
fn an_address_that_comes_back_while_its_queue_is_still_served_is_listened_on_again() {
    const QUEUED: usize = 40;
    let echo = Target::echo();
    let free = std::net::TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
    let kept = Way::Tcp.route("kept", "127.0.0.3", echo.address, "");
    let back = Way::Tcp.route("back", "127.0.0.2", echo.address, "").replace("127.0.0.2:0", &free.to_string());
    let one_place = |routes: &str| format!("{ONE_PLACE}{routes}");
    let mut proxy = Proxy::start(&one_place(&(kept.clone() + &back)));
    let long = served(proxy.address("127.0.0.3"));
    let mut queue = Queue::at(free, QUEUED);
    let old = proxy.limit_descriptors(proxy.lowest_free_descriptor() + 30);
    proxy.reload(&one_place(&kept));
    proxy.reload(&one_place(&(kept.clone() + &back)));
    proxy.limit_descriptors(old.current.unwrap());
    leave(long);
    queue.0.push(Peer::connect(free));
    queue.echoed();
    proxy.rebase();
    proxy.finish();
}

/// So many routes that reading them takes long enough for a signal to come meanwhile.
pub(crate) fn slow_to_read(target: std::net::SocketAddr) -> String {
    let mut config = Way::Tcp.route("kept", "127.0.0.2", target, "");
    for number in 0..40_000 {
        config += &format!(
            "[[routes]]\nname = \"r{number}\"\nmatch.ports = [\"127.0.0.3:0\"]\nmatch.domains = [\"d{number}.test\"]\n\
             targets = [\"127.0.0.1:1\"]\n"
        );
    }
    config
}

#[test]
fn a_stop_is_heard_while_a_reload_reads() {
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::Tcp.route("kept", "127.0.0.2", echo.address, ""));
    proxy.write(&slow_to_read(echo.address));
    proxy.signal(Signal::HUP);
    proxy.event("reading the configuration anew", |_| true);
    let asking = proxy.command(&["reload"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    proxy.signal(Signal::TERM);
    proxy.event("stopping", |_| true);
    assert!(!proxy.log_text().contains("reloaded"), "the stop has waited for the reload");
    proxy.ended();
    assert!(!asking.unwrap().wait().unwrap().success(), "a reload that is not done was said to be");
}

#[test]
fn a_pipe_in_the_place_of_a_file_refuses_the_reload_and_does_not_hang_it() {
    let echo = Target::echo();
    let good = Way::TerminateTcp.route("one", "127.0.0.2", echo.address, "");
    let proxy = Proxy::start(&good);
    let pipe = |name: &str| {
        let made = std::process::Command::new("mkfifo").arg(proxy.path(name)).status().unwrap();
        assert!(made.success());
    };
    pipe("pipe.pem");
    let event = proxy.reload_refused(&good.replace("server.pem", "pipe.pem"));
    assert!(event.contains("pipe.pem: this is not a file"), "{event}");
    let output = proxy.command(&["check"]).output().unwrap();
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let event = proxy.reload_refused(&good.replace("server.pem", "."));
    assert!(event.contains("this is not a file"), "{event}");
    std::fs::remove_file(proxy.path(crate::harness::FILE)).unwrap();
    pipe(crate::harness::FILE);
    let mark = proxy.log_mark();
    proxy.signal(Signal::HUP);
    proxy.event_after(mark, "a refused reload", |event| {
        field(event, "message").is_some_and(|message| message.contains("is not a regular file"))
    });
    proxy.finish();
}
