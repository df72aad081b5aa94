use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

use super::head::{FIELDS_MAX, map};
use super::lines::Lines;

/// The longest line with a chunk's size, in bytes without its end: few send an extension at all.
pub(super) const LINE_MAX: usize = 4 * 1024;

/// The most hex digits of a chunk's size, with leading zeros: 64 bits.
const DIGITS_MAX: usize = 16;

/// All trailer fields together, in bytes.
pub(super) const TRAILERS_MAX: usize = 16 * 1024;

/// Takes a chunked body apart (RFC 9112 section 7.1). Extensions are checked and dropped.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    state: State,
    lines: Lines,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Done,
}

/// One piece of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
    /// There is no more.
    End,
}

/// What makes chunks ambiguous or invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ChunkFault {
    #[error("a chunk's size is not a hexadecimal number of at most {DIGITS_MAX} digits")]
    Size,
    #[error("a chunk's extension has a control character")]
    Extension,
    #[error("the line of a chunk's size is longer than {LINE_MAX} bytes")]
    LineTooLong,
    #[error("a chunk is longer than its size")]
    DataEnd,
    #[error("a trailer field is not valid")]
    Trailer,
    #[error("the trailer fields are longer than {TRAILERS_MAX} bytes, or more than {FIELDS_MAX}")]
    TrailersTooLarge,
}

impl Chunks {
    /// The next piece, taken off the front of `buffer`; `None` if more has to come.
    ///
    /// # Errors
    /// See [`ChunkFault`]; what follows cannot be told apart any more.
    pub(super) fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Piece>, ChunkFault> {
        loop {
            match self.state {
                State::Size => match size(buffer)? {
                    None => return Ok(None),
                    Some(0) => self.state = State::Trailers,
                    Some(size) => self.state = State::Data(size),
                },
                State::Data(_) if buffer.is_empty() => return Ok(None),
                State::Data(left) => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                    let left = left.saturating_sub(taken as u64);
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                    return Ok(Some(Piece::Data(buffer.split_to(taken).freeze())));
                }
                State::DataEnd => match buffer.as_ref() {
                    [] | [b'\r'] => return Ok(None),
                    [b'\r', b'\n', ..] => {
                        buffer.advance(2);
                        self.state = State::Size;
                    }
                    _ => return Err(ChunkFault::DataEnd),
                },
                State::Trailers => {
                    let end = self.lines.end(buffer).map_err(|_| ChunkFault::Trailer)?;
                    if end.unwrap_or(buffer.len()) > TRAILERS_MAX {
                        return Err(ChunkFault::TrailersTooLarge);
                    }
                    let Some(end) = end else { return Ok(None) };
                    self.state = State::Done;
                    let block = buffer.split_to(end).freeze();
                    return Ok(Some(if end == 2 { Piece::End } else { Piece::Trailers(trailers(&block)?) }));
                }
                State::Done => return Ok(Some(Piece::End)),
            }
        }
    }

    /// Whether all of the body has been taken.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }
}

/// Takes the line of a chunk's size.
fn size(buffer: &mut BytesMut) -> Result<Option<u64>, ChunkFault> {
    let seen = buffer.get(..LINE_MAX.saturating_add(2).min(buffer.len())).unwrap_or_default();
    let Some(end) = memchr::memchr(b'\n', seen) else {
        if seen.len() > LINE_MAX {
            return Err(ChunkFault::LineTooLong);
        }
        // What is wrong is said at once, and not only when the line has come.
        parse_size(seen.strip_suffix(b"\r").unwrap_or(seen), false)?;
        return Ok(None);
    };
    let line = seen.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(ChunkFault::Size)?;
    let size = parse_size(line, true)?;
    buffer.advance(end.saturating_add(1));
    Ok(Some(size))
}

fn parse_size(line: &[u8], whole: bool) -> Result<u64, ChunkFault> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits > DIGITS_MAX || (whole && digits == 0) {
        return Err(ChunkFault::Size);
    }
    let (digits, extension) = line.split_at_checked(digits).ok_or(ChunkFault::Size)?;
    match extension {
        [] => {}
        [b';', rest @ ..] => {
            if rest.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
                return Err(ChunkFault::Extension);
            }
        }
        _ => return Err(ChunkFault::Size),
    }
    let value = |byte: &u8| char::from(*byte).to_digit(16).map_or(0, u64::from);
    Ok(digits.iter().fold(0, |size, byte| (size << 4) | value(byte)))
}

fn trailers(block: &Bytes) -> Result<HeaderMap, ChunkFault> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    match httparse::parse_headers(block, &mut fields) {
        Ok(httparse::Status::Complete((_, fields))) => map(block, fields).map_err(|_| ChunkFault::Trailer),
        Ok(httparse::Status::Partial) => Err(ChunkFault::Trailer),
        Err(httparse::Error::TooManyHeaders) => Err(ChunkFault::TrailersTooLarge),
        Err(_) => Err(ChunkFault::Trailer),
    }
}
