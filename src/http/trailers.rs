use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, COOKIE,
    EXPECT, FORWARDED, HOST, HeaderName, MAX_FORWARDS, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RANGE, SET_COOKIE, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE, WWW_AUTHENTICATE,
};
use http_body::Frame;

use super::forwarded;
use crate::head::Headers;

/// Fields that decide framing, routing or who is believed, and so may not come after the fact (RFC 9110 section 6.5.1).
const FORBIDDEN: [HeaderName; 21] = [
    AUTHORIZATION,
    CACHE_CONTROL,
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    COOKIE,
    EXPECT,
    FORWARDED,
    HOST,
    MAX_FORWARDS,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    RANGE,
    SET_COOKIE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    WWW_AUTHENTICATE,
];

/// The frame, without the trailer fields that have no business there.
pub(super) fn filtered(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(trailers) => {
            let mut trailers = Headers::from(trailers);
            for name in &FORBIDDEN {
                trailers.remove(name);
            }
            for name in ["keep-alive", "proxy-connection", "x-request-id"] {
                trailers.remove(name);
            }
            forwarded::forbid_claims(&mut trailers);
            Frame::trailers(trailers.into())
        }
        Err(frame) => frame,
    }
}
