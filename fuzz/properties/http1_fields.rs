//! What the properties of requests and responses have in common.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use smartproxy::head::Headers;

/// The same names and values in the same order.
pub(crate) fn same_fields(read: &[httparse::Header<'_>], headers: &Headers) {
    let ours = headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes()));
    assert!(read.iter().map(|field| (field.name.to_ascii_lowercase(), field.value)).eq(ours));
}

/// The fields but for those that say the length.
pub(crate) fn unframed(headers: &Headers) -> Headers {
    let mut headers = headers.clone();
    headers.remove(CONTENT_LENGTH);
    headers.remove(TRANSFER_ENCODING);
    headers
}
