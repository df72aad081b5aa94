//! Frames and heads of HTTP/2 by hand, right ones and wrong ones.

use std::io::Read;

use crate::harness::{HOST, Peer};

pub(crate) const DATA: u8 = 0x0;
pub(crate) const HEADERS: u8 = 0x1;
pub(crate) const PRIORITY: u8 = 0x2;
pub(crate) const RST_STREAM: u8 = 0x3;
pub(crate) const SETTINGS: u8 = 0x4;
pub(crate) const PUSH_PROMISE: u8 = 0x5;
pub(crate) const PING: u8 = 0x6;
pub(crate) const GOAWAY: u8 = 0x7;
pub(crate) const WINDOW_UPDATE: u8 = 0x8;
pub(crate) const CONTINUATION: u8 = 0x9;

pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
pub(crate) const PADDED: u8 = 0x8;
pub(crate) const PRIORITIZED: u8 = 0x20;
/// A head that is all there is.
pub(crate) const WHOLE: u8 = END_STREAM | END_HEADERS;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the tests ask with, to hear whether the connection goes on.
pub(crate) const QUESTION: &[u8; 8] = b"stillok?";

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A literal field that is not to be indexed, with a name of its own (RFC 7541 section 6.2.2).
pub(crate) fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
    assert!(name.len() < 127 && value.len() < 127, "longer lengths take more than one byte");
    [&[0x00, length(name)], name, &[length(value)], value].concat()
}

/// Fields of text.
pub(crate) fn fields(list: &[(&str, &str)]) -> Vec<u8> {
    list.iter().flat_map(|(name, value)| field(name.as_bytes(), value.as_bytes())).collect()
}

/// What every request is, with the method by its index in the static table.
fn request(method: u8) -> Vec<u8> {
    [&[method, 0x86, 0x84], &field(b":authority", HOST.as_bytes())[..]].concat()
}

pub(crate) fn get() -> Vec<u8> {
    request(0x82)
}

pub(crate) fn post() -> Vec<u8> {
    request(0x83)
}

/// A GET with more fields.
pub(crate) fn get_with(list: &[(&str, &str)]) -> Vec<u8> {
    [get(), fields(list)].concat()
}

/// A POST with more fields.
pub(crate) fn post_with(list: &[(&str, &str)]) -> Vec<u8> {
    [post(), fields(list)].concat()
}

/// A whole request on stream 1 of these fields and no others.
pub(crate) fn asks(block: &[u8]) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, block)
}

/// The head of a request on stream 1 whose body is still to come.
pub(crate) fn begins(block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, block)
}

/// What the proxy has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// GOAWAY with this error code; 0 is none.
    Goaway(u32),
    /// RST_STREAM.
    Reset(u32, u32),
    /// A head of an answer, with its status; 0 is one that is not in the static table.
    Head(u32, u16),
    /// The answer to [`QUESTION`].
    Answered,
    /// The end of the connection.
    End,
    /// Something that no row asks for.
    Other,
}

/// The next frame that the proxy sends.
pub(crate) fn next(client: &mut Peer) -> Said {
    let mut header = [0; 9];
    if client.read_exact(&mut header).is_err() {
        return Said::End;
    }
    let [high, middle, low, kind, flags, one, two, three, four] = header;
    let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
    if client.read_exact(&mut payload).is_err() {
        return Said::End;
    }
    let stream = u32::from_be_bytes([one, two, three, four]);
    let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
    match kind {
        GOAWAY => Said::Goaway(number(4)),
        RST_STREAM => Said::Reset(stream, number(0)),
        HEADERS => Said::Head(stream, status(&payload)),
        PING if flags & ACK != 0 && payload == QUESTION => Said::Answered,
        _ => Said::Other,
    }
}

/// The status in a head, which begins with it (RFC 9113 section 8.3), if the static table has it (RFC 7541 appendix A).
fn status(block: &[u8]) -> u16 {
    match block.first() {
        Some(0x88) => 200,
        Some(0x89) => 204,
        Some(0x8c) => 400,
        Some(0x8d) => 404,
        Some(0x8e) => 500,
        _ => 0,
    }
}
