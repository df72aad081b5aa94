//! `cargo +nightly fuzz run preface fuzz/corpus/preface fuzz/seeds/preface`
#![no_main]

#[path = "../properties/preface.rs"]
mod preface;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| preface::check(bytes));
