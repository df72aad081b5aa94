//! Frames of an HTTP/2 client by hand, for what a client of the h2 crate does not do.

pub(super) const DATA: u8 = 0x0;
pub(super) const HEADERS: u8 = 0x1;
pub(super) const RST_STREAM: u8 = 0x3;
pub(super) const SETTINGS: u8 = 0x4;
pub(super) const GOAWAY: u8 = 0x7;
const WINDOW_UPDATE: u8 = 0x8;

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, high, middle, low] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[high, middle, low, kind, flags], &stream.to_be_bytes()[..], payload].concat()
}

/// What a connection begins with, with windows of 2 GiB.
pub(super) fn opening() -> Vec<u8> {
    const WINDOW_MAX: u32 = (1 << 31) - 1;
    let initial_window = [&4_u16.to_be_bytes()[..], &WINDOW_MAX.to_be_bytes()].concat();
    let more = (WINDOW_MAX - 65_535).to_be_bytes();
    [PREFACE, &frame(SETTINGS, 0, 0, &initial_window), &frame(WINDOW_UPDATE, 0, 0, &more)].concat()
}

/// The fields of a head, none of them indexed.
pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// The whole of a request.
pub(super) fn get(stream: u32, path: &str) -> Vec<u8> {
    let head = block(&[(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "a.test")]);
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &head)
}

/// The head of an extended `CONNECT` for a WebSocket.
pub(super) fn websocket(stream: u32) -> Vec<u8> {
    let head = block(&[
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", "/chat"),
        (":authority", "a.test"),
    ]);
    frame(HEADERS, END_HEADERS, stream, &head)
}
