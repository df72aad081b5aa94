//! Checked by the fuzz target, and on stable Rust by `tests/hello_corpus`.

use bytes::BytesMut;
use http::{Method, StatusCode};
use smartproxy::http::codec::encode::{self, ResponseFraming};
use smartproxy::http::codec::{FIELDS_MAX, HeadFault, HeadLimits, HeadScan, Length, ReasonPhrase, ResponseHead};

use super::http1_fields::{same_fields, unframed};

/// Small, so that it is met.
const LIMITS: HeadLimits = HeadLimits { head: 2048, target: 0 };

type Told = Result<Option<(ResponseHead, usize)>, HeadFault>;

/// A head comes to the same whole, in two halves and a byte at a time; httparse reads what is accepted alike, and it can
/// be written and read again.
pub(crate) fn check(bytes: &[u8]) {
    for asked in [Method::GET, Method::HEAD, Method::CONNECT] {
        let at_once = read(&[bytes], &asked);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        let (left, right) = bytes.split_at(bytes.len() / 2);
        for told in [read(&single, &asked), read(&[left, right], &asked)] {
            assert_eq!(format!("{told:?}"), format!("{at_once:?}"));
        }
        if let Ok(Some((head, length))) = at_once {
            assert!(length <= LIMITS.head && head.parts.headers.len() <= FIELDS_MAX);
            assert!(asked != Method::HEAD || head.length == Length::Empty);
            same_by_httparse(&bytes[..length], &head);
            same_when_written(&head, &asked);
        }
    }
}

fn read(pieces: &[&[u8]], asked: &Method) -> Told {
    let (mut scan, mut buffer, mut fed) = (HeadScan::default(), BytesMut::new(), 0);
    for piece in pieces {
        buffer.extend_from_slice(piece);
        fed += piece.len();
        if let Some(head) = scan.response(&mut buffer, &LIMITS, asked)? {
            return Ok(Some((head, fed - buffer.len())));
        }
        assert!(buffer.len() < LIMITS.head, "more is asked for than may be there");
    }
    Ok(None)
}

fn same_by_httparse(bytes: &[u8], head: &ResponseHead) {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    assert_eq!(response.parse(bytes), Ok(httparse::Status::Complete(bytes.len())));
    assert_eq!(response.code, Some(head.parts.status.as_u16()));
    assert_eq!(response.version, Some(u8::from(head.parts.version == http::Version::HTTP_11)));
    same_fields(response.headers, &head.parts.headers);
}

fn same_when_written(head: &ResponseHead, asked: &Method) {
    let ResponseHead { parts, length, .. } = head;
    let reason = parts.extensions.get::<ReasonPhrase>();
    let mut wire = BytesMut::new();
    let framing = ResponseFraming { length: *length, declared: None, connection: None };
    let reason = reason.map(ReasonPhrase::as_bytes);
    encode::response_head(&mut wire, parts.status, reason, &parts.headers, framing);
    let limits = HeadLimits { head: usize::MAX, target: 0 };
    let again = HeadScan::default().response(&mut wire, &limits, asked).unwrap().unwrap();
    assert!(wire.is_empty());
    assert_eq!((again.parts.status, again.length), (parts.status, *length));
    assert_eq!(again.parts.extensions.get::<ReasonPhrase>().map(ReasonPhrase::as_bytes), reason);
    assert_eq!(unframed(&again.parts.headers), unframed(&parts.headers));
    let bodiless = parts.status.is_informational() || parts.status == StatusCode::NO_CONTENT;
    assert!(!bodiless || again.parts.headers == unframed(&parts.headers), "no length where none may be");
}
