//! Checked by the fuzz target, and on stable Rust by `tests/hello_corpus.rs`.

use smartproxy::sniff::{HelloReader, Progress};

/// Every reading of a ClientHello, fed whole, in two halves and a byte at a time, comes to the same answer.
pub(crate) fn check(bytes: &[u8]) {
    let at_once = HelloReader::new().advance(bytes);

    let mut reader = HelloReader::new();
    let (mut bytewise, mut length) = (Ok(Progress::NeedMore), 0);
    for end in 0..=bytes.len() {
        (bytewise, length) = (reader.advance(&bytes[..end]), end);
        if bytewise != Ok(Progress::NeedMore) {
            break;
        }
    }
    assert_eq!(bytewise, at_once);
    // No byte behind the deciding one was looked at, and asking again changes nothing.
    assert_eq!(HelloReader::new().advance(&bytes[..length]), at_once);
    assert_eq!(reader.advance(bytes), at_once);

    let mut reader = HelloReader::new();
    let half = reader.advance(&bytes[..length / 2]);
    assert!(length == 0 || half == Ok(Progress::NeedMore));
    assert_eq!(reader.advance(bytes), at_once);
}
