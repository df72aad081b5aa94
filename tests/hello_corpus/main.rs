//! ClientHellos of real clients, made when the test runs, through our parser and through rustls'.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that meets the unforeseen has failed")]
mod framing;
mod openssl;
mod rustls_client;
mod seeds;

use std::io::Read;

use framing::{Paced, padded, records};
use proptest::prelude::*;
use rustls::server::Acceptor;
use smartproxy::route::TlsVersion;
use smartproxy::sniff::{ClientHello, HELLO_LENGTH_MAX, HelloFault, HelloReader, Progress};

/// The longest that RFC 8446 section 5.1 allows.
const RECORD_LENGTH_MAX: usize = 1 << 14;

/// A recorded first flight, and what its maker put in.
struct Sample {
    name: &'static str,
    wire: Vec<u8>,
    server_name: Option<&'static str>,
    alpn: Vec<Vec<u8>>,
    tls_versions: &'static [TlsVersion],
    ech: bool,
}

/// What both parsers tell of a hello.
#[derive(Debug, PartialEq)]
struct Told {
    server_name: Option<String>,
    alpn: Vec<Vec<u8>>,
}

fn ours(wire: &[u8]) -> Result<Progress<ClientHello>, HelloFault> {
    HelloReader::new().advance(wire)
}

fn told(hello: &ClientHello) -> Told {
    Told {
        server_name: hello.server_name.as_ref().map(ToString::to_string),
        alpn: hello.alpn.iter().map(|name| name.to_vec()).collect(),
    }
}

/// What rustls makes of it, or `None` where it refuses or needs more.
fn told_by_rustls(mut wire: &[u8]) -> Option<Told> {
    let mut acceptor = Acceptor::default();
    loop {
        if let Some(accepted) = acceptor.accept().ok()? {
            let hello = accepted.client_hello();
            return Some(Told {
                // rustls keeps the final dot.
                server_name: hello.server_name().map(|name| name.strip_suffix('.').unwrap_or(name).to_owned()),
                alpn: hello.alpn().into_iter().flatten().map(<[u8]>::to_vec).collect(),
            });
        }
        if acceptor.read_tls(wire.by_ref()).ok()? == 0 {
            return None;
        }
    }
}

/// Checks what our parser tells of a sample against its maker's intent and against rustls, in every framing and pace.
fn check(sample: &Sample) {
    let name = sample.name;
    let Ok(Progress::Done(hello)) = ours(&sample.wire) else { panic!("{name}: {:?}", ours(&sample.wire)) };
    let intended = Told { server_name: sample.server_name.map(str::to_owned), alpn: sample.alpn.clone() };
    assert_eq!(told(&hello), intended, "{name}");
    assert_eq!(told_by_rustls(&sample.wire), Some(intended), "{name}");
    assert_eq!((hello.tls_versions, hello.ech), (sample.tls_versions, sample.ech), "{name}");

    let message = framing::message(&sample.wire);
    check_splits(name, &sample.wire, &hello, 1);
    let mut framings = Vec::new();
    for pace in [Paced::Every(1), Paced::Every(7), Paced::Random(1), Paced::Random(2), Paced::Random(3)] {
        if pace.records(message.len()) <= smartproxy::sniff::RECORDS_MAX {
            framings.push(records(&message, pace));
        }
    }
    for wire in framings {
        assert_eq!(ours(&wire), Ok(Progress::Done(hello.clone())), "{name}");
        // rustls buffers 64 KiB of records at most.
        if wire.len() < HELLO_LENGTH_MAX {
            assert_eq!(told_by_rustls(&wire), Some(told(&hello)), "{name}");
        }
        check_splits(name, &wire, &hello, 1 + wire.len() / 500);
        seeds::client_hello(&wire);
    }

    let longest = records(&padded(&message, HELLO_LENGTH_MAX), Paced::Every(RECORD_LENGTH_MAX));
    assert_eq!(ours(&longest), Ok(Progress::Done(hello.clone())), "{name}");
    let above = records(&padded(&message, HELLO_LENGTH_MAX + 1), Paced::Every(RECORD_LENGTH_MAX));
    assert_eq!(ours(&above), Err(HelloFault::TooLarge), "{name}");
    let common = records(&padded(&message, 40_000), Paced::Every(RECORD_LENGTH_MAX));
    assert_eq!(ours(&common), Ok(Progress::Done(hello.clone())), "{name}");
    assert_eq!(told_by_rustls(&common), Some(told(&hello)), "{name}");
}

/// In two pieces, split at every `step`th byte: the first needs more, both are the hello.
fn check_splits(name: &str, wire: &[u8], hello: &ClientHello, step: usize) {
    for split in (0..wire.len()).step_by(step) {
        let mut reader = HelloReader::new();
        assert_eq!(reader.advance(&wire[..split]), Ok(Progress::NeedMore), "{name} at {split}");
        assert_eq!(reader.advance(wire), Ok(Progress::Done(hello.clone())), "{name} at {split}");
    }
}

#[test]
fn hellos_of_rustls_are_read_as_rustls_reads_them() {
    for sample in rustls_client::samples() {
        check(&sample);
    }
}

#[tokio::test]
async fn hellos_of_openssl_are_read_as_rustls_reads_them() {
    for sample in openssl::samples().await {
        check(&sample);
    }
}

proptest! {
    /// rustls refuses more than we do (it also looks at what routing does not ask for), but never the reverse: what a
    /// terminating route could serve is never lost here.
    #[test]
    fn whatever_rustls_takes_of_a_changed_hello_we_read_alike(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        seed in any::<u64>(),
    ) {
        let samples = rustls_client::small_samples();
        let mut message = framing::message(&samples[which.index(samples.len())].wire);
        for (place, byte) in changes {
            let place = place.index(message.len());
            message[place] = byte;
        }
        let wire = records(&message, Paced::Random(seed));
        seeds::client_hello(&wire);
        if let Some(told_by_rustls) = told_by_rustls(&wire) {
            match ours(&wire) {
                Ok(Progress::Done(hello)) => prop_assert_eq!(told(&hello), told_by_rustls),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
