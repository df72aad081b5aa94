use std::collections::VecDeque;

/// The longest line outside of a head: a chunk's size with its extensions, or a trailer field. hyper's own limit for each
/// kind is 16 KiB in all.
const LINE_MAX: usize = 16 * 1024;

/// The most hex digits of a chunk's size, with leading zeros: 64 bits.
const CHUNK_DIGITS_MAX: usize = 16;

/// The most digits of a Content-Length: all that fit 64 bits.
const LENGTH_DIGITS_MAX: usize = 19;

/// Follows the framing of a client's HTTP/1 requests, byte for byte as hyper gets them, and judges each head.
///
/// hyper 1.12 repairs some heads that RFC 9112 section 6 wants refused (both lengths, a repeated length), and leaves no
/// trace of it; so they are judged here, where they are still to be seen. It also knows where a head begins and ends,
/// which is what the timeouts are measured by.
#[derive(Debug, Default)]
pub(super) struct Framing {
    state: State,
    /// The begin of a line whose end has not come yet.
    line: Vec<u8>,
    verdicts: VecDeque<Result<(), Fault>>,
}

#[derive(Debug, Default)]
enum State {
    /// Between two messages.
    #[default]
    Boundary,
    Head(Lengths),
    Body(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    /// What follows cannot be told apart any more.
    Lost,
}

/// What a head has said so far of the body's length.
#[derive(Debug, Default)]
struct Lengths {
    length: Option<u64>,
    chunked: bool,
}

/// What makes a request's framing ambiguous or invalid (RFC 9112 sections 2.2, 5 to 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("a line ends without CRLF, or holds a bare CR or a NUL")]
    Line,
    #[error("a line is longer than {LINE_MAX} bytes")]
    LineTooLong,
    #[error("a field is folded, has no colon, or has no name that is a token")]
    Field,
    #[error("Content-Length is given more than once")]
    RepeatedLength,
    #[error("Content-Length is not a number")]
    InvalidLength,
    #[error("Content-Length and Transfer-Encoding are both given")]
    BothLengths,
    #[error("Transfer-Encoding is not exactly chunked")]
    Coding,
    #[error("a chunk's framing is not valid")]
    Chunk,
}

impl Framing {
    /// Follows the next bytes. Gives how many of them may be handed on: fewer than there are when a body's framing is
    /// broken there. A fault in a head is not held back, as its request gets an answer in its turn.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() {
            match &mut self.state {
                State::Lost => return bytes.len(),
                State::Body(left) | State::Chunk(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left = left.saturating_sub(taken as u64);
                    rest = rest.get(taken..).unwrap_or_default();
                    if *left == 0 {
                        self.state = match self.state {
                            State::Chunk(_) => State::ChunkEnd,
                            _ => State::Boundary,
                        };
                    }
                }
                State::Boundary | State::Head(_) | State::ChunkSize | State::ChunkEnd | State::Trailers => {
                    let in_head = matches!(self.state, State::Boundary | State::Head(_));
                    let before = bytes.len() - rest.len();
                    match self.take_line(&mut rest) {
                        Ok(()) => {}
                        Err(fault) if in_head => {
                            self.verdicts.push_back(Err(fault));
                            self.state = State::Lost;
                        }
                        Err(_) => {
                            self.state = State::Lost;
                            return before;
                        }
                    }
                }
            }
        }
        bytes.len()
    }

    /// The verdict on the oldest head that has not been asked for. A head that was never seen is not sound.
    pub(super) fn verdict(&mut self) -> Result<(), Fault> {
        self.verdicts.pop_front().unwrap_or(Err(Fault::Line))
    }

    /// Whether a head has begun and is not complete.
    pub(super) fn in_head(&self) -> bool {
        match self.state {
            State::Boundary => !self.line.is_empty(),
            State::Head(_) => true,
            State::Body(_) | State::ChunkSize | State::Chunk(_) | State::ChunkEnd | State::Trailers | State::Lost => {
                false
            }
        }
    }

    /// Whether all that has come are complete messages.
    pub(super) fn at_boundary(&self) -> bool {
        matches!(self.state, State::Boundary) && self.line.is_empty()
    }

    fn take_line(&mut self, rest: &mut &[u8]) -> Result<(), Fault> {
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            // The head's length is hyper's to limit; it stops reading there.
            let limited = !matches!(self.state, State::Boundary | State::Head(_));
            if limited && self.line.len() + rest.len() > LINE_MAX {
                return Err(Fault::LineTooLong);
            }
            self.line.extend_from_slice(rest);
            *rest = &[];
            return Ok(());
        };
        let (line, after) = rest.split_at(end + 1);
        *rest = after;
        let mut held = std::mem::take(&mut self.line);
        let line = if held.is_empty() {
            line
        } else {
            held.extend_from_slice(line);
            &held
        };
        let Some(line) = line.strip_suffix(b"\r\n") else { return Err(Fault::Line) };
        if line.iter().any(|byte| matches!(byte, b'\r' | 0)) {
            return Err(Fault::Line);
        }
        self.end_line(line)
    }

    fn end_line(&mut self, line: &[u8]) -> Result<(), Fault> {
        let next = match &mut self.state {
            // An empty line before a request is to be ignored (RFC 9112 section 2.2).
            State::Boundary if line.is_empty() => State::Boundary,
            State::Boundary => State::Head(Lengths::default()),
            State::Head(lengths) if line.is_empty() => {
                self.verdicts.push_back(Ok(()));
                match (lengths.chunked, lengths.length) {
                    (true, _) => State::ChunkSize,
                    (false, None | Some(0)) => State::Boundary,
                    (false, Some(length)) => State::Body(length),
                }
            }
            State::Head(lengths) => return lengths.field(line),
            State::ChunkSize => match chunk_size(line).ok_or(Fault::Chunk)? {
                0 => State::Trailers,
                size => State::Chunk(size),
            },
            State::ChunkEnd if line.is_empty() => State::ChunkSize,
            State::ChunkEnd => return Err(Fault::Chunk),
            State::Trailers if line.is_empty() => State::Boundary,
            State::Trailers => return split_field(line).map(|_| ()),
            State::Body(_) | State::Chunk(_) | State::Lost => return Ok(()),
        };
        self.state = next;
        Ok(())
    }
}

impl Lengths {
    fn field(&mut self, line: &[u8]) -> Result<(), Fault> {
        let (name, value) = split_field(line)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            if self.chunked {
                return Err(Fault::BothLengths);
            }
            if self.length.is_some() {
                return Err(Fault::RepeatedLength);
            }
            self.length = Some(length(value).ok_or(Fault::InvalidLength)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.length.is_some() {
                return Err(Fault::BothLengths);
            }
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Fault::Coding);
            }
            self.chunked = true;
        }
        Ok(())
    }
}

/// Name and value of a field line (RFC 9112 section 5).
fn split_field(line: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Fault::Field)?;
    let (name, value) = line.split_at(colon);
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    if name.is_empty() || !name.iter().all(token) {
        return Err(Fault::Field);
    }
    let value = value.get(1..).unwrap_or_default();
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let begin = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !blank(byte)).map_or(begin, |last| last + 1);
    Ok((name, value.get(begin..end).unwrap_or_default()))
}

fn length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > LENGTH_DIGITS_MAX || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// The size of a chunk; its extensions are passed over (RFC 9112 section 7.1).
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?;
    if digits.is_empty() || digits.len() > CHUNK_DIGITS_MAX || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "POST / HTTP/1.1\r\nHost: a\r\n";

    fn verdict_of(head: &str) -> Result<(), Fault> {
        let mut framing = Framing::default();
        framing.feed(head.as_bytes());
        framing.verdict()
    }

    #[test]
    fn heads_that_hyper_would_repair_are_refused() {
        let cases = [
            ("Content-Length: 3\r\nContent-Length: 3\r\n", Fault::RepeatedLength),
            ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", Fault::BothLengths),
            ("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", Fault::BothLengths),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Fault::Coding),
            ("Transfer-Encoding: gzip, chunked\r\n", Fault::Coding),
            ("Transfer-Encoding: chunked, identity\r\n", Fault::Coding),
            ("Transfer-Encoding: \x0bchunked\r\n", Fault::Coding),
            ("Content-Length: +3\r\n", Fault::InvalidLength),
            ("Content-Length: 3, 3\r\n", Fault::InvalidLength),
            ("Content-Length: \r\n", Fault::InvalidLength),
            ("Content-Length: 99999999999999999999\r\n", Fault::InvalidLength),
            ("Content-Length : 3\r\n", Fault::Field),
            ("A: b\r\n c\r\n", Fault::Field),
            ("A: b\nContent-Length: 3\r\n", Fault::Line),
            ("A: b\rContent-Length: 3\r\n", Fault::Line),
            ("A: \0\r\n", Fault::Line),
            (": b\r\n", Fault::Field),
            ("none\r\n", Fault::Field),
        ];
        for (fields, fault) in cases {
            assert_eq!(verdict_of(&format!("{HEAD}{fields}\r\n")), Err(fault), "{fields:?}");
        }
        assert_eq!(verdict_of("GET / HTTP/1.1\nHost: a\n\n"), Err(Fault::Line));
        for sound in ["", "Content-Length: 3\r\n", "transfer-encoding:\tCHUNKED \r\n", "Content-Length: 0\r\n"] {
            assert_eq!(verdict_of(&format!("{HEAD}{sound}\r\n")), Ok(()), "{sound:?}");
        }
    }

    #[test]
    fn a_head_that_was_never_seen_is_not_sound() {
        assert_eq!(Framing::default().verdict(), Err(Fault::Line));
    }

    #[test]
    fn bytes_of_a_broken_chunk_are_held_back() {
        for (body, good) in
            [("3\r\nabcd\r\n", 6), ("3\nabc", 0), ("x\r\n", 0), ("\r\n", 0), ("11111111111111111\r\n", 0)]
        {
            let mut framing = Framing::default();
            let head = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n");
            assert_eq!(framing.feed(format!("{head}{body}").as_bytes()), head.len() + good, "{body:?}");
        }
        let mut framing = Framing::default();
        framing.feed(format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n").as_bytes());
        assert_eq!(framing.feed(&[b'0'; LINE_MAX]), LINE_MAX);
        assert_eq!(framing.feed(b"0"), 0);
    }

    #[test]
    fn the_longest_chunk_and_an_extension_are_followed() {
        let mut framing = Framing::default();
        framing.feed(format!("{HEAD}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff;a=b\r\nabc").as_bytes());
        assert!(!framing.at_boundary());
        assert!(matches!(framing.state, State::Chunk(left) if left == u64::MAX - 3));
    }

    proptest! {
        #[test]
        fn messages_are_told_apart_however_they_are_split(cuts in proptest::collection::vec(1_usize..9, 1..80)) {
            let stream = format!(
                "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\
                 {HEAD}Content-Length: 5\r\n\r\nGET /\
                 {HEAD}Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nGET /\r\n0\r\nTrailer: a\r\n\r\n\r\n\
                 GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
            );
            let mut framing = Framing::default();
            let mut rest = stream.as_bytes();
            let mut cuts = cuts.iter().copied().cycle();
            while !rest.is_empty() {
                let (now, after) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                prop_assert_eq!(framing.feed(now), now.len());
                rest = after;
            }
            prop_assert!(framing.at_boundary());
            prop_assert_eq!(framing.verdicts.len(), 4);
            prop_assert!(framing.verdicts.iter().all(Result::is_ok));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut framing = Framing::default();
            prop_assert!(framing.feed(&bytes) <= bytes.len());
        }
    }
}
