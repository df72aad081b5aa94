//! `cargo +nightly fuzz run http1_request fuzz/corpus/http1_request fuzz/seeds/http1_request`
#![no_main]

#[path = "../properties/http1_fields.rs"]
mod http1_fields;
#[path = "../properties/http1_request.rs"]
mod http1_request;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| http1_request::check(bytes));
