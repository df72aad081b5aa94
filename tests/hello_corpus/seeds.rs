//! The seeds of the fuzz targets, and mutations of them, on stable Rust.

#[path = "../../fuzz/properties/client_hello.rs"]
mod client_hello;
#[path = "../../fuzz/properties/http1_chunks.rs"]
mod http1_chunks;
#[path = "../../fuzz/properties/http1_fields.rs"]
mod http1_fields;
#[path = "../../fuzz/properties/http1_request.rs"]
mod http1_request;
#[path = "../../fuzz/properties/http1_response.rs"]
mod http1_response;
#[path = "../../fuzz/properties/preface.rs"]
mod preface;
#[path = "../../fuzz/properties/proxy_header.rs"]
mod proxy_header;

use std::path::Path;
use std::sync::LazyLock;

pub(crate) use client_hello::check as client_hello;
use http1_chunks::check as http1_chunks;
use http1_request::check as http1_request;
use http1_response::check as http1_response;
use preface::check as preface;
use proptest::prelude::*;
use proxy_header::check as proxy_header;

/// The seeds of one target: raw bytes, one file each.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

const TARGETS: [&str; 6] =
    ["client_hello", "proxy_header", "preface", "http1_request", "http1_response", "http1_chunks"];

static ALL: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| TARGETS.into_iter().flat_map(seeds).collect());

/// Every property, whatever the bytes were meant to be.
fn check(bytes: &[u8]) {
    client_hello(bytes);
    proxy_header(bytes);
    preface(bytes);
    http1_request(bytes);
    http1_response(bytes);
    http1_chunks(bytes);
}

#[test]
fn every_seed_keeps_every_property() {
    for bytes in ALL.iter() {
        check(bytes);
    }
}

proptest! {
    #[test]
    fn every_mutation_of_a_seed_keeps_every_property(
        seed in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5),
        cut in any::<prop::sample::Index>(),
        behind in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut bytes = ALL[seed.index(ALL.len())].clone();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.truncate(bytes.len() - cut.index(bytes.len()) / 8);
        bytes.extend(behind);
        check(&bytes);
    }
}
