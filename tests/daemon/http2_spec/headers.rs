//! HPACK (RFC 7541), and messages that are right (RFC 9113 section 8).

use super::frames::{
    DATA, END_HEADERS, END_STREAM, HEADERS, asks, begins, field, fields, frame, get, get_with, post, post_with,
};
use super::{Answer, COMPRESSION_ERROR, Connection, GENERIC, Row, hold, row};

/// A GET with something behind it.
fn and(more: &[u8]) -> Vec<u8> {
    asks(&[&get()[..], more].concat())
}

fn rows_of_hpack() -> Vec<Row> {
    vec![
        row("7541 2.3.3", "a field beyond both tables", and(&[0xff, 0x00]), &[Connection(COMPRESSION_ERROR), GENERIC]),
        row(
            "7541 2.3.3",
            "a name beyond both tables",
            and(&[0x7f, 0x20, 1, b'x']),
            &[Connection(COMPRESSION_ERROR), GENERIC],
        ),
        row(
            "7541 4.2",
            "a new size of the table behind a field",
            and(&[0x20]),
            &[Connection(COMPRESSION_ERROR), GENERIC],
        ),
        row(
            "7541 4.2",
            "a new size of the table in front of all",
            asks(&[&[0x20], &get()[..]].concat()),
            &[Answer(1, 200)],
        ),
        row(
            "7541 5.2",
            "a text whose padding is longer than seven bits",
            and(&[0x00, 1, b'x', 0x82, 0x1f, 0xff]),
            &[Connection(COMPRESSION_ERROR), GENERIC],
        ),
        row(
            "7541 5.2",
            "a text whose padding is not of ones",
            and(&[0x00, 1, b'x', 0x81, 0x18]),
            &[Connection(COMPRESSION_ERROR), GENERIC],
        ),
        row(
            "7541 5.2",
            "a text with its end in it",
            and(&[0x00, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xfc]),
            &[Connection(COMPRESSION_ERROR), GENERIC],
        ),
        row(
            "7541 5.2",
            "a text that is longer than its block",
            and(&[0x00, 1, b'x', 0x7e, b'y']),
            &[Connection(COMPRESSION_ERROR), GENERIC],
        ),
        row("7541 6.1", "a field of number 0", and(&[0x80]), &[Connection(COMPRESSION_ERROR), GENERIC]),
        row(
            "7541 6.3",
            "a table larger than we have allowed",
            asks(&[&[0x3f, 0xe2, 0x1f], &get()[..]].concat()),
            &[Connection(COMPRESSION_ERROR), GENERIC],
        ),
        row(
            "7541 5.1",
            "a number that never ends",
            and(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            &[Connection(COMPRESSION_ERROR), GENERIC],
        ),
    ]
}

#[test]
fn blocks_that_are_no_hpack_end_the_connection() {
    hold(&rows_of_hpack(), false);
}

fn rows_of_messages() -> Vec<Row> {
    let trailers = |block: &[u8]| frame(HEADERS, END_STREAM | END_HEADERS, 1, block);
    let body = frame(DATA, 0, 1, b"abc");
    vec![
        row("9113 8.1", "a request without a body", asks(&get()), &[Answer(1, 200)]),
        row(
            "9113 8.1",
            "a body and trailers",
            [begins(&post()), body.clone(), trailers(&field(b"x-sum", b"1"))].concat(),
            &[Answer(1, 200)],
        ),
        row(
            "9113 8.1",
            "trailers and no body",
            [begins(&post()), trailers(&field(b"x-sum", b"1"))].concat(),
            &[Answer(1, 200)],
        ),
        row(
            "9113 8.1.1",
            "a length that is that of DATA",
            [begins(&post_with(&[("content-length", "3")])), body.clone(), frame(DATA, END_STREAM, 1, &[])].concat(),
            &[Answer(1, 200)],
        ),
        row(
            "9113 8.1.1",
            "no body, and a length of 0",
            asks(&post_with(&[("content-length", "0")])),
            &[Answer(1, 200)],
        ),
        row("9113 8.2.2", "te that is trailers", asks(&get_with(&[("te", "trailers")])), &[Answer(1, 200)]),
        row(
            "9113 8.2.3",
            "cookies in pieces",
            asks(&get_with(&[("cookie", "a=1"), ("cookie", "b=2")])),
            &[Answer(1, 200)],
        ),
        row("9113 8.3.1", "a Host that is the authority", asks(&get_with(&[("host", "shop.test")])), &[Answer(1, 200)]),
        row(
            "9113 8.3.1",
            "a Host and no authority",
            asks(&[&[0x82, 0x86, 0x84], &fields(&[("host", "shop.test")])[..]].concat()),
            &[Answer(1, 200)],
        ),
        // The h2 crate drops what stands behind the `#`, which no path has: it routes nothing, and nobody gets it.
        row(
            "9113 8.3.1",
            "a fragment in the path",
            asks(&fields(&[(":method", "GET"), (":scheme", "http"), (":path", "/a#b"), (":authority", "shop.test")])),
            &[Answer(1, 200), Answer(1, 400)],
        ),
    ]
}

#[test]
fn messages_that_are_right_are_served() {
    hold(&rows_of_messages(), false);
}
