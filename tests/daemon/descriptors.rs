//! A process with few descriptors: it says so at its start, or serves, and it stops without waiting for what cannot come.

use std::io::Read;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::harness::{BINARY, FILE, HOST, Peer, Proxy, Target, Way, folder_with, limited};

/// What a start with this limit says and ends with, where it ends by itself; the daemon's words are on one line each.
fn refused_start(config: &str, limit: u64) -> Option<(Option<i32>, String)> {
    let folder = folder_with(config);
    let mut command = Command::new(BINARY);
    command.arg(folder.path().join(FILE));
    limited(&mut command, limit);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = child.stderr.take().unwrap();
    let (mut said, mut buffer) = (String::new(), [0; 4096]);
    while !said.contains("\"ready\"") {
        match log.read(&mut buffer).unwrap() {
            0 => break,
            count => said += &String::from_utf8_lossy(&buffer[..count]),
        }
    }
    let ready = said.contains("\"ready\"");
    if ready {
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    (!ready).then(|| (status.code(), said))
}

#[test]
fn with_few_descriptors_the_daemon_serves_or_says_at_its_start_how_many_it_needs() {
    let target = Target::http("target");
    let config = String::from("server.workers = 2\n") + &Way::Http.route("web", "127.0.0.2", target.address, "");
    let mut enough = None;
    // Below eight a shell cannot even start it.
    for limit in 8..100 {
        let Some((code, said)) = refused_start(&config, limit) else {
            enough = Some(limit);
            break;
        };
        assert_eq!(code, Some(71), "at {limit}: {said}");
        let limit_said = said.contains(&format!("the limit of open files is {limit}"));
        assert!(limit_said && said.contains("LimitNOFILE="), "at {limit}: {said}");
    }
    let enough = enough.expect("a hundred are enough");
    let proxy = Proxy::start_with(&config, |command| limited(command, enough));
    let address = proxy.address("127.0.0.2");
    for _ in 0..3 {
        let mut client = Peer::connect(address);
        assert_eq!(client.get(HOST, "/").status(), 200, "the lowest limit that it starts with is enough for a client");
        client.finish();
        client.end();
        proxy.connections_until("it has left", <[_]>::is_empty);
    }
    proxy.finish();
}

#[test]
fn a_stop_without_clients_does_not_wait_for_descriptors() {
    let config = String::from("server.shutdown_timeout = \"1h\"\n")
        + &Way::Tcp.route("tcp", "127.0.0.2", crate::harness::UNREACHABLE, "");
    let proxy = Proxy::start(&config);
    proxy.limit_descriptors(proxy.lowest_free_descriptor());
    proxy.signal(Signal::TERM);
    proxy.event("every connection has ended", |_| true);
    proxy.ended();
}

#[test]
fn a_client_that_no_descriptor_is_left_for_does_not_hold_up_the_stop_beyond_the_cut() {
    let config = String::from("server.shutdown_timeout = \"300ms\"\n")
        + &Way::Tcp.route("tcp", "127.0.0.2", crate::harness::UNREACHABLE, "");
    let proxy = Proxy::start(&config);
    let address = proxy.address("127.0.0.2");
    // Not even those that it closes at the stop can be had again.
    proxy.limit_descriptors(3);
    let mut queued = Peer::connect(address);
    proxy.signal(Signal::TERM);
    proxy.event("cutting", |event| event.to_string().contains("shutdown_timeout"));
    proxy.event("queued connections are lost", |event| event.to_string().contains("127.0.0.2"));
    queued.rest();
    proxy.ended();
}
