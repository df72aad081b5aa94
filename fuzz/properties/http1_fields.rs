//! What the properties of requests and responses have in common.

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};

/// Each name has the same values in the same order.
pub(crate) fn same_fields(read: &[httparse::Header<'_>], headers: &HeaderMap) {
    assert_eq!(read.len(), headers.len());
    for name in headers.keys() {
        let theirs = read.iter().filter(|field| field.name.eq_ignore_ascii_case(name.as_str()));
        assert!(theirs.map(|field| field.value).eq(headers.get_all(name).iter().map(|value| value.as_bytes())));
    }
}

/// The fields but for those that say the length.
pub(crate) fn unframed(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    headers.remove(CONTENT_LENGTH);
    headers.remove(TRANSFER_ENCODING);
    headers
}
