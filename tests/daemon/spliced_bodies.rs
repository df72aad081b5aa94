//! Long bodies of HTTP/1.1 that go through pipes between plain sockets: as many bytes as were sent, in the books too, whoever of
//! the two leaves before the end.

use std::io::Write;
use std::sync::LazyLock;
use std::sync::mpsc::channel;

use serde_json::Value;

use crate::harness::{End, HOST, Peer, Proxy, Target, Way, next_head, parsed_head, until};
use crate::splicing::{ALL, CLIENTS, pipes};

/// A request that is answered with [`ALL`], and one for half of an answer.
const WHOLE: &str = "/whole";
const HALF: &str = "/half";

/// What a POST sends.
static SENT: LazyLock<&[u8]> = LazyLock::new(|| &ALL[..5_000_011]);

/// Answers as the path says, and takes what is sent.
fn target() -> Target {
    Target::serving(|mut peer| {
        while let Some(head) = next_head(&mut peer) {
            let request = parsed_head(&head);
            if let Ok(length) = request.field("content-length").parse() {
                assert!(peer.receive(length) == *SENT);
            }
            let half = request.path() == HALF;
            let length = if half { 2 * ALL.len() } else { ALL.len() };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            if peer.write_all(head.as_bytes()).is_err() || peer.write_all(&ALL).is_err() || half {
                return;
            }
        }
    })
}

fn pipes_become(proxy: &Proxy, wanted: usize) {
    until(|| match pipes(proxy) {
        found if found == wanted => Ok(()),
        found => Err(format!("{found} descriptors of pipes instead of {wanted}")),
    })
    .unwrap();
}

/// Clients that have asked for much and do not read yet, of whom so many have a pipe with something in it.
fn held_back(proxy: &Proxy, base: usize, wanted: usize) -> Vec<Peer> {
    let address = proxy.address("127.0.0.2");
    let clients = (0..CLIENTS).map(|_| Peer::connect(address));
    let clients = clients.map(|mut client| {
        client.request(HOST, WHOLE);
        client
    });
    let clients = clients.collect();
    pipes_become(proxy, base + 2 * wanted);
    clients
}

/// All of the answer comes, and another one behind it on the same connection.
fn served(proxy: &Proxy, clients: Vec<Peer>, base: usize) {
    let count = clients.len();
    for mut client in clients {
        assert!(client.message().body == *ALL);
        assert!(client.get(HOST, WHOLE).body == *ALL);
        client.finish();
        assert_eq!(client.end(), End::Whole);
    }
    pipes_become(proxy, base);
    // The lines are written behind the answers.
    until(|| match proxy.lines("request").len() {
        found if found == 2 * count => Ok(()),
        found => Err(format!("{found} lines")),
    })
    .unwrap();
    for line in proxy.lines("request") {
        assert_eq!((line["cause"].as_str(), bytes_out(&line)), (Some("finished"), ALL.len()), "{line}");
    }
    let sent = proxy.metrics().sum("sent_bytes_total", &[("route", "web")]);
    assert!(usize::try_from(sent).unwrap() > 2 * count * ALL.len(), "{sent}");
}

fn bytes_out(line: &Value) -> usize {
    usize::try_from(line["bytes_out"].as_u64().unwrap()).unwrap()
}

fn start(target: &Target, more: &str) -> Proxy {
    Proxy::start(&Way::Http.route("web", "127.0.0.2", target.address, more))
}

#[test]
fn each_answer_that_is_held_back_has_one_pipe_and_gives_it_back() {
    let target = target();
    let proxy = start(&target, "");
    let base = pipes(&proxy);
    let clients = held_back(&proxy, base, CLIENTS);
    served(&proxy, clients, base);
    assert_eq!(target.accepted(), CLIENTS, "their connections serve on");
    proxy.finish();
}

#[test]
fn where_there_are_few_descriptors_the_rest_is_copied() {
    let target = target();
    let proxy = start(&target, "");
    let base = pipes(&proxy);
    let before = proxy.limit_descriptors(256);
    let clients = held_back(&proxy, base, 2);
    served(&proxy, clients, base);
    proxy.limit_descriptors(before.current.unwrap());
    proxy.finish();
}

#[test]
fn a_long_body_up_and_one_down_leave_both_connections_to_the_next_request() {
    let target = target();
    let proxy = start(&target, "");
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    for _ in 0..3 {
        client.send(format!("POST / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {}\r\n\r\n", SENT.len()).as_bytes());
        client.send(*SENT);
        assert!(client.message().body == *ALL);
    }
    client.finish();
    assert_eq!(client.end(), End::Whole);
    assert_eq!(target.accepted(), 1);
    proxy.line_of(client.ends());
    for line in proxy.lines("request") {
        let counted = (line["bytes_in"].as_u64(), bytes_out(&line));
        assert_eq!(counted, (Some(SENT.len() as u64), ALL.len()), "{line}");
    }
    assert_eq!(proxy.lines("request").len(), 3);
    proxy.finish();
}

#[test]
fn an_answer_that_its_target_breaks_off_ends_where_it_broke_off() {
    let target = target();
    let proxy = start(&target, "");
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    client.request(HOST, HALF);
    client.head();
    let (seen, end) = client.rest();
    assert_eq!(end, End::Whole);
    assert!(seen == *ALL, "{} bytes", seen.len());
    client.finish();
    let line = proxy.line("request", "the answer is counted", |line| line["cause"] == "target_closed");
    assert_eq!((line["party"].as_str(), bytes_out(&line)), (Some("target"), ALL.len()), "{line}");
    proxy.finish();
}

#[test]
fn a_client_that_resets_or_never_reads_ends_its_pipe_and_its_target() {
    let (tell, told) = channel();
    let target = Target::serving(move |mut peer| {
        peer.head();
        peer.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", ALL.len()).as_bytes());
        tell.send(peer.write_all(&ALL).is_err()).unwrap();
    });
    for (more, cause) in [("", "reset"), ("timeouts.body = \"600ms\"", "body_timeout")] {
        let proxy = start(&target, more);
        let base = pipes(&proxy);
        let mut client = Peer::connect(proxy.address("127.0.0.2"));
        client.request(HOST, WHOLE);
        pipes_become(&proxy, base + 2);
        let client = if cause == "reset" {
            client.reset();
            None
        } else {
            Some(client)
        };
        let line = proxy.line("request", "it has ended", |line| line["cause"] == cause);
        assert_eq!(line["party"], "client", "{line}");
        let connection = proxy.line("connection", "it has ended", |line| line["cause"] == cause);
        // Its head came before.
        assert!((1..1024).contains(&(bytes_out(&connection) - bytes_out(&line))), "{connection}");
        assert!(told.recv().unwrap(), "the target could not send all");
        drop(client);
        pipes_become(&proxy, base);
        proxy.finish();
    }
}
