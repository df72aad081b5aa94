//! Checked by the fuzz target, and on stable Rust by `tests/hello_corpus`.

use bytes::BytesMut;
use http::Method;
use smartproxy::http::codec::encode;
use smartproxy::http::codec::{FIELDS_MAX, HeadFault, HeadLimits, HeadScan, Length, RequestHead};

use super::http1_fields::{same_fields, unframed};

/// Small, so that they are met.
const LIMITS: HeadLimits = HeadLimits { head: 2048, target: 256 };

type Told = Result<Option<(RequestHead, usize)>, HeadFault>;

/// A head comes to the same whole, in two halves and a byte at a time; httparse reads what is accepted alike, and it can
/// be written and read again.
pub(crate) fn check(bytes: &[u8]) {
    let at_once = read(&[bytes]);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    let (left, right) = bytes.split_at(bytes.len() / 2);
    for told in [read(&single), read(&[left, right])] {
        assert_eq!(format!("{told:?}"), format!("{at_once:?}"));
    }
    if let Ok(Some((head, length))) = at_once {
        assert!(length <= LIMITS.head && head.parts.headers.len() <= FIELDS_MAX);
        assert_ne!(head.length, Length::UntilClose);
        same_by_httparse(&bytes[..length], &head);
        same_when_written(&head);
    }
}

fn read(pieces: &[&[u8]]) -> Told {
    let (mut scan, mut buffer, mut fed) = (HeadScan::default(), BytesMut::new(), 0);
    for piece in pieces {
        buffer.extend_from_slice(piece);
        fed += piece.len();
        if let Some(head) = scan.request(&mut buffer, &LIMITS)? {
            return Ok(Some((head, fed - buffer.len())));
        }
        assert!(buffer.len() < LIMITS.head, "more is asked for than may be there");
    }
    Ok(None)
}

fn same_by_httparse(bytes: &[u8], head: &RequestHead) {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    assert_eq!(request.parse(bytes), Ok(httparse::Status::Complete(bytes.len())));
    assert_eq!(request.method, Some(head.parts.method.as_str()));
    let target = request.path.unwrap();
    assert!(target.len() <= LIMITS.target);
    assert_eq!(target.parse::<http::Uri>().unwrap(), head.parts.uri);
    assert_eq!(request.version, Some(u8::from(head.parts.version == http::Version::HTTP_11)));
    same_fields(request.headers, &head.parts.headers);
}

fn same_when_written(head: &RequestHead) {
    let RequestHead { parts, length, .. } = head;
    let mut wire = BytesMut::new();
    encode::request_head(&mut wire, parts, *length);
    let limits = HeadLimits { head: usize::MAX, target: usize::MAX };
    let again = HeadScan::default().request(&mut wire, &limits).unwrap().unwrap();
    assert!(wire.is_empty());
    assert_eq!((&again.parts.method, again.length), (&parts.method, *length));
    let path = |uri: &http::Uri| match uri.path_and_query() {
        Some(path) if path.path().is_empty() => format!("/{path}"),
        Some(path) => path.to_string(),
        None => uri.to_string(),
    };
    assert!(parts.method == Method::CONNECT || path(&again.parts.uri) == path(&parts.uri));
    assert_eq!(unframed(&again.parts.headers), unframed(&parts.headers));
}
