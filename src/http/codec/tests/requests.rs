use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n";

fn fault(bytes: impl AsRef<[u8]>) -> HeadFault {
    request(bytes).expect_err("it is refused")
}

fn sound(bytes: impl AsRef<[u8]>) -> Request {
    request(bytes).expect("it is sound").expect("it is whole")
}

#[test]
fn a_request_is_taken_apart() {
    let head = sound(
        "POST /a/b?c=%20d HTTP/1.1\r\nHost: a.test:80\r\nX-Empty:\r\nX-Blank: \t \r\nx-two:1\r\nX-TWO: \t2 3\t \r\n\
         X-High: caf\u{e9}\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\nhello",
    );
    assert_eq!((head.method.as_str(), head.uri.to_string()), ("POST", "/a/b?c=%20d".into()));
    assert_eq!((head.version, head.length), (Version::HTTP_11, Length::Known(5)));
    assert!(head.keep_alive && head.expects_continue);
    assert_eq!(head.headers["host"], "a.test:80");
    assert_eq!((head.headers["x-empty"].len(), head.headers["x-blank"].len()), (0, 0));
    assert_eq!(head.headers.get_all("x-two").collect::<Vec<_>>(), ["1", "2 3"]);
    assert_eq!(head.headers["x-high"].as_bytes(), "caf\u{e9}".as_bytes());
    assert_eq!(head.headers["content-length"], "5");
    assert_eq!(head.headers.len(), 8);
    assert!(sound("GET / HTTP/1.1\r\n\r\n").headers.is_empty());
}

#[test]
fn a_head_that_is_not_whole_needs_more() {
    let whole = format!("{GET}X: y\r\n\r\n");
    for end in 0..whole.len() {
        assert_eq!(request(&whole[..end]), Ok(None), "{end}");
    }
    assert!(request(whole).is_ok_and(|head| head.is_some()));
}

#[test]
fn only_the_head_is_taken_and_the_next_may_follow() {
    let mut buffer = BytesMut::from(&b"GET /1 HTTP/1.1\r\n\r\n\r\nGET /2 HTTP/1.1\r\nA: b\r\n\r\nrest"[..]);
    let mut scan = HeadScan::default();
    for path in ["/1", "/2"] {
        let head = scan.request(&mut buffer, &WIDE).unwrap().unwrap();
        assert_eq!(head.parts.uri.path(), path);
    }
    assert_eq!(&buffer[..], b"rest");
}

#[test]
fn empty_lines_in_front_are_passed_over_and_are_no_begin() {
    assert_eq!(sound(format!("\r\n\r\n{GET}\r\n")).headers.len(), 1);
    let (mut scan, mut buffer) = (HeadScan::default(), BytesMut::new());
    for byte in b"\r\n\r\n\r" {
        buffer.extend_from_slice(&[*byte]);
        assert!(scan.request(&mut buffer, &WIDE).unwrap().is_none());
        assert!(!scan.begun());
    }
    buffer.extend_from_slice(b"\nG");
    assert!(scan.request(&mut buffer, &WIDE).unwrap().is_none());
    assert!(scan.begun());
    assert_eq!(&buffer[..], b"G");
}

#[test]
fn lines_that_are_none_are_refused_as_soon_as_they_are_there() {
    for (bytes, reason) in [
        ("\n", HeadFault::BareLf),
        ("\r\n\n", HeadFault::BareLf),
        ("GET / HTTP/1.1\n", HeadFault::BareLf),
        ("GET / HTTP/1.1\r\nA: b\n", HeadFault::BareLf),
        ("GET / HTTP/1.1\r\nA: b\r\n\n", HeadFault::BareLf),
        ("\r\r", HeadFault::BareCr),
        ("\rG", HeadFault::BareCr),
        ("GET / HTTP/1.1\r\r", HeadFault::BareCr),
        ("GET / HTTP/1.1\r\nA: b\rc", HeadFault::BareCr),
        ("GET / HTTP/1.1\r\nA: b\r\n\rc", HeadFault::BareCr),
        ("\0", HeadFault::Nul),
        ("GET / HTTP/1.1\r\nA: b\0", HeadFault::Nul),
        ("GET / HTTP/1.1\r\nA\0", HeadFault::Nul),
        ("\x16\x03\x01", HeadFault::Control),
        ("GET / HTTP/1.1\r\nA: b\x0b", HeadFault::Control),
        ("GET / HTTP/1.1\r\nA: \x1b", HeadFault::Control),
        ("GET / HTTP/1.1\r\nA: b\r\n c\r\n", HeadFault::Folded),
        ("GET / HTTP/1.1\r\nA: b\r\n\t\r\n", HeadFault::Folded),
        ("GET / HTTP/1.1\r\n A: b\r\n", HeadFault::Folded),
    ] {
        assert_eq!(fault(bytes), reason, "{bytes:?}");
        assert_eq!(reason.status(), StatusCode::BAD_REQUEST);
    }
}

#[test]
fn request_lines_are_judged_as_soon_as_they_end() {
    for (line, reason) in [
        ("GET", HeadFault::RequestLine),
        ("GET ", HeadFault::RequestLine),
        ("GET /", HeadFault::RequestLine),
        (" GET / HTTP/1.1", HeadFault::RequestLine),
        ("GET  / HTTP/1.1", HeadFault::RequestLine),
        ("GET /  HTTP/1.1", HeadFault::RequestLine),
        ("GET / HTTP/1.1 ", HeadFault::RequestLine),
        ("GET /a b HTTP/1.1", HeadFault::RequestLine),
        ("GET\t/ HTTP/1.1", HeadFault::Method),
        ("G(T / HTTP/1.1", HeadFault::Method),
        ("G\u{e9}T / HTTP/1.1", HeadFault::Method),
        ("GET: / HTTP/1.1", HeadFault::Method),
        ("GET /\u{e9} HTTP/1.1", HeadFault::TargetByte),
        ("GET /\x7f HTTP/1.1", HeadFault::TargetByte),
        ("GET /a\tb HTTP/1.1", HeadFault::TargetByte),
        ("GET /a#b HTTP/1.1", HeadFault::TargetByte),
        ("GET / ", HeadFault::Version),
        ("GET / http/1.1", HeadFault::Version),
        ("GET / HTTP/1", HeadFault::Version),
        ("GET / HTTP/1.10", HeadFault::Version),
        ("GET / HTTP/1.1\t", HeadFault::Version),
        ("GET / HTTP/01.1", HeadFault::Version),
        ("GET / HTTPS/1.1", HeadFault::Version),
        ("GET / /HTTP/1.1", HeadFault::Version),
        ("GET / HTTP/1.2", HeadFault::OtherVersion),
        ("GET / HTTP/0.9", HeadFault::OtherVersion),
        ("PRI * HTTP/2.0", HeadFault::OtherVersion),
    ] {
        assert_eq!(fault(format!("{line}\r\n")), reason, "{line:?}");
        let status = if reason == HeadFault::OtherVersion { 505 } else { 400 };
        assert_eq!(reason.status(), status);
    }
    assert_eq!(fault(b"GET /\xff HTTP/1.1\r\n"), HeadFault::TargetByte);
}

#[test]
fn targets_have_the_form_that_goes_with_their_method() {
    for (line, told) in [
        ("GET /", "/"),
        ("GET //a", "//a"),
        ("GET /?", "/?"),
        ("GET /a{b}|?c=[d]'", "/a{b}|?c=[d]'"),
        ("get /", "/"),
        ("GET http://a.test", "http://a.test/"),
        ("GET http://a.test?b", "http://a.test/?b"),
        ("GET HTTPS://a.test:8080/b", "https://a.test:8080/b"),
        ("OPTIONS *", "*"),
        ("OPTIONS http://a.test", "http://a.test/"),
        ("CONNECT a.test:443", "a.test:443"),
        ("CONNECT [::1]:443", "[::1]:443"),
    ] {
        assert_eq!(sound(format!("{line} HTTP/1.1\r\n\r\n")).uri.to_string(), told, "{line}");
    }
    for line in [
        "GET a",
        "GET a.test",
        "GET a.test:443",
        "GET *",
        "OPTIONS **",
        "OPTIONS a",
        "GET ftp://a.test/",
        "GET http:/a",
        "GET http://",
        "GET http:///a",
        "GET ://a",
        "GET ?a",
        "CONNECT /",
        "CONNECT *",
        "CONNECT a.test",
        "CONNECT a.test:",
        "CONNECT a.test:99999",
        "CONNECT u@a.test:443",
        "CONNECT http://a.test:443/",
        "CONNECT a.test:443/",
    ] {
        assert_eq!(fault(format!("{line} HTTP/1.1\r\n\r\n")), HeadFault::TargetForm, "{line}");
    }
}

#[test]
fn fields_that_are_none_are_refused() {
    for (field, reason) in [
        ("none", HeadFault::NoColon),
        ("no colon here", HeadFault::NoColon),
        ("A : b", HeadFault::SpaceBeforeColon),
        ("A\t: b", HeadFault::SpaceBeforeColon),
        ("Content-Length : 3", HeadFault::SpaceBeforeColon),
        (": b", HeadFault::FieldName),
        ("A B: c", HeadFault::FieldName),
        ("A(: b", HeadFault::FieldName),
        ("\"A\": b", HeadFault::FieldName),
        ("A\u{e9}: b", HeadFault::FieldName),
        ("A\x7f: b", HeadFault::FieldName),
        ("A: b\x7f", HeadFault::Control),
    ] {
        for after in ["", "A: b\r\n"] {
            assert_eq!(fault(format!("{GET}B: c\r\n{field}\r\n{after}\r\n")), reason, "{field:?}");
        }
        assert_eq!(fault(format!("GET / HTTP/1.1\r\n{field}\r\n\r\n")), reason, "{field:?}");
    }
}

#[test]
fn ambiguous_lengths_are_refused() {
    for (fields, reason) in [
        ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", HeadFault::BothLengths),
        ("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", HeadFault::BothLengths),
        ("Content-Length: 3\r\nContent-Length: 3\r\n", HeadFault::RepeatedLength),
        ("Content-Length: 3\r\ncontent-length: 4\r\n", HeadFault::RepeatedLength),
        ("Content-Length: 3, 3\r\n", HeadFault::ListedLength),
        ("Content-Length: ,3\r\n", HeadFault::ListedLength),
        ("Content-Length: +3\r\n", HeadFault::SignedLength),
        ("Content-Length: -3\r\n", HeadFault::SignedLength),
        ("Content-Length:\r\n", HeadFault::InvalidLength),
        ("Content-Length: 3 3\r\n", HeadFault::InvalidLength),
        ("Content-Length: 0x3\r\n", HeadFault::InvalidLength),
        ("Content-Length: 3a\r\n", HeadFault::InvalidLength),
        ("Content-Length: \u{663}\r\n", HeadFault::InvalidLength),
        ("Content-Length: 00000000000000000003\r\n", HeadFault::LengthOverflow),
        ("Content-Length: 18446744073709551616\r\n", HeadFault::LengthOverflow),
        ("Transfer-Encoding:\r\n", HeadFault::Coding),
        ("Transfer-Encoding: gzip\r\n", HeadFault::Coding),
        ("Transfer-Encoding: gzip, chunked\r\n", HeadFault::Coding),
        ("Transfer-Encoding: chunked, identity\r\n", HeadFault::Coding),
        ("Transfer-Encoding: chunked,\r\n", HeadFault::Coding),
        ("Transfer-Encoding: \"chunked\"\r\n", HeadFault::Coding),
        ("Transfer-Encoding: chunked;a=b\r\n", HeadFault::Coding),
        ("Transfer-Encoding: xchunked\r\n", HeadFault::Coding),
        ("Transfer-Encoding: identity\r\nContent-Length: 3\r\n", HeadFault::Coding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", HeadFault::RepeatedCoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", HeadFault::RepeatedCoding),
    ] {
        assert_eq!(fault(format!("{GET}{fields}\r\n")), reason, "{fields:?}");
    }
    assert_eq!(fault("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), HeadFault::OldCoding);
}

#[test]
fn lengths_that_have_one_meaning_are_taken() {
    for (fields, length) in [
        ("", Length::Empty),
        ("Content-Length: 0\r\n", Length::Known(0)),
        ("Content-Length:\t007 \r\n", Length::Known(7)),
        ("Content-Length: 9999999999999999999\r\n", Length::Known(9_999_999_999_999_999_999)),
        ("transfer-encoding:\tCHUNKED \r\n", Length::Chunked),
    ] {
        assert_eq!(sound(format!("{GET}{fields}\r\n")).length, length, "{fields:?}");
    }
}

#[test]
fn the_connection_goes_on_by_version_and_field() {
    for (version, fields, goes_on) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: x, CLOSE ,y\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ("1.1", "Connection: close\r\nConnection: keep-alive\r\n", false),
        ("1.1", "Connection: closed, \u{e9}\r\n", true),
        ("1.1", "Connection: \u{e9}, close\r\n", false),
        ("1.1", "Proxy-Connection: close\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let head = sound(format!("GET / HTTP/{version}\r\n{fields}\r\n"));
        assert_eq!(head.keep_alive, goes_on, "{version} {fields:?}");
        assert_eq!(head.version == Version::HTTP_11, version == "1.1");
    }
}

#[test]
fn only_a_body_that_is_announced_can_be_waited_for() {
    for (version, fields, waits) in [
        ("1.1", "Expect: 100-continue\r\nContent-Length: 1\r\n", true),
        ("1.1", "Expect: 100-CONTINUE\r\nTransfer-Encoding: chunked\r\n", true),
        ("1.1", "Expect: 100-continue\r\nContent-Length: 0\r\n", false),
        ("1.1", "Expect: 100-continue\r\n", false),
        ("1.1", "Expect: 200-ok\r\nContent-Length: 1\r\n", false),
        ("1.0", "Expect: 100-continue\r\nContent-Length: 1\r\n", false),
    ] {
        let head = sound(format!("POST / HTTP/{version}\r\n{fields}\r\n"));
        assert_eq!(head.expects_continue, waits, "{version} {fields:?}");
    }
}

#[test]
fn a_head_may_be_as_long_as_its_limit_and_no_longer() {
    let head = format!("\r\n{GET}A: b\r\n\r\n");
    let exact = HeadLimits { head: head.len(), ..WIDE };
    assert!(matches!(request_within(head.as_bytes(), &exact), Ok(Some(_))));
    let short = HeadLimits { head: head.len() - 1, ..WIDE };
    assert_eq!(request_within(head.as_bytes(), &short), Err(HeadFault::TooLarge));
    // It is not waited for what could only be too much.
    assert_eq!(request_within(&head.as_bytes()[..short.head], &short), Err(HeadFault::TooLarge));
    assert_eq!(request_within(&head.as_bytes()[..short.head - 1], &short), Ok(None));
    assert_eq!(request_within(&b"\r\n".repeat(50), &HeadLimits { head: 100, ..WIDE }), Err(HeadFault::TooLarge));
    assert_eq!(request_within(&[b'G'; 100], &HeadLimits { head: 100, ..WIDE }), Err(HeadFault::TooLarge));
    assert_eq!(HeadFault::TooLarge.status(), 431);
}

#[test]
fn a_target_may_be_as_long_as_its_limit_and_no_longer() {
    let limits = HeadLimits { target: 100, ..WIDE };
    let line = |length: usize| format!("GET /{} HTTP/1.1\r\n", "a".repeat(length - 1));
    assert_eq!(request_within(line(100).as_bytes(), &limits), Ok(None));
    assert_eq!(request_within(line(101).as_bytes(), &limits), Err(HeadFault::TargetTooLong));
    let small = HeadLimits { head: 50, target: 100 };
    assert_eq!(request_within(line(100).as_bytes(), &small), Err(HeadFault::TargetTooLong));
    let boundless = HeadLimits { head: usize::MAX, target: usize::MAX };
    let head = |length| format!("{}\r\n", line(length));
    assert!(matches!(request_within(head(TARGET_MAX).as_bytes(), &boundless), Ok(Some(_))));
    assert_eq!(request_within(head(TARGET_MAX + 1).as_bytes(), &boundless), Err(HeadFault::TargetTooLong));
    assert_eq!(HeadFault::TargetTooLong.status(), 414);
}

#[test]
fn there_may_be_so_many_fields_and_no_more() {
    let fields = |count: usize| format!("GET / HTTP/1.1\r\n{}", "A: b\r\n".repeat(count));
    assert_eq!(sound(format!("{}\r\n", fields(FIELDS_MAX))).headers.len(), FIELDS_MAX);
    assert_eq!(fault(fields(FIELDS_MAX + 1)), HeadFault::TooManyFields);
    assert_eq!(HeadFault::TooManyFields.status(), 431);
}

/// A head that drips in is not read again from its begin with each byte.
#[test]
fn bytes_that_have_been_seen_are_not_looked_at_again() {
    let (mut scan, mut buffer) = (HeadScan::default(), BytesMut::from("GET / HTTP/1.1\r\n"));
    assert!(scan.request(&mut buffer, &WIDE).unwrap().is_none());
    for byte in *b"Host: a\r\nX-Long: aaaaaaaa\r\nX: y" {
        // Were they looked at again, these would be found; but a CR waits for its LF.
        let seen = buffer.len() - usize::from(buffer.ends_with(b"\r"));
        buffer[..seen].fill(0);
        buffer.extend_from_slice(&[byte]);
        assert!(scan.request(&mut buffer, &WIDE).unwrap().is_none());
    }
}
