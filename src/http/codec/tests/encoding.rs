use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::super::encode::{ResponseFraming, chunk_begin, last_chunk, request_head, response_head};
use super::*;
use crate::head::Headers;

const PLAIN: ResponseFraming = ResponseFraming { length: Length::Empty, declared: None, connection: None };

/// Fields that say nothing of the message or the connection.
pub(super) fn headers() -> impl Strategy<Value = Headers> {
    let name = "[a-z0-9!#$%&'*+.^_`|~-]{1,24}".prop_map(|name| name.parse::<HeaderName>().unwrap());
    let standard = prop::sample::select(vec!["host", "accept", "cookie", "user-agent", "content-type"])
        .prop_map(HeaderName::from_static);
    let text = prop_oneof![9 => 0x20_u8..0x7f, 1 => 0x80_u8..=0xff, 1 => Just(b'\t')];
    let value =
        proptest::collection::vec(text, 0..40).prop_map(|value| HeaderValue::from_bytes(value.trim_ascii()).unwrap());
    proptest::collection::vec((prop_oneof![name, standard], value), 0..20).prop_map(|fields| {
        let spoken = ["connection", "content-length", "transfer-encoding", "expect"];
        fields.into_iter().filter(|(name, _)| !spoken.contains(&name.as_str())).fold(
            Headers::new(),
            |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            },
        )
    })
}

fn of(fields: &[(HeaderName, &'static str)]) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in fields {
        headers.append(name.clone(), HeaderValue::from_static(value));
    }
    headers
}

fn parts(method: Method, uri: Uri, headers: &Headers) -> RequestParts {
    RequestParts::new(method, uri, Version::HTTP_11, headers.clone())
}

fn request_text(method: Method, uri: &'static str, headers: &Headers, length: Length) -> String {
    let mut out = BytesMut::new();
    request_head(&mut out, &parts(method, Uri::from_static(uri), headers), length);
    String::from_utf8(out.to_vec()).unwrap()
}

fn response_text(status: u16, reason: Option<&[u8]>, headers: &Headers, framing: ResponseFraming) -> String {
    let mut out = BytesMut::new();
    response_head(&mut out, StatusCode::from_u16(status).unwrap(), reason, headers, framing);
    String::from_utf8(out.to_vec()).unwrap()
}

#[test]
fn a_request_goes_out_in_the_form_that_a_target_expects() {
    for (method, uri, line) in [
        (Method::GET, "/a?b", "GET /a?b"),
        (Method::GET, "http://a.test", "GET /"),
        (Method::GET, "http://a.test?b", "GET /?b"),
        (Method::GET, "http://a.test/b?c", "GET /b?c"),
        (Method::OPTIONS, "*", "OPTIONS *"),
        (Method::CONNECT, "a.test:443", "CONNECT a.test:443"),
        (Method::GET, "a.test:443", "GET /"),
        (Method::CONNECT, "/", "CONNECT /"),
    ] {
        let text = request_text(method, uri, &Headers::new(), Length::Empty);
        assert_eq!(text, format!("{line} HTTP/1.1\r\n\r\n"));
    }
}

#[test]
fn the_length_of_a_request_is_said_once_and_by_the_one_who_sends_the_body() {
    let lying = of(&[(CONTENT_LENGTH, "7"), (CONTENT_LENGTH, "8"), (TRANSFER_ENCODING, "chunked"), (CONNECTION, "te")]);
    let zero = of(&[(CONTENT_LENGTH, "0"), (CONNECTION, "te")]);
    for (headers, length, field) in [
        (&lying, Length::Empty, ""),
        (&zero, Length::Empty, "content-length: 0\r\n"),
        (&lying, Length::Known(0), "content-length: 0\r\n"),
        (&zero, Length::Known(u64::MAX), "content-length: 18446744073709551615\r\n"),
        (&lying, Length::Chunked, "transfer-encoding: chunked\r\n"),
        (&zero, Length::Chunked, "transfer-encoding: chunked\r\n"),
        (&zero, Length::UntilClose, "transfer-encoding: chunked\r\n"),
    ] {
        let text = request_text(Method::POST, "/", headers, length);
        assert_eq!(text, format!("POST / HTTP/1.1\r\nconnection: te\r\n{field}\r\n"), "{length:?}");
    }
}

#[test]
fn the_length_of_a_response_is_said_where_it_may_be() {
    let lying = of(&[(CONTENT_LENGTH, "7"), (TRANSFER_ENCODING, "chunked")]);
    for (status, length, declared, field) in [
        (200, Length::Empty, None, ""),
        (200, Length::Empty, Some(9), "content-length: 9\r\n"),
        (304, Length::Empty, Some(9), "content-length: 9\r\n"),
        (200, Length::Known(10), Some(9), "content-length: 10\r\n"),
        (200, Length::Known(0), None, "content-length: 0\r\n"),
        (200, Length::Chunked, Some(9), "transfer-encoding: chunked\r\n"),
        (200, Length::UntilClose, Some(9), ""),
        (204, Length::Known(0), None, ""),
        (204, Length::Empty, Some(9), ""),
        (204, Length::Chunked, None, ""),
        (101, Length::Empty, Some(0), ""),
    ] {
        let text = response_text(status, None, &lying, ResponseFraming { length, declared, connection: None });
        let line = StatusCode::from_u16(status).unwrap();
        assert_eq!(text, format!("HTTP/1.1 {line}\r\n{field}\r\n"), "{status} {length:?}");
    }
}

#[test]
fn the_connection_is_the_callers_if_it_says_so() {
    let upgrade = of(&[(CONNECTION, "upgrade")]);
    assert_eq!(response_text(200, None, &upgrade, PLAIN), "HTTP/1.1 200 OK\r\nconnection: upgrade\r\n\r\n");
    let close = ResponseFraming { connection: Some("close"), ..PLAIN };
    assert_eq!(response_text(200, None, &upgrade, close), "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
    assert_eq!(response_text(200, None, &Headers::new(), close), "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
}

#[test]
fn a_reason_cannot_end_its_line() {
    for (status, reason, line) in [
        (404, None, "404 Not Found"),
        (599, None, "599 "),
        (200, Some(&b""[..]), "200 "),
        (200, Some(b"Fine \tday"), "200 Fine \tday"),
        (200, Some("Caf\u{e9}".as_bytes()), "200 Caf\u{e9}"),
        (200, Some(b"A\r\nB: c"), "200 OK"),
        (200, Some(b"A\nB: c"), "200 OK"),
        (200, Some(b"A\x7f"), "200 OK"),
    ] {
        assert_eq!(response_text(status, reason, &Headers::new(), PLAIN), format!("HTTP/1.1 {line}\r\n\r\n"));
    }
}

#[test]
fn chunks_are_written() {
    let mut out = BytesMut::new();
    for length in [1, 10, 0x1a, 0xffff, usize::MAX] {
        chunk_begin(&mut out, length);
    }
    last_chunk(&mut out, None);
    last_chunk(&mut out, Some(&of(&[(HeaderName::from_static("a"), "b"), (CONTENT_LENGTH, "1")]).into()));
    assert_eq!(out, format!("1\r\na\r\n1a\r\nffff\r\n{:x}\r\n0\r\n\r\n0\r\na: b\r\n\r\n", usize::MAX));
}

proptest! {
    #[test]
    fn a_request_that_is_written_is_read(
        method in prop_oneof![Just("GET".to_owned()), Just("POST".to_owned()), "[A-Z!$-]{1,20}"],
        target in "/[a-zA-Z0-9/._~%!$&'()*+,;=:@?-]{0,60}",
        headers in headers(),
        length in prop_oneof![Just(Length::Empty), any::<u32>().prop_map(|n| Length::Known(n.into())), Just(Length::Chunked)],
    ) {
        let method: Method = method.parse().unwrap();
        prop_assume!(method != Method::CONNECT);
        let mut wire = BytesMut::new();
        request_head(&mut wire, &parts(method.clone(), target.parse().unwrap(), &headers), length);
        let (mut head, taken) = request_within(&wire, &WIDE).unwrap().unwrap();
        prop_assert_eq!(taken, wire.len());
        head.headers.remove(CONTENT_LENGTH);
        head.headers.remove(TRANSFER_ENCODING);
        prop_assert_eq!((head.method, head.uri.to_string()), (method, target));
        prop_assert_eq!((head.headers, head.length), (headers, length));
    }

    #[test]
    fn a_response_that_is_written_is_read(
        status in 100_u16..=999,
        reason in proptest::option::of("[ -~\t]{0,30}"),
        headers in headers(),
        length in prop_oneof![
            Just(Length::UntilClose),
            any::<u32>().prop_map(|length| Length::Known(length.into())),
            Just(Length::Chunked)
        ],
        close in any::<bool>(),
    ) {
        let mut wire = BytesMut::new();
        let status = StatusCode::from_u16(status).unwrap();
        let framing = ResponseFraming { length, connection: close.then_some("close"), declared: None };
        response_head(&mut wire, status, reason.as_ref().map(String::as_bytes), &headers, framing);
        let mut head = Response::from(HeadScan::default().response(&mut wire, &WIDE, &Method::GET).unwrap().unwrap());
        prop_assert!(wire.is_empty());
        for name in [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION] {
            head.headers.remove(name);
        }
        let bodiless = status.is_informational() || [204, 304].contains(&status.as_u16());
        prop_assert_eq!(head.length, if bodiless { Length::Empty } else { length });
        prop_assert_eq!((head.status, head.headers), (status, headers));
        prop_assert_eq!(head.keep_alive, !close && head.length != Length::UntilClose);
        let own = status.canonical_reason().unwrap_or_default().to_owned();
        let told = head.reason.map_or(own.clone(), |told| String::from_utf8(told.as_bytes().to_vec()).unwrap());
        prop_assert_eq!(told, reason.unwrap_or(own));
    }
}
