//! One request and one answer as a proxy sees them, taken apart and put together.

#![expect(clippy::unwrap_used, reason = "a benchmark writes its own input")]

use bytes::BytesMut;
use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use http::{Method, StatusCode};
use smartproxy::http::codec::encode::{self, ResponseFraming};
use smartproxy::http::codec::{Chunks, FIELDS_MAX, HeadLimits, HeadScan, Length, Piece};

/// What a browser sends: ten fields.
const REQUEST: &[u8] = b"GET /shop/items?id=12345&sort=price HTTP/1.1\r\n\
Host: www.example.com\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
Accept-Language: en-US,en;q=0.5\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Referer: https://www.example.com/shop/\r\n\
Connection: keep-alive\r\n\
Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
Upgrade-Insecure-Requests: 1\r\n\
Cache-Control: max-age=0\r\n\
\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
Server: example/1.0\r\n\
Date: Mon, 01 Jan 2024 00:00:00 GMT\r\n\
Content-Type: text/html; charset=utf-8\r\n\
Content-Length: 1024\r\n\
Cache-Control: private, max-age=60\r\n\
ETag: \"0123456789abcdef\"\r\n\
\r\n";

const LIMITS: HeadLimits = HeadLimits { head: 64 * 1024, target: 8 * 1024 };

fn main() {
    divan::main();
}

/// As on a connection: into a buffer that is used again when the head is gone, which is part of the price.
#[divan::bench(sample_size = 1000)]
fn read_request(bencher: Bencher) {
    let mut buffer = BytesMut::with_capacity(8192);
    bencher.counter(BytesCount::of_slice(REQUEST)).bench_local(|| {
        buffer.extend_from_slice(black_box(REQUEST));
        drop(black_box(HeadScan::default().request(&mut buffer, &LIMITS).unwrap().unwrap()));
        buffer.reserve(4096);
    });
}

/// The tokeniser alone, to compare with.
#[divan::bench(sample_size = 1000)]
fn read_request_httparse(bencher: Bencher) {
    bencher.counter(BytesCount::of_slice(REQUEST)).bench_local(|| {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        httparse::Request::new(&mut fields).parse(black_box(REQUEST)).unwrap()
    });
}

/// As slowly as a client can send it.
#[divan::bench]
fn read_request_byte_by_byte(bencher: Bencher) {
    bencher.counter(BytesCount::of_slice(REQUEST)).bench_local(|| {
        let (mut scan, mut buffer) = (HeadScan::default(), BytesMut::with_capacity(REQUEST.len()));
        let mut read = None;
        for byte in REQUEST {
            buffer.extend_from_slice(&[*byte]);
            read = scan.request(&mut buffer, &LIMITS).unwrap();
        }
        read.unwrap()
    });
}

#[divan::bench(sample_size = 1000)]
fn read_response(bencher: Bencher) {
    let mut buffer = BytesMut::with_capacity(8192);
    bencher.counter(BytesCount::of_slice(RESPONSE)).bench_local(|| {
        buffer.extend_from_slice(black_box(RESPONSE));
        drop(black_box(HeadScan::default().response(&mut buffer, &LIMITS, &Method::GET).unwrap().unwrap()));
        buffer.reserve(4096);
    });
}

#[divan::bench(sample_size = 1000)]
fn write_request(bencher: Bencher) {
    let head = HeadScan::default().request(&mut BytesMut::from(REQUEST), &LIMITS).unwrap().unwrap();
    let mut out = BytesMut::with_capacity(2048);
    bencher.bench_local(|| {
        out.clear();
        encode::request_head(&mut out, black_box(&head.parts), Length::Empty);
        out.len()
    });
}

#[divan::bench(sample_size = 1000)]
fn write_response(bencher: Bencher) {
    let head = HeadScan::default().response(&mut BytesMut::from(RESPONSE), &LIMITS, &Method::GET).unwrap().unwrap();
    let framing = ResponseFraming { length: head.length, declared: None, connection: None };
    let mut out = BytesMut::with_capacity(2048);
    bencher.bench_local(|| {
        out.clear();
        encode::response_head(&mut out, StatusCode::OK, None, black_box(&head.parts.headers), framing);
        out.len()
    });
}

/// 64 KiB in chunks of so many bytes.
#[divan::bench(args = [16, 1024, 16 * 1024])]
fn read_chunks(bencher: Bencher, size: usize) {
    let mut wire = BytesMut::new();
    for _ in 0..64 * 1024 / size {
        encode::chunk_begin(&mut wire, size);
        wire.extend_from_slice(&vec![b'x'; size]);
        wire.extend_from_slice(b"\r\n");
    }
    encode::last_chunk(&mut wire, None);
    bencher.counter(BytesCount::new(64 * 1024_usize)).with_inputs(|| wire.clone()).bench_local_refs(|buffer| {
        let (mut chunks, mut length) = (Chunks::default(), 0);
        while let Piece::Data(data) = chunks.next(buffer).unwrap().unwrap() {
            length += data.len();
        }
        length
    });
}
