//! `smartproxy drain`: the same as SIGTERM, and the operator hears how it ended.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Peer, Proxy, Target, Way};

fn drain(proxy: &Proxy, more: &[&str]) -> Child {
    let mut command = proxy.command(&[&["drain"], more].concat());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn end(child: Child) -> (i32, String) {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout) + &text(&output.stderr))
}

/// A daemon with one live connection, and its client.
fn busy(more: &str) -> (Proxy, Peer, Target) {
    let echo = Target::echo();
    let proxy = Proxy::start(&format!("{more}\n{}", Way::Tcp.route("one", "127.0.0.2", echo.address, "")));
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    client.send(b"ping");
    client.expect(b"ping");
    (proxy, client, echo)
}

#[test]
fn it_waits_for_the_last_connection_and_says_that_all_ended_by_themselves() {
    let (proxy, mut client, _echo) = busy("server.shutdown_timeout = \"1m\"");
    let first = drain(&proxy, &["--json"]);
    proxy.event("stopping", |_| true);
    // Those who come later join the stop and do not hasten it.
    assert_eq!(end(drain(&proxy, &["--no-wait"])).0, 0);
    let mut second = UnixStream::connect(proxy.path("admin.sock")).unwrap();
    second.write_all(b"POST /drain HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    // Whoever is answered now was heard after the second was accepted, and then after it was read.
    for _ in 0..2 {
        assert_eq!(proxy.ask("/readyz").0, 503);
    }
    client.send(b"pong");
    client.expect(b"pong");
    client.finish();
    let (code, text) = end(first);
    let told: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!((code, &told["live"], &told["cut"], &told["why"]), (0, &1.into(), &0.into(), &Value::Null), "{text}");
    let mut text = String::new();
    second.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 ") && text.contains(r#""cut":0"#), "{text}");
    proxy.ended();
}

#[test]
fn it_says_which_were_cut_and_exits_1() {
    let (proxy, client, _echo) = busy("server.shutdown_timeout = \"100ms\"");
    let (code, text) = end(drain(&proxy, &[]));
    assert!(code == 1 && text.contains("1 of 1 connection cut: server.shutdown_timeout has passed"), "{text}");
    proxy.ended();
    drop(client);
    let (proxy, client, _echo) = busy("server.shutdown_timeout = \"1m\"");
    let waiting = drain(&proxy, &[]);
    proxy.event("stopping", |_| true);
    proxy.signal(Signal::TERM);
    let (code, text) = end(waiting);
    assert!(code == 1 && text.contains("1 of 1 connection cut: SIGTERM"), "{text}");
    proxy.ended();
    drop(client);
}

#[test]
fn without_waiting_it_returns_while_the_daemon_drains() {
    let (proxy, mut client, _echo) = busy("server.shutdown_timeout = \"1m\"");
    let (code, text) = end(drain(&proxy, &["--no-wait"]));
    assert_eq!(code, 0, "{text}");
    client.send(b"pong");
    client.expect(b"pong");
    client.finish();
    proxy.ended();
}

#[test]
fn an_operator_who_keeps_a_connection_open_does_not_hold_up_the_end() {
    let (proxy, mut client, _echo) = busy("");
    let mut page = Peer::connect(proxy.admin());
    page.send(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert_eq!(page.message().status(), 200);
    page.send(b"POST /drain HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(page.message().status(), 403, "the page changes nothing");
    client.finish();
    let (code, text) = end(drain(&proxy, &[]));
    assert!(code == 0 && text.starts_with("stopped: "), "{text}");
    page.end();
    proxy.ended();
}
