//! Checked by the fuzz target, and on stable Rust by `tests/hello_corpus.rs`.

use smartproxy::sniff::{Preface, Progress};

/// What a connection's first bytes look like is final once it is told.
pub(crate) fn check(bytes: &[u8]) {
    let at_once = Preface::read(bytes);
    for end in 0..bytes.len() {
        let early = Preface::read(&bytes[..end]);
        assert!(early == Progress::NeedMore || early == at_once);
    }
}
