//! Checked by the fuzz target, and on stable Rust by `tests/hello_corpus`.

use bytes::BytesMut;
use http::HeaderMap;
use smartproxy::http::codec::encode::{chunk_begin, last_chunk};
use smartproxy::http::codec::{ChunkFault, Chunks, LINE_MAX, Piece, TRAILERS_MAX};

/// What a body has come to.
#[derive(Debug, Default, PartialEq)]
struct Read {
    content: Vec<u8>,
    trailers: Option<HeaderMap>,
    /// How many bytes it took, once it has ended, or why it is none.
    end: Option<Result<usize, ChunkFault>>,
}

/// A body comes to the same whole, in two halves and a byte at a time; httparse reads the sizes of what is accepted
/// alike, and it can be written and read again.
pub(crate) fn check(bytes: &[u8]) {
    let at_once = read(&[bytes]);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    let (left, right) = bytes.split_at(bytes.len() / 2);
    for told in [read(&single), read(&[left, right])] {
        assert_eq!(told, at_once);
    }
    if let Some(Ok(length)) = at_once.end {
        let (content, behind) = by_httparse(&bytes[..length]);
        assert_eq!((content, behind), (at_once.content.clone(), at_once.trailers.as_ref().map_or(0, HeaderMap::len)));
        let mut wire = BytesMut::new();
        for chunk in at_once.content.chunks(7) {
            chunk_begin(&mut wire, chunk.len());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
        }
        last_chunk(&mut wire, at_once.trailers.as_ref());
        let Read { content, end, .. } = read(&[&wire]);
        assert_eq!((content, end), (at_once.content, Some(Ok(wire.len()))));
    }
}

fn read(pieces: &[&[u8]]) -> Read {
    let (mut chunks, mut buffer, mut fed, mut read) = (Chunks::default(), BytesMut::new(), 0, Read::default());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        fed += piece.len();
        loop {
            match chunks.next(&mut buffer) {
                Ok(None) => break,
                Ok(Some(Piece::Data(data))) => read.content.extend(data),
                Ok(Some(Piece::Trailers(trailers))) => read.trailers = Some(trailers),
                Ok(Some(Piece::End)) => {
                    read.end = Some(Ok(fed - buffer.len()));
                    return read;
                }
                Err(fault) => {
                    read.end = Some(Err(fault));
                    return read;
                }
            }
        }
        assert!(buffer.len() < LINE_MAX.max(TRAILERS_MAX), "more is asked for than may be there");
    }
    read
}

/// The content, and how many trailer fields follow it.
fn by_httparse(bytes: &[u8]) -> (Vec<u8>, usize) {
    let (mut rest, mut content) = (bytes, Vec::new());
    loop {
        let Ok(httparse::Status::Complete((line, size))) = httparse::parse_chunk_size(rest) else {
            panic!("httparse finds no size in {:?}", String::from_utf8_lossy(rest));
        };
        rest = &rest[line..];
        if size == 0 {
            let mut fields = [httparse::EMPTY_HEADER; smartproxy::http::codec::FIELDS_MAX];
            let Ok(httparse::Status::Complete((length, fields))) = httparse::parse_headers(rest, &mut fields) else {
                panic!("httparse finds no trailers in {:?}", String::from_utf8_lossy(rest));
            };
            assert_eq!(length, rest.len());
            return (content, fields.len());
        }
        let size = usize::try_from(size).unwrap();
        content.extend_from_slice(&rest[..size]);
        assert_eq!(&rest[size..size + 2], b"\r\n");
        rest = &rest[size + 2..];
    }
}
