//! `cargo +nightly fuzz run http1_response fuzz/corpus/http1_response fuzz/seeds/http1_response`
#![no_main]

#[path = "../properties/http1_fields.rs"]
mod http1_fields;
#[path = "../properties/http1_response.rs"]
mod http1_response;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| http1_response::check(bytes));
