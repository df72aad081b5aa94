use super::*;

fn fault(bytes: impl AsRef<[u8]>) -> HeadFault {
    response(bytes, &Method::GET).expect_err("it is refused")
}

fn sound(bytes: impl AsRef<[u8]>, asked: &Method) -> Response {
    response(bytes, asked).expect("it is sound").expect("it is whole")
}

#[test]
fn a_response_is_taken_apart() {
    let head = sound("HTTP/1.1 404 Not Found\r\nServer: a\r\nContent-Length: 5\r\n\r\nhello", &Method::GET);
    assert_eq!((head.status.as_u16(), head.version), (404, Version::HTTP_11));
    assert_eq!((head.headers.len(), &head.headers["server"]), (2, &"a".parse().unwrap()));
    assert_eq!((head.length, head.keep_alive, head.reason), (Length::Known(5), true, None));
}

#[test]
fn a_reason_of_the_targets_own_is_kept() {
    for (line, reason) in [
        ("200 OK", None),
        ("200 Fine", Some(&b"Fine"[..])),
        ("200 ", Some(b"")),
        ("200", Some(b"")),
        ("200  OK", Some(b" OK")),
        ("599 ", Some(b"")),
        ("599 A \tb", Some(b"A \tb")),
        ("404 Caf\u{e9}", Some("Caf\u{e9}".as_bytes())),
    ] {
        let head = sound(format!("HTTP/1.1 {line}\r\n\r\n"), &Method::GET);
        assert_eq!(head.reason.as_ref().map(ReasonPhrase::as_bytes), reason, "{line:?}");
    }
}

#[test]
fn status_lines_are_judged_as_soon_as_they_end() {
    for (line, reason) in [
        ("", HeadFault::Version),
        ("HTTP/1", HeadFault::Version),
        ("http/1.1 200 OK", HeadFault::Version),
        (" HTTP/1.1 200 OK", HeadFault::Version),
        ("ICY 200 OK", HeadFault::Version),
        ("HTTP/1.2 200 OK", HeadFault::OtherVersion),
        ("HTTP/2.0 200 OK", HeadFault::OtherVersion),
        ("HTTP/1.1", HeadFault::Status),
        ("HTTP/1.1 ", HeadFault::Status),
        ("HTTP/1.1  200 OK", HeadFault::Status),
        ("HTTP/1.10 200 OK", HeadFault::Status),
        ("HTTP/1.1\t200 OK", HeadFault::Status),
        ("HTTP/1.1 20", HeadFault::Status),
        ("HTTP/1.1 2000 OK", HeadFault::Status),
        ("HTTP/1.1 099 OK", HeadFault::Status),
        ("HTTP/1.1 20a OK", HeadFault::Status),
        ("HTTP/1.1 +20 OK", HeadFault::Status),
        ("HTTP/1.1 200\tOK", HeadFault::Status),
        ("HTTP/1.1 200 O\x7f", HeadFault::Control),
    ] {
        assert_eq!(fault(format!("{line}\r\n")), reason, "{line:?}");
    }
    assert_eq!(fault("HTTP/1.1 200 OK\n"), HeadFault::BareLf);
    assert_eq!(fault("HTTP/1.1 200 O\rK"), HeadFault::BareCr);
    assert_eq!(fault("HTTP/1.1 200 O\0"), HeadFault::Nul);
    assert_eq!(fault("HTTP/1.1 200 O\x01"), HeadFault::Control);
    for status in [100, 999] {
        assert_eq!(sound(format!("HTTP/1.1 {status} A\r\n\r\n"), &Method::GET).status, status);
    }
}

#[test]
fn fields_are_judged_as_those_of_requests() {
    for (field, reason) in [
        ("A: b\r\n c", HeadFault::Folded),
        (" A: b", HeadFault::Folded),
        ("none", HeadFault::NoColon),
        ("A : b", HeadFault::SpaceBeforeColon),
        (": b", HeadFault::FieldName),
        ("A: b\x7f", HeadFault::Control),
        ("Content-Length: 3\r\nContent-Length: 3", HeadFault::RepeatedLength),
        ("Content-Length: 3, 3", HeadFault::ListedLength),
        ("Content-Length: +3", HeadFault::SignedLength),
        ("Content-Length: x", HeadFault::InvalidLength),
        ("Content-Length: 99999999999999999999", HeadFault::LengthOverflow),
        ("Content-Length: 3\r\nTransfer-Encoding: chunked", HeadFault::BothLengths),
        ("Transfer-Encoding: gzip, chunked", HeadFault::Coding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", HeadFault::RepeatedCoding),
    ] {
        for status in [200, 204, 304] {
            assert_eq!(fault(format!("HTTP/1.1 {status} A\r\n{field}\r\n\r\n")), reason, "{field:?}");
        }
        let head = response(format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n"), &Method::HEAD);
        assert_eq!(head, Err(reason), "{field:?}");
    }
    for asked in [Method::GET, Method::HEAD] {
        let head = response("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &asked);
        assert_eq!(head, Err(HeadFault::OldCoding));
    }
    for status in [100, 101, 103, 204] {
        let head = format!("HTTP/1.1 {status} A\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(fault(head), HeadFault::CodingWithoutBody, "{status}");
    }
}

#[test]
fn the_body_is_delimited_by_status_method_and_fields() {
    const LENGTH: &str = "Content-Length: 3\r\n";
    const CHUNKED: &str = "Transfer-Encoding: Chunked\r\n";
    for (asked, status, fields, length) in [
        (Method::GET, 200, LENGTH, Length::Known(3)),
        (Method::GET, 200, "Content-Length: 0\r\n", Length::Known(0)),
        (Method::GET, 200, CHUNKED, Length::Chunked),
        (Method::GET, 200, "", Length::UntilClose),
        (Method::GET, 205, "", Length::UntilClose),
        (Method::GET, 100, LENGTH, Length::Empty),
        (Method::GET, 101, "", Length::Empty),
        (Method::GET, 204, "", Length::Empty),
        (Method::GET, 204, LENGTH, Length::Empty),
        (Method::GET, 304, LENGTH, Length::Empty),
        (Method::GET, 304, CHUNKED, Length::Empty),
        (Method::HEAD, 200, LENGTH, Length::Empty),
        (Method::HEAD, 200, CHUNKED, Length::Empty),
        (Method::HEAD, 200, "", Length::Empty),
        (Method::HEAD, 404, LENGTH, Length::Empty),
        (Method::CONNECT, 200, LENGTH, Length::Empty),
        (Method::CONNECT, 299, CHUNKED, Length::Empty),
        (Method::CONNECT, 200, "", Length::Empty),
        (Method::CONNECT, 407, LENGTH, Length::Known(3)),
        (Method::CONNECT, 407, "", Length::UntilClose),
    ] {
        let head = sound(format!("HTTP/1.1 {status} A\r\n{fields}\r\n"), &asked);
        assert_eq!(head.length, length, "{asked} {status} {fields:?}");
        assert_eq!(head.keep_alive, length != Length::UntilClose);
    }
    for (version, fields, goes_on) in [
        ("1.1", "Connection: close\r\nContent-Length: 0\r\n", false),
        ("1.0", "Content-Length: 0\r\n", false),
        ("1.0", "Connection: keep-alive\r\nContent-Length: 0\r\n", true),
        ("1.0", "Connection: keep-alive\r\n", false),
    ] {
        let head = sound(format!("HTTP/{version} 200 OK\r\n{fields}\r\n"), &Method::GET);
        assert_eq!(head.keep_alive, goes_on, "{version} {fields:?}");
    }
}

#[test]
fn an_empty_line_before_a_response_is_no_part_of_one() {
    assert_eq!(fault("\r\nHTTP/1.1 200 OK\r\n\r\n"), HeadFault::Version);
}

#[test]
fn limits_hold_for_responses() {
    let head = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
    let within = |limit| {
        let limits = HeadLimits { head: limit, target: 0 };
        HeadScan::default().response(&mut BytesMut::from(head), &limits, &Method::GET).map(|head| head.is_some())
    };
    assert_eq!(within(head.len()), Ok(true));
    assert_eq!(within(head.len() - 1), Err(HeadFault::TooLarge));
    assert_eq!(within(5), Err(HeadFault::TooLarge));
    let fields = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(count));
    assert_eq!(sound(fields(FIELDS_MAX), &Method::GET).headers.len(), FIELDS_MAX);
    assert_eq!(fault(fields(FIELDS_MAX + 1)), HeadFault::TooManyFields);
}
