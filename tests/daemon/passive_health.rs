//! Targets that cannot be connected to are set aside: who comes next does not wait for them, and they return by themselves.

use std::fmt;
use std::io::Read;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{End, Message, Peer, Proxy, Target, Unanswering, Way, case_ip, field, listener, play, until};

/// How long the daemon waits for a target that does not answer.
const CONNECT: Duration = Duration::from_millis(700);

fn config(set_aside: &str) -> String {
    format!(
        "defaults.timeouts.connect = \"{}ms\"\ndefaults.passive_health.set_aside = \"{set_aside}\"\n",
        CONNECT.as_millis()
    )
}

/// One request on a connection of its own.
fn request(proxy: &Proxy, ip: &str) -> Message {
    let mut client = Peer::connect(proxy.address(ip));
    let answer = client.get("shop.test", "/");
    client.finish();
    assert_eq!(client.end(), End::Whole);
    answer
}

fn timeouts(proxy: &Proxy, route: &str) -> i64 {
    proxy.metrics().sum("upstream_connects_total", &[("route", route), ("result", "timeout")])
}

/// What the metric says of a target, if it says anything.
fn gauge(proxy: &Proxy, target: impl fmt::Display) -> Option<String> {
    let target = format!("target=\"{target}\"");
    let (_, text) = proxy.ask("/metrics");
    let mut lines = text.lines().filter(|line| line.starts_with("smartproxy_upstream_target_set_aside{"));
    let line = lines.find(|line| line.contains(&target))?;
    line.rsplit(' ').next().map(str::to_owned)
}

#[test]
fn of_two_targets_one_never_answers_and_only_the_first_client_waits_for_it_on_every_handler() {
    let (silent, closing) = (Unanswering::new(), Target::serving(drop));
    let ways = [Way::Passthrough, Way::Tcp, Way::TerminateTcp, Way::Http, Way::TerminateHttp];
    let mut text = config("1h");
    for (number, way) in ways.iter().enumerate() {
        // The quotes close and open the list's entries.
        let targets = format!("{}\", \"{}", silent.address, closing.address);
        text += &way.route(&way.to_string(), &case_ip(number), targets, "");
    }
    let proxy = Proxy::start(&text);
    play(&ways, |number, way| {
        for round in 0..5 {
            let begin = Instant::now();
            let mut client = way.client(proxy.address(&case_ip(number)));
            if way.serves_requests() {
                assert_eq!(client.message().status(), 502);
                client.finish();
            }
            assert_ne!(client.rest().1, End::Silence);
            assert!(round > 0 || begin.elapsed() >= CONNECT, "the first one has found out");
        }
        assert_eq!(timeouts(&proxy, &way.to_string()), 1);
    });
    proxy.finish();
}

#[test]
fn what_is_set_aside_is_shown_kept_over_a_reload_and_forgotten_with_its_policy() {
    let (silent, alive) = (Unanswering::new(), Target::http("alive"));
    let targets = format!("{}\", \"{}", silent.address, alive.address);
    let route = |more: &str| Way::Http.route("shop", "127.0.0.2", &targets, more);
    let mut proxy = Proxy::start(&(config("1h") + &route("")));
    assert_eq!(gauge(&proxy, silent.address), None, "nothing has happened to it");
    let at_once = |proxy: &Proxy| {
        for _ in 0..6 {
            assert_eq!(request(proxy, "127.0.0.2").field("x-target"), "alive");
        }
        assert_eq!(timeouts(proxy, "shop"), 1);
        assert_eq!(gauge(proxy, silent.address).as_deref(), Some("1"));
        assert_eq!(gauge(proxy, alive.address), None);
    };
    at_once(&proxy);
    let event = proxy.event("the target is set aside", |_| true);
    let said = |name| field(&event, name).map(str::to_owned);
    assert_eq!(said("route").as_deref(), Some("shop"), "{event}");
    assert_eq!(said("target"), Some(silent.address.to_string()), "{event}");
    assert_eq!((said("cause").as_deref(), said("set_aside").as_deref()), (Some("connect_timeout"), Some("3600s")));

    let status: Value = serde_json::from_str(&proxy.ask("/status").1).unwrap();
    let aside = &status["targets_set_aside"][0];
    assert_eq!((aside["route"].as_str(), aside["cause"].as_str()), (Some("shop"), Some("connect_timeout")), "{status}");
    assert_eq!(aside["target"].as_str(), Some(&*silent.address.to_string()), "{status}");
    let shown = proxy.command(&["status"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains(&format!("set aside: {} of shop ", silent.address)), "{shown}");

    proxy.reload(&(config("1h") + &route("preserve_host = false")));
    at_once(&proxy);
    proxy.reload(&(config("1h") + &route("passive_health.failures = 0")));
    assert_eq!(gauge(&proxy, silent.address), None, "it is not watched any more");
    for _ in 0..4 {
        assert_eq!(request(&proxy, "127.0.0.2").field("x-target"), "alive");
    }
    assert_eq!(timeouts(&proxy, "shop"), 3, "each of its turns costs the timeout again");
    proxy.finish();
}

#[test]
fn a_target_that_works_again_gets_its_share_again() {
    let (silent, alive) = (Unanswering::new(), Target::http("alive"));
    let address = silent.address;
    let targets = format!("{address}\", \"{}", alive.address);
    let proxy = Proxy::start(&(config("200ms") + &Way::Http.route("shop", "127.0.0.2", targets, "")));
    assert_eq!(request(&proxy, "127.0.0.2").field("x-target"), "alive");
    assert_eq!(gauge(&proxy, address).as_deref(), Some("1"));
    let _awake = silent.awake("back");
    let returned = until(|| match request(&proxy, "127.0.0.2").field("x-target") {
        "back" => Ok(()),
        other => Err(format!("only {other} answers")),
    });
    returned.unwrap();
    assert_eq!(gauge(&proxy, address).as_deref(), Some("0"));
    proxy.event("the target is back", |event| field(event, "target") == Some(&*address.to_string()));
    let names: Vec<String> = (0..4).map(|_| request(&proxy, "127.0.0.2").field("x-target").to_owned()).collect();
    assert_eq!(names.iter().filter(|name| *name == "back").count(), 2, "{names:?}");
    proxy.finish();
}

#[test]
fn when_every_target_is_set_aside_each_is_still_tried() {
    let (first, second) = (Unanswering::new(), Unanswering::new());
    let targets = format!("{}\", \"{}", first.address, second.address);
    let proxy = Proxy::start(&(config("1h") + &Way::Http.route("shop", "127.0.0.2", targets, "")));
    for round in 1..=2 {
        assert_eq!(request(&proxy, "127.0.0.2").status(), 504);
        assert_eq!(timeouts(&proxy, "shop"), 2 * round);
    }
    let _awake = second.awake("back");
    assert_eq!(request(&proxy, "127.0.0.2").field("x-target"), "back");
    let before = timeouts(&proxy, "shop");
    assert_eq!(request(&proxy, "127.0.0.2").field("x-target"), "back");
    assert_eq!(timeouts(&proxy, "shop"), before, "the one that works goes first");
    proxy.finish();
}

#[test]
fn what_finds_out_whether_a_target_is_back_is_a_new_connection_and_not_one_from_the_pool() {
    let (kept, address) = listener();
    let other = Target::http("other");
    let (answer, wait) = mpsc::channel::<()>();
    // Takes one connection and no second: the port is closed from then on.
    let serving = thread::spawn(move || {
        let mut peer = Peer::accept(&kept);
        drop(kept);
        for number in 0.. {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                match peer.read(&mut byte) {
                    Ok(1) => head.push(byte[0]),
                    Ok(_) | Err(_) => return,
                }
            }
            if number == 1 {
                wait.recv().unwrap();
            }
            peer.send(b"HTTP/1.1 200 OK\r\nx-target: kept\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let targets = format!("{address}\", \"{}", other.address);
    let text = config("300ms") + "server.workers = 1\ndefaults.timeouts.upstream_keep_alive = \"20s\"\n";
    let mut proxy = Proxy::start(&(text + &Way::Http.route("shop", "127.0.0.2", targets, "")));
    let name = |proxy: &Proxy| request(proxy, "127.0.0.2").field("x-target").to_owned();
    assert_eq!([name(&proxy), name(&proxy)], ["kept", "other"]);
    let mut slow = Peer::connect(proxy.address("127.0.0.2"));
    slow.request("shop.test", "/");
    proxy.connections_until("the slow request is with its target", |live| {
        live.iter().any(|one| one["target"].as_str() == Some(&*address.to_string()))
    });
    assert_eq!([name(&proxy), name(&proxy)], ["other", "other"], "the second has met a closed port");
    assert_eq!(gauge(&proxy, address).as_deref(), Some("1"));
    answer.send(()).unwrap();
    assert_eq!(slow.message().field("x-target"), "kept");
    slow.finish();
    assert_eq!(slow.end(), End::Whole);
    let refused = |proxy: &Proxy| proxy.metrics().sum("upstream_connects_total", &[("result", "refused")]);
    let probed = until(|| {
        assert_eq!(name(&proxy), "other", "what was connected before says nothing");
        if refused(&proxy) > 1 { Ok(()) } else { Err("nobody has probed".to_owned()) }
    });
    probed.unwrap();
    // A connection in the pool is not left over.
    proxy.rebase();
    proxy.signal(rustix::process::Signal::TERM);
    proxy.ended();
    serving.join().unwrap();
}
