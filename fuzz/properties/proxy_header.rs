//! Checked by the fuzz target, and on stable Rust by `tests/hello_corpus.rs`.

use smartproxy::sniff::{Progress, ProxyHeader, ProxyHeaderFound, ProxyVersion};

/// A PROXY header needs more until its last byte; what it says can be written and read again.
pub(crate) fn check(bytes: &[u8]) {
    let at_once = ProxyHeader::read(bytes);
    for end in 0..bytes.len() {
        let early = ProxyHeader::read(&bytes[..end]);
        assert!(early == Ok(Progress::NeedMore) || early == at_once);
    }
    if let Ok(Progress::Done(Some(ProxyHeaderFound { header, length }))) = at_once {
        for end in 0..length {
            assert_eq!(ProxyHeader::read(&bytes[..end]), Ok(Progress::NeedMore));
        }
        for version in [ProxyVersion::V1, ProxyVersion::V2] {
            let mut again = Vec::new();
            header.encode(version, &mut again);
            let length = again.len();
            // Version 1 has one word for what is local and what is unknown.
            let header = match (version, header) {
                (ProxyVersion::V1, ProxyHeader::Local) => ProxyHeader::Unknown,
                (ProxyVersion::V1 | ProxyVersion::V2, header) => header,
            };
            assert_eq!(ProxyHeader::read(&again), Ok(Progress::Done(Some(ProxyHeaderFound { header, length }))));
        }
    }
}
