//! `cargo +nightly fuzz run http1_chunks fuzz/corpus/http1_chunks fuzz/seeds/http1_chunks`
#![no_main]

#[path = "../properties/http1_chunks.rs"]
mod http1_chunks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| http1_chunks::check(bytes));
