use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

use super::fault::HeadFault;
use super::fields::{fields_of, is_token};
use super::lines::Lines;

/// The longest line with a chunk's size and its extensions, in bytes. hyper's limit is the same.
pub const LINE_MAX: usize = 16 * 1024;

/// The extensions of all chunks of one body, in bytes: a body of tiny chunks cannot cost many times its size
/// (CVE-2023-39326). hyper's limit is the same.
pub const EXTENSIONS_MAX: usize = 16 * 1024;

/// The longest trailer section, in bytes. hyper's limit is the same.
pub const TRAILERS_MAX: usize = 16 * 1024;

/// The most hex digits of a chunk's size, with leading zeros: 64 bits.
const DIGITS_MAX: usize = 16;

/// Takes a chunked body apart (RFC 9112 section 7.1).
#[derive(Debug, Default)]
pub struct Chunks {
    state: State,
    /// The bytes of extensions so far.
    extensions: usize,
}

#[derive(Debug)]
enum State {
    /// Before a chunk's size; so many bytes of its line have been looked at.
    Size(usize),
    /// So many bytes of the chunk are still to come.
    Data(u64),
    /// Before the CRLF behind a chunk's data.
    DataEnd,
    Trailers(Lines),
    Done,
}

impl Default for State {
    fn default() -> Self {
        Self::Size(0)
    }
}

/// A piece of a chunked body.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Some of its content, never empty.
    Data(Bytes),
    /// Its trailer fields; [`Piece::End`] follows.
    Trailers(HeaderMap),
    /// All of it has been taken.
    End,
}

/// Why a chunked body is refused: always the fault of the one who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ChunkFault {
    /// No hex digit, or what may not follow one: a space with no extension behind it among them.
    #[error("the size of a chunk is not a hexadecimal number")]
    Size,
    /// More than 16 digits.
    #[error("the size of a chunk has more than {DIGITS_MAX} digits")]
    SizeTooLong,
    /// RFC 9112 section 7.1.1.
    #[error("a chunk's extension is not a name, or a name and a value")]
    Extension,
    /// A line ends with LF alone, or has a CR without one.
    #[error("a chunk's line does not end with CRLF")]
    LineEnd,
    /// [`LINE_MAX`].
    #[error("a chunk's line is longer than {LINE_MAX} bytes")]
    LineTooLong,
    /// [`EXTENSIONS_MAX`].
    #[error("the chunks' extensions are longer than {EXTENSIONS_MAX} bytes")]
    ExtensionsTooLong,
    /// The chunk is longer or shorter than its size says.
    #[error("a chunk's data do not end with CRLF where its size says")]
    DataEnd,
    /// The trailer section is refused as a head's fields would be.
    #[error("the trailer section is refused")]
    Trailers(#[source] HeadFault),
}

impl Chunks {
    /// Takes the next piece off the front of `buffer`; `None` if more is needed for one.
    ///
    /// `buffer` holds what came after the head and was not taken yet. After a fault the connection is to be closed.
    ///
    /// # Errors
    /// The sender's.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Piece>, ChunkFault> {
        loop {
            match &mut self.state {
                State::Size(seen) => {
                    let Some((size, extensions, end)) = size_line(buffer, seen)? else { return Ok(None) };
                    self.extensions += extensions;
                    if self.extensions > EXTENSIONS_MAX {
                        return Err(ChunkFault::ExtensionsTooLong);
                    }
                    buffer.advance(end);
                    self.state = if size == 0 { State::Trailers(Lines::of_trailers()) } else { State::Data(size) };
                }
                State::Data(left) => {
                    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                    if length == 0 {
                        return Ok(None);
                    }
                    *left = left.saturating_sub(length as u64);
                    if *left == 0 {
                        self.state = State::DataEnd;
                    }
                    return Ok(Some(Piece::Data(buffer.split_to(length).freeze())));
                }
                State::DataEnd => match buffer.as_ref() {
                    [b'\r', b'\n', ..] => {
                        buffer.advance(2);
                        self.state = State::default();
                    }
                    [] | [b'\r'] => return Ok(None),
                    _ => return Err(ChunkFault::DataEnd),
                },
                State::Trailers(lines) => {
                    let end = lines.find_end(buffer, TRAILERS_MAX, |_| Ok(())).map_err(ChunkFault::Trailers)?;
                    let Some(end) = end else { return Ok(None) };
                    let section = buffer.split_to(end).freeze();
                    self.state = State::Done;
                    if section.len() > 2 {
                        return fields_of(&section)
                            .map(|fields| Some(Piece::Trailers(fields)))
                            .map_err(ChunkFault::Trailers);
                    }
                }
                State::Done => return Ok(Some(Piece::End)),
            }
        }
    }

    /// Whether all of the body has been taken, but for its [`Piece::End`].
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }
}

/// The size that a line says, the length of its extensions and of all of it; `None` if more is needed.
fn size_line(bytes: &[u8], seen: &mut usize) -> Result<Option<(u64, usize, usize)>, ChunkFault> {
    let mut size = 0_u64;
    let mut digits = 0;
    while let Some(digit) = bytes.get(digits).and_then(|byte| char::from(*byte).to_digit(16)) {
        if digits == DIGITS_MAX {
            return Err(ChunkFault::SizeTooLong);
        }
        size = size << 4 | u64::from(digit);
        digits += 1;
    }
    match bytes.get(digits..).unwrap_or_default() {
        [] => Ok(None),
        _ if digits == 0 => Err(ChunkFault::Size),
        [b'\r', b'\n', ..] => Ok(Some((size, 0, digits + 2))),
        [b'\r'] => Ok(None),
        [b'\r' | b'\n', ..] => Err(ChunkFault::LineEnd),
        [b';' | b' ' | b'\t', ..] => {
            let Some(end) = line_end(bytes, (*seen).max(digits), seen)? else { return Ok(None) };
            let extensions = bytes.get(digits..end).unwrap_or_default();
            if extensions.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
                return Err(ChunkFault::Size);
            }
            if are_extensions(extensions) {
                Ok(Some((size, extensions.len(), end + 2)))
            } else {
                Err(ChunkFault::Extension)
            }
        }
        _ => Err(ChunkFault::Size),
    }
}

/// Where the CRLF at the end of a line is, which is looked for from `from` on; `None` if more is needed.
fn line_end(bytes: &[u8], from: usize, seen: &mut usize) -> Result<Option<usize>, ChunkFault> {
    let bytes = bytes.get(..LINE_MAX).unwrap_or(bytes);
    let more = |seen: &mut usize, at| {
        *seen = at;
        if bytes.len() < LINE_MAX { Ok(None) } else { Err(ChunkFault::LineTooLong) }
    };
    let rest = bytes.get(from..).unwrap_or_default();
    let Some(place) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return more(seen, bytes.len());
    };
    match rest.get(place..).unwrap_or_default() {
        [b'\r', b'\n', ..] => Ok(Some(from + place)),
        [b'\r'] => more(seen, from + place),
        _ => Err(ChunkFault::LineEnd),
    }
}

/// Whether it is `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )` (RFC 9112 section 7.1.1).
fn are_extensions(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some(after) = skip_blanks(rest).strip_prefix(b";") else { return false };
        let Some(after) = skip_token(skip_blanks(after)) else { return false };
        rest = after;
        let Some(value) = skip_blanks(after).strip_prefix(b"=") else { continue };
        let value = skip_blanks(value);
        let after = if value.starts_with(b"\"") { skip_quoted(value) } else { skip_token(value) };
        let Some(after) = after else { return false };
        rest = after;
    }
    true
}

fn skip_blanks(bytes: &[u8]) -> &[u8] {
    let blanks = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    bytes.get(blanks..).unwrap_or_default()
}

fn skip_token(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|byte| matches!(byte, b';' | b'=' | b' ' | b'\t')).unwrap_or(bytes.len());
    let (token, rest) = bytes.split_at_checked(end)?;
    is_token(token).then_some(rest)
}

/// What follows a quoted string (RFC 9110 section 5.6.4).
fn skip_quoted(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.strip_prefix(b"\"")?;
    loop {
        rest = match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', escaped, after @ ..] if is_text(*escaped) => after,
            [text, after @ ..] if *text != b'\\' && is_text(*text) => after,
            _ => return None,
        };
    }
}

const fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}
