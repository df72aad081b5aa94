use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::super::encode::{chunk_begin, last_chunk};
use super::*;
use http::HeaderMap;

/// What a body has come to: its content, its trailer fields, and what follows it once it has ended.
#[derive(Debug, Default, PartialEq)]
struct Read {
    content: Vec<u8>,
    trailers: Option<HeaderMap>,
    rest: Option<Vec<u8>>,
}

fn read(pieces: &[&[u8]]) -> Result<Read, ChunkFault> {
    let (mut chunks, mut buffer, mut read) = (Chunks::default(), BytesMut::new(), Read::default());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Some(piece) = chunks.next(&mut buffer)? {
            match piece {
                Piece::Data(data) => {
                    assert!(!data.is_empty() && !chunks.is_done());
                    read.content.extend(data);
                }
                Piece::Trailers(trailers) => {
                    assert!(chunks.is_done() && read.trailers.replace(trailers).is_none());
                }
                Piece::End => {
                    assert!(chunks.is_done());
                    read.rest = Some(buffer.to_vec());
                    break;
                }
            }
        }
        // It never holds more than a line or a section.
        assert!(chunks.is_done() || buffer.len() < LINE_MAX.max(TRAILERS_MAX));
    }
    Ok(read)
}

/// However the bytes are split, they come to the same.
fn body(bytes: impl AsRef<[u8]>) -> Result<Read, ChunkFault> {
    let bytes = bytes.as_ref();
    let at_once = read(&[bytes]);
    for at in 0..bytes.len() {
        let (left, right) = bytes.split_at(at);
        assert_eq!(read(&[left, right]), at_once, "at {at}: {:?}", String::from_utf8_lossy(bytes));
    }
    let mut single = read(&bytes.chunks(1).collect::<Vec<_>>());
    if let (Ok(Read { rest: Some(rest), .. }), Ok(Read { rest: Some(all), .. })) = (&mut single, &at_once) {
        // What follows the body was in the buffer as far as it had come.
        rest.clone_from(all);
    }
    assert_eq!(single, at_once, "byte by byte: {:?}", String::from_utf8_lossy(bytes));
    at_once
}

#[test]
fn a_body_is_taken_apart() {
    let whole = body("5\r\nhello\r\n1;a\r\n,\r\n00000000000000A\r\n012345678\n\r\n0\r\n\r\n").unwrap();
    assert_eq!((whole.content.as_slice(), &whole.trailers), (&b"hello,012345678\n"[..], &None));
    assert_eq!(whole.rest, Some(vec![]));
    assert_eq!(body("0\r\n\r\n").unwrap().rest, Some(vec![]));
    let unfinished = body("5\r\nhel").unwrap();
    assert_eq!((unfinished.content.as_slice(), unfinished.rest), (&b"hel"[..], None));
}

#[test]
fn what_follows_is_left_and_the_end_stays_the_end() {
    let mut buffer = BytesMut::from("1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n");
    let mut chunks = Chunks::default();
    assert_eq!(chunks.next(&mut buffer), Ok(Some(Piece::Data(Bytes::from("a")))));
    for _ in 0..2 {
        assert_eq!(chunks.next(&mut buffer), Ok(Some(Piece::End)));
        assert!(chunks.is_done());
    }
    assert_eq!(&buffer[..], b"GET / HTTP/1.1\r\n");
}

#[test]
fn trailers_are_read_as_strictly_as_heads() {
    let read = body("1\r\na\r\n0;x\r\nA: b\r\nGrpc-Status:0\r\nA: \tc \r\n\r\n").unwrap();
    let trailers = read.trailers.unwrap();
    assert_eq!(trailers.get_all("a").iter().collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!((trailers.len(), &trailers["grpc-status"]), (3, &"0".parse().unwrap()));
    for (section, reason) in [
        ("A: b\n\r\n", HeadFault::BareLf),
        ("\n", HeadFault::BareLf),
        ("A: b\rc", HeadFault::BareCr),
        ("A: \0", HeadFault::Nul),
        ("A: \x01", HeadFault::Control),
        ("A: b\r\n c\r\n\r\n", HeadFault::Folded),
        (" A: b\r\n\r\n", HeadFault::Folded),
        ("none\r\n\r\n", HeadFault::NoColon),
        ("A : b\r\n\r\n", HeadFault::SpaceBeforeColon),
        (": b\r\n\r\n", HeadFault::FieldName),
        ("A: \x7f\r\n\r\n", HeadFault::Control),
    ] {
        assert_eq!(body(format!("0\r\n{section}")), Err(ChunkFault::Trailers(reason)), "{section:?}");
    }
}

#[test]
fn chunks_that_are_none_are_refused() {
    for (bytes, reason) in [
        ("\r\n", ChunkFault::Size),
        ("x\r\n", ChunkFault::Size),
        ("-1\r\n", ChunkFault::Size),
        ("+1\r\n", ChunkFault::Size),
        (" 1\r\n", ChunkFault::Size),
        ("0x1\r\n", ChunkFault::Size),
        ("1g\r\n", ChunkFault::Size),
        ("1 \r\n", ChunkFault::Size),
        ("1\t \r\n", ChunkFault::Size),
        (";a\r\n", ChunkFault::Size),
        ("1,1\r\n", ChunkFault::Size),
        ("00000000000000001", ChunkFault::SizeTooLong),
        ("1\n", ChunkFault::LineEnd),
        ("1\ra", ChunkFault::LineEnd),
        ("1\r\r", ChunkFault::LineEnd),
        ("1;a\n", ChunkFault::LineEnd),
        ("1;a\rb", ChunkFault::LineEnd),
        ("1;a=\"\n", ChunkFault::LineEnd),
        ("1;a=\"\r\r", ChunkFault::LineEnd),
        ("1;\r\n", ChunkFault::Extension),
        ("1;;a\r\n", ChunkFault::Extension),
        ("1;a;\r\n", ChunkFault::Extension),
        ("1 a\r\n", ChunkFault::Extension),
        ("1;a \r\n", ChunkFault::Extension),
        ("1;=b\r\n", ChunkFault::Extension),
        ("1;a=\r\n", ChunkFault::Extension),
        ("1;a=b=c\r\n", ChunkFault::Extension),
        ("1;a=b c\r\n", ChunkFault::Extension),
        ("1;a(\r\n", ChunkFault::Extension),
        ("1;a=\u{e9}\r\n", ChunkFault::Extension),
        ("1;a=\"b\r\n", ChunkFault::Extension),
        ("1;a=\"b\"c\r\n", ChunkFault::Extension),
        ("1;a=\"\\\"\r\n", ChunkFault::Extension),
        ("1;a=\"\0\"\r\n", ChunkFault::Extension),
        ("1;a=\"\\\x01\"\r\n", ChunkFault::Extension),
        ("1\r\nab\r\n", ChunkFault::DataEnd),
        ("1\r\na\n", ChunkFault::DataEnd),
        ("1\r\na\rb", ChunkFault::DataEnd),
        ("1\r\na0\r\n\r\n", ChunkFault::DataEnd),
    ] {
        assert_eq!(body(bytes), Err(reason), "{bytes:?}");
    }
}

#[test]
fn extensions_are_checked_and_dropped() {
    for extensions in [
        ";a",
        " ;a",
        "\t;\ta",
        "; a ; b=c",
        ";a=b;c",
        ";a = b",
        ";a=\"\"",
        ";a=\"b;c = \\\" \\\\ \u{e9}\t\" ; d",
        ";!#$%&'*+-.^_`|~=1",
    ] {
        let read = body(format!("1{extensions}\r\na\r\n0{extensions}\r\n\r\n")).unwrap_or_default();
        assert_eq!((read.content.as_slice(), read.rest), (&b"a"[..], Some(vec![])), "{extensions:?}");
    }
}

#[test]
fn lines_extensions_and_trailers_have_their_limits() {
    // An extension of so many bytes behind a digit, in a line that may be so long before its CRLF has come.
    let line = |length: usize| format!("1;{}\r\n", "a".repeat(length - 4));
    assert!(read(&[line(LINE_MAX).as_bytes()]).is_ok());
    assert_eq!(read(&[line(LINE_MAX + 1).as_bytes()]), Err(ChunkFault::LineTooLong));
    assert_eq!(read(&[&line(LINE_MAX + 1).as_bytes()[..LINE_MAX]]), Err(ChunkFault::LineTooLong));
    let chunk = format!("1;{}\r\na\r\n", "b".repeat(EXTENSIONS_MAX / 4 - 1));
    assert!(read(&[chunk.repeat(4).as_bytes()]).is_ok());
    assert_eq!(read(&[format!("{}1;a\r\n", chunk.repeat(4)).as_bytes()]), Err(ChunkFault::ExtensionsTooLong));
    let section = |length: usize| format!("0\r\nA: {}\r\n\r\n", "b".repeat(length - 7));
    assert!(read(&[section(TRAILERS_MAX).as_bytes()]).is_ok_and(|read| read.trailers.is_some()));
    let too_large = Err(ChunkFault::Trailers(HeadFault::TooLarge));
    assert_eq!(read(&[section(TRAILERS_MAX + 1).as_bytes()]), too_large);
    let fields = |count: usize| format!("0\r\n{}\r\n", "A: b\r\n".repeat(count));
    assert!(read(&[fields(FIELDS_MAX).as_bytes()]).is_ok_and(|read| read.trailers.is_some()));
    let too_many = Err(ChunkFault::Trailers(HeadFault::TooManyFields));
    assert_eq!(read(&[fields(FIELDS_MAX + 1).as_bytes()]), too_many);
}

#[test]
fn the_largest_size_is_followed() {
    let read = body("ffffffffffffffff\r\nabc").unwrap();
    assert_eq!((read.content.as_slice(), read.rest), (&b"abc"[..], None));
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        contents in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..6),
        trailers in proptest::option::of(encoding::headers()),
        rest in proptest::collection::vec(any::<u8>(), 0..10),
        cut in 1_usize..50,
    ) {
        let trailers = trailers.map(HeaderMap::from);
        let mut wire = BytesMut::new();
        for content in &contents {
            chunk_begin(&mut wire, content.len());
            wire.extend_from_slice(content);
            wire.extend_from_slice(b"\r\n");
        }
        last_chunk(&mut wire, trailers.as_ref());
        let body = wire.len();
        wire.extend_from_slice(&rest);
        let at_once = read(&[&wire[..]]).unwrap();
        prop_assert_eq!(&at_once.content, &contents.concat());
        prop_assert_eq!(at_once.trailers, trailers.filter(|trailers| !trailers.is_empty()));
        prop_assert_eq!(at_once.rest, Some(rest));
        let pieces: Vec<&[u8]> = wire[..body].chunks(cut).collect();
        prop_assert_eq!(read(&pieces).unwrap().content, contents.concat());
    }
}
