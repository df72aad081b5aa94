//! ClientHellos in pieces: split at every byte and over TLS records, and one byte above the limit.

use std::net::SocketAddr;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection};

use crate::harness::{CERTIFICATES, End, HELLO, HOST, Peer, Proxy, Target, Way};

/// Bytes of the ClientHello message, header and all, that the proxy takes; `sniff` names it.
const HELLO_LENGTH_MAX: usize = smartproxy::sniff::HELLO_LENGTH_MAX;

/// How many clients are held in the middle of their hello at once.
const BATCH: usize = 100;

fn config(raw: &Target, echo: &Target) -> String {
    let domains = format!("match.domains = [\"{HOST}\"]");
    String::from("defaults.timeouts.sniff = \"20s\"\n")
        + &Way::Passthrough.route("passed", "127.0.0.2", raw.address, &domains)
        + &Way::TerminateTcp.route("terminated", "127.0.0.3", echo.address, &domains)
}

/// Sends each pair of pieces on a connection of its own. No second piece goes before the proxy is seen to wait for it.
fn in_two(proxy: &Proxy, address: SocketAddr, splits: &[(Vec<u8>, Vec<u8>)], finish: impl Fn(Peer, usize)) {
    let splits: Vec<_> = splits.iter().enumerate().collect();
    for batch in splits.chunks(BATCH) {
        let mut clients: Vec<_> = batch.iter().map(|_| Peer::connect(address)).collect();
        for (client, (_, (first, _))) in clients.iter_mut().zip(batch) {
            client.send(first);
        }
        let mine: Vec<_> = clients.iter().map(Peer::ends).collect();
        proxy.connections_until("all hellos are waited for", |live| {
            let waits = |live: &&serde_json::Value| {
                live["state"] == "sniffing" && mine.iter().any(|client| client.are_of(live))
            };
            live.iter().filter(waits).count() == mine.len()
        });
        for (mut client, (number, (_, second))) in clients.into_iter().zip(batch) {
            client.send(second);
            finish(client, *number);
        }
    }
}

#[test]
fn a_hello_split_at_any_byte_reaches_its_route_through_passthrough() {
    let (raw, echo) = (Target::echo(), Target::echo());
    let proxy = Proxy::start(&config(&raw, &echo));
    // The kind without the large key share at every byte, the post-quantum kind at every 16th.
    let small = small_hello();
    let splits = (1..small.len()).map(|at| (small[..at].to_vec(), small[at..].to_vec()));
    let large = (1..HELLO.len()).step_by(16).map(|at| (HELLO[..at].to_vec(), HELLO[at..].to_vec()));
    let splits: Vec<_> = splits.chain(large).collect();
    assert!(HELLO.len() > 1200, "the hello has a post-quantum key share");
    in_two(&proxy, proxy.address("127.0.0.2"), &splits, |mut client, number| {
        let (first, second) = &splits[number];
        client.expect(first);
        client.expect(second);
        client.finish();
        assert_eq!(client.end(), End::Whole);
    });
    proxy.finish();
}

#[test]
fn a_hello_split_at_any_byte_is_terminated() {
    let (raw, echo) = (Target::echo(), Target::echo());
    let proxy = Proxy::start(&config(&raw, &echo));
    let address = proxy.address("127.0.0.3");
    let length = opened(&rustls::version::TLS12).1.len();
    let cuts: Vec<_> = (1..length).collect();
    for batch in cuts.chunks(BATCH) {
        let mut clients: Vec<_> =
            batch.iter().map(|cut| (Peer::connect(address), opened(&rustls::version::TLS12), *cut)).collect();
        for (client, (_, hello), cut) in &mut clients {
            client.send(&hello[..*cut]);
        }
        proxy.connections_until("all hellos are waited for", |live| {
            live.iter().filter(|live| live["state"] == "sniffing").count() == clients.len()
        });
        for (mut client, (connection, hello), cut) in clients {
            client.send(&hello[cut..]);
            let mut client = client.go_on(connection);
            client.send(b"ping");
            client.expect(b"ping");
            client.finish();
            assert_eq!(client.end(), End::Whole);
        }
    }
    proxy.finish();
}

#[test]
fn a_hello_split_over_tls_records_reaches_its_route_and_is_terminated() {
    let (raw, echo) = (Target::echo(), Target::echo());
    let proxy = Proxy::start(&config(&raw, &echo));
    for size in [1, 2, 3, 7, 100, 500, 1000] {
        let hello = reframed(&HELLO, size);
        let mut client = Peer::connect(proxy.address("127.0.0.2"));
        client.send(&hello);
        client.expect(&hello);
        client.finish();
        assert_eq!(client.end(), End::Whole);
        let (connection, hello) = opened(&rustls::version::TLS13);
        let mut client = Peer::connect(proxy.address("127.0.0.3"));
        client.send(&reframed(&hello, size.max(40)));
        let mut client = client.go_on(connection);
        client.send(b"ping");
        client.expect(b"ping");
        client.finish();
        assert_eq!(client.end(), End::Whole);
    }
    proxy.finish();
}

#[test]
fn a_hello_of_64_kib_is_taken_and_one_byte_more_is_not() {
    let (raw, echo) = (Target::echo(), Target::echo());
    let proxy = Proxy::start(&config(&raw, &echo));
    for way in ["127.0.0.2", "127.0.0.3"] {
        let mut client = Peer::connect(proxy.address(way));
        let address = client.ends();
        client.send_what_is_taken(&padded_hello(HELLO_LENGTH_MAX + 1));
        assert_ne!(client.rest().1, End::Silence);
        let line = proxy.line_of(address);
        assert_eq!((line["phase"].as_str(), line["cause"].as_str()), (Some("sniff"), Some("hello_too_large")));
    }
    let hello = padded_hello(HELLO_LENGTH_MAX);
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    client.send(&hello);
    client.expect(&hello);
    client.finish();
    assert_eq!(client.end(), End::Whole);
    proxy.finish();
}

#[test]
fn a_tls_client_without_a_route_gets_the_alert_unrecognized_name() {
    let (raw, echo) = (Target::echo(), Target::echo());
    let proxy = Proxy::start(&config(&raw, &echo));
    for ip in ["127.0.0.2", "127.0.0.3"] {
        let client = Peer::connect(proxy.address(ip));
        let address = client.ends();
        let refused = client.try_tls("elsewhere.test", &CERTIFICATES.client(&[])).err().unwrap();
        assert!(refused.to_string().contains("UnrecognisedName"), "{refused}");
        let line = proxy.line_of(address);
        assert_eq!((line["phase"].as_str(), line["cause"].as_str()), (Some("route"), Some("no_route")));
        assert_eq!(line["host"], "elsewhere.test");
    }
    assert_eq!((raw.accepted(), echo.accepted()), (0, 0));
    proxy.finish();
}

/// A client of one version, and its hello.
fn opened(version: &'static rustls::SupportedProtocolVersion) -> (Connection, Vec<u8>) {
    let name = ServerName::try_from(HOST).unwrap();
    let mut connection = ClientConnection::new(CERTIFICATES.client_of(&[version]), name).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    (connection.into(), hello)
}

/// A hello without key shares.
fn small_hello() -> Vec<u8> {
    opened(&rustls::version::TLS12).1
}

/// The same message in records of so many bytes.
fn reframed(hello: &[u8], size: usize) -> Vec<u8> {
    // One record, as rustls sends it: five bytes of header.
    let record = |chunk: &[u8]| [&[22, 3, 1][..], &(chunk.len() as u16).to_be_bytes(), chunk].concat();
    hello[5..].chunks(size).flat_map(record).collect()
}

/// A hello for [`HOST`] whose message, with its header, has exactly so many bytes, in records of the largest size.
fn padded_hello(length: usize) -> Vec<u8> {
    let extension =
        |kind: u16, body: &[u8]| [&kind.to_be_bytes()[..], &(body.len() as u16).to_be_bytes(), body].concat();
    let name = [&[0][..], &(HOST.len() as u16).to_be_bytes(), HOST.as_bytes()].concat();
    let names = [&(name.len() as u16).to_be_bytes()[..], &name].concat();
    let mut extensions = extension(0, &names);
    extensions.extend(extension(43, &[2, 3, 4]));
    // Version, random, an empty session id, and the null compression; what is left over is cipher suites and padding,
    // since neither list alone may be so long.
    let fixed = 4 + 2 + 32 + 1 + 2 + 2 + 2;
    let mut left = length - fixed - extensions.len() - 4;
    let suites = left.min(20_000) & !1;
    left -= suites;
    extensions.extend(extension(21, &vec![0; left]));
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(0);
    body.extend((suites as u16).to_be_bytes());
    body.extend([0x13, 0x01].repeat(suites / 2));
    body.extend([1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut message = vec![1];
    message.extend(&(body.len() as u32).to_be_bytes()[1..]);
    message.extend(body);
    assert_eq!(message.len(), length);
    reframed(&[&[0; 5][..], &message].concat(), 16_384)
}
