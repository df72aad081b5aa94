//! The seeds of the fuzz targets, and mutations of them, on stable Rust.

#[path = "../../fuzz/properties/client_hello.rs"]
mod client_hello;
#[path = "../../fuzz/properties/preface.rs"]
mod preface;
#[path = "../../fuzz/properties/proxy_header.rs"]
mod proxy_header;

use std::path::Path;
use std::sync::LazyLock;

pub(crate) use client_hello::check as client_hello;
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

static ALL: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| ["client_hello", "proxy_header", "preface"].into_iter().flat_map(seeds).collect());

#[test]
fn every_seed_keeps_every_property() {
    for bytes in ALL.iter() {
        client_hello(bytes);
        proxy_header(bytes);
        preface(bytes);
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
        client_hello(&bytes);
        proxy_header(&bytes);
        preface(&bytes);
    }
}
