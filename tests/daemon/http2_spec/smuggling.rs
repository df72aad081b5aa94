//! What HTTP/1.1 would take for something else than HTTP/2 does: none of it may reach a target (RFC 9113 sections 8.1.1, 8.2, 8.3 and
//! 10.3). A malformed request is an error of its stream, and may be answered before; the connection may be ended for it, too.

use super::frames::{
    DATA, END_HEADERS, END_STREAM, HEADERS, asks, begins, field, fields, frame, get, get_with, post, post_with,
};
use super::{Answer, Connection, Must, PROTOCOL_ERROR, Row, Stream, hold, row};

/// How a malformed request may be met.
const MALFORMED: &[Must] = &[Stream(1, PROTOCOL_ERROR), Answer(1, 400), Connection(PROTOCOL_ERROR)];

const SCHEME: (&str, &str) = (":scheme", "http");
const PATH: (&str, &str) = (":path", "/");
const AUTHORITY: (&str, &str) = (":authority", "shop.test");
const METHOD: (&str, &str) = (":method", "GET");

fn malformed(section: &'static str, name: &'static str, bytes: Vec<u8>) -> Row {
    row(section, name, bytes, MALFORMED)
}

fn and(name: &[u8], value: &[u8]) -> Vec<u8> {
    asks(&[get(), field(name, value)].concat())
}

fn rows_of_fields() -> Vec<Row> {
    vec![
        malformed("9113 8.2.1", "CR in a value", and(b"x", b"a\rb")),
        malformed("9113 8.2.1", "LF in a value", and(b"x", b"a\nb")),
        malformed(
            "9113 8.2.1",
            "a second request in a value",
            and(b"x", b"a\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: shop.test\r\n\r\n"),
        ),
        malformed("9113 8.2.1", "NUL in a value", and(b"x", b"a\0b")),
        malformed("9113 8.2.1", "an upper-case name", and(b"X-Upper", b"a")),
        malformed("9113 8.2.1", "a space in a name", and(b"x y", b"a")),
        malformed("9113 8.2.1", "a colon in a name", and(b"x: y", b"a")),
        malformed("9113 8.2.1", "CR and LF in a name", and(b"x\r\ntransfer-encoding", b"chunked")),
        malformed("9113 8.2.1", "an empty name", and(b"", b"a")),
        malformed("9113 8.2.1", "a byte above ASCII in a name", and(b"x\xe9", b"a")),
        malformed("9113 8.2.2", "connection", asks(&get_with(&[("connection", "close")]))),
        malformed("9113 8.2.2", "keep-alive", asks(&get_with(&[("keep-alive", "timeout=5")]))),
        malformed("9113 8.2.2", "proxy-connection", asks(&get_with(&[("proxy-connection", "close")]))),
        malformed(
            "9113 8.2.2",
            "transfer-encoding",
            [begins(&post_with(&[("transfer-encoding", "chunked")])), frame(DATA, END_STREAM, 1, b"0\r\n\r\n")]
                .concat(),
        ),
        malformed("9113 8.2.2", "upgrade", asks(&get_with(&[("upgrade", "websocket")]))),
        malformed("9113 8.2.2", "te that is more than trailers", asks(&get_with(&[("te", "trailers, deflate")]))),
        malformed("9113 8.2.2", "te that is gzip", asks(&get_with(&[("te", "gzip")]))),
    ]
}

#[test]
fn fields_that_http_1_1_would_read_in_another_way_never_reach_a_target() {
    hold(&rows_of_fields(), true);
}

fn rows_of_pseudo_fields() -> Vec<Row> {
    let of = |list: &[(&str, &str)]| asks(&fields(list));
    let path = |path: &'static str| of(&[METHOD, SCHEME, (":path", path), AUTHORITY]);
    let authority = |authority: &'static str| of(&[METHOD, SCHEME, PATH, (":authority", authority)]);
    let method = |method: &'static str| of(&[(":method", method), SCHEME, PATH, AUTHORITY]);
    vec![
        malformed(
            "9113 8.3",
            "a pseudo-field that nobody knows",
            of(&[METHOD, SCHEME, PATH, AUTHORITY, (":new", "1")]),
        ),
        malformed("9113 8.3", "a pseudo-field of answers", of(&[METHOD, SCHEME, PATH, AUTHORITY, (":status", "200")])),
        malformed("9113 8.3", "a pseudo-field behind a field", of(&[METHOD, SCHEME, AUTHORITY, ("x", "y"), PATH])),
        malformed("9113 8.3", "two methods", of(&[METHOD, METHOD, SCHEME, PATH, AUTHORITY])),
        malformed("9113 8.3", "two schemes", of(&[METHOD, SCHEME, SCHEME, PATH, AUTHORITY])),
        malformed("9113 8.3", "two paths", of(&[METHOD, SCHEME, PATH, PATH, AUTHORITY])),
        malformed("9113 8.3", "two authorities", of(&[METHOD, SCHEME, PATH, AUTHORITY, AUTHORITY])),
        malformed("9113 8.3.1", "no method", of(&[SCHEME, PATH, AUTHORITY])),
        malformed("9113 8.3.1", "no scheme", of(&[METHOD, PATH, AUTHORITY])),
        malformed("9113 8.3.1", "no path", of(&[METHOD, SCHEME, AUTHORITY])),
        malformed("9113 8.3.1", "no host at all", of(&[METHOD, SCHEME, PATH])),
        malformed("9113 8.3.1", "an empty path", path("")),
        malformed("9113 8.3.1", "a path that does not begin with a slash", path("admin")),
        malformed("9113 8.3.1", "a path that is a whole URI", path("http://other.test/")),
        malformed("9113 8.3.1", "an asterisk that is not asked for by OPTIONS", path("*")),
        malformed("9113 8.3.1", "a space and a version in the path", path("/ HTTP/1.1")),
        malformed(
            "9113 8.3.1",
            "a second request in the path",
            path("/ HTTP/1.1\r\nhost: shop.test\r\n\r\nGET /smuggled"),
        ),
        malformed(
            "9113 8.3.1",
            "a second request in the method",
            method("GET / HTTP/1.1\r\nhost: shop.test\r\n\r\nGET"),
        ),
        malformed("9113 8.3.1", "a space in the method", method("GET /smuggled")),
        malformed("9113 8.3.1", "an empty method", method("")),
        malformed("9113 8.3.1", "a user in the authority", authority("user@shop.test")),
        malformed("9113 8.3.1", "a path in the authority", authority("shop.test/admin")),
        malformed("9113 8.3.1", "CR and LF in the authority", authority("shop.test\r\nx: y")),
        malformed("9113 8.3.1", "two authorities in one", authority("shop.test, other.test")),
        malformed("9113 8.3.1", "a Host that is not the authority", asks(&get_with(&[("host", "other.test")]))),
        malformed("9113 8.3.1", "two Hosts", asks(&get_with(&[("host", "shop.test"), ("host", "shop.test")]))),
        malformed("9113 8.3.1", "CR and LF in the scheme", of(&[METHOD, (":scheme", "http\r\n"), PATH, AUTHORITY])),
        // We make no tunnels but those of an upgrade, and say so: 501 is not in the static table.
        row(
            "9113 8.5",
            "CONNECT",
            of(&[(":method", "CONNECT"), (":authority", "shop.test:443")]),
            &[Answer(1, 0), Stream(1, PROTOCOL_ERROR)],
        ),
        malformed("9113 8.5", "CONNECT with a path", of(&[(":method", "CONNECT"), SCHEME, PATH, AUTHORITY])),
        malformed(
            "8441 4",
            "a protocol for another method than CONNECT",
            of(&[METHOD, SCHEME, PATH, AUTHORITY, (":protocol", "websocket")]),
        ),
    ]
}

#[test]
fn requests_that_could_name_another_than_is_routed_never_reach_a_target() {
    hold(&rows_of_pseudo_fields(), true);
}

/// The head may have gone to the target by the time that the body shows the fault: but never the body that is not whole.
fn rows_of_lengths() -> Vec<Row> {
    let data = |bytes: &[u8]| frame(DATA, END_STREAM, 1, bytes);
    let sized = |length: &str| begins(&post_with(&[("content-length", length)]));
    let trailers = |flags: u8, block: &[u8]| frame(HEADERS, flags, 1, block);
    let last = END_STREAM | END_HEADERS;
    vec![
        malformed(
            "9113 8.1.1",
            "more DATA than the length says",
            [sized("3"), data(b"abcGET /smuggled HTTP/1.1\r\n\r\n")].concat(),
        ),
        malformed("9113 8.1.1", "less DATA than the length says", [sized("30"), data(b"abc")].concat()),
        malformed(
            "9113 8.1.1",
            "less in several frames",
            [sized("30"), frame(DATA, 0, 1, b"abc"), data(b"def")].concat(),
        ),
        malformed("9113 8.1.1", "no DATA where a length is said", asks(&post_with(&[("content-length", "3")]))),
        malformed(
            "9113 8.1.1",
            "trailers before the length is reached",
            [sized("30"), trailers(last, &field(b"x", b"y"))].concat(),
        ),
        malformed(
            "9113 8.1.1",
            "two lengths",
            [begins(&post_with(&[("content-length", "3"), ("content-length", "4")])), data(b"abc")].concat(),
        ),
        malformed("9113 8.1.1", "a length with a sign", [sized("+3"), data(b"abc")].concat()),
        malformed("9113 8.1.1", "a list of lengths", [sized("3, 3"), data(b"abc")].concat()),
        malformed("9113 8.1.1", "a length that is no number", [sized("0x3"), data(b"abc")].concat()),
        malformed(
            "9113 8.1",
            "a second head that does not end the stream",
            [begins(&post()), trailers(END_HEADERS, &field(b"x", b"y"))].concat(),
        ),
        // The h2 crate does not refuse this, as it should; but it drops the field, so that nobody gets it.
        row(
            "9113 8.1",
            "a pseudo-field in trailers",
            [begins(&post()), trailers(last, &fields(&[METHOD]))].concat(),
            &[Stream(1, PROTOCOL_ERROR), Answer(1, 400), Answer(1, 200)],
        ),
        malformed(
            "9113 8.1",
            "an upper-case name in trailers",
            [begins(&post()), trailers(last, &field(b"X", b"y"))].concat(),
        ),
        malformed(
            "9113 8.1",
            "CR and LF in trailers",
            [begins(&post()), trailers(last, &field(b"x", b"a\r\nb: c"))].concat(),
        ),
    ]
}

#[test]
fn bodies_that_differ_from_their_length_are_not_passed_on_as_whole() {
    hold(&rows_of_lengths(), false);
}
