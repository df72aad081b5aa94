use super::Progress;

/// The longest method of a request by which HTTP/1 is recognised; the longest that is registered has 17 letters
/// (IANA, "HTTP Method Registry").
pub const METHOD_LENGTH_MAX: usize = 32;

/// What a client of HTTP/2 with prior knowledge sends first (RFC 9113 section 3.4).
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The first two bytes of a TLS connection: a handshake record of version 3.x (RFC 8446 section 5.1).
const TLS: &[u8] = &[22, 3];

/// RFC 9112 section 2.2: one empty line in front of a request is to be ignored.
const EMPTY_LINE: &[u8] = b"\r\n";

/// What a connection's first bytes look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Preface {
    /// A TLS record with a handshake message. An SSL 2.0 hello is not one.
    Tls,
    /// A method and a space, as an HTTP/1 request begins.
    Http1,
    /// The whole connection preface of HTTP/2.
    Http2,
    /// None of these.
    Other,
}

impl Preface {
    /// Looks at `received`: every byte of the connection so far, from its first.
    ///
    /// At most `METHOD_LENGTH_MAX` + 3 bytes decide, so asking again with each byte is cheap.
    pub fn read(received: &[u8]) -> Progress<Self> {
        for (signature, preface) in [(TLS, Self::Tls), (HTTP2, Self::Http2)] {
            if received.starts_with(signature) {
                return Progress::Done(preface);
            }
            if signature.starts_with(received) {
                return Progress::NeedMore;
            }
        }
        if EMPTY_LINE.starts_with(received) {
            return Progress::NeedMore;
        }
        request_line(received.strip_prefix(EMPTY_LINE).unwrap_or(received))
    }
}

fn request_line(line: &[u8]) -> Progress<Preface> {
    // Letters and hyphens rather than any token (RFC 9110 section 5.6.2): every registered method is one, and the fewer
    // foreign protocols look like it the better.
    let allowed = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'-';
    let end = line.iter().take(METHOD_LENGTH_MAX.saturating_add(1)).position(|byte| !allowed(byte));
    match end {
        Some(0) => Progress::Done(Preface::Other),
        Some(end) if line.get(end) == Some(&b' ') => Progress::Done(Preface::Http1),
        Some(_) => Progress::Done(Preface::Other),
        None if line.len() > METHOD_LENGTH_MAX => Progress::Done(Preface::Other),
        None => Progress::NeedMore,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Checks the answer, that every shorter beginning needs more, and that no later byte changes it.
    fn assert_decides(bytes: &[u8], preface: Preface) {
        for length in 0..bytes.len() {
            assert_eq!(Preface::read(&bytes[..length]), Progress::NeedMore, "{bytes:?} at {length}");
        }
        for more in [&b""[..], b" ", b"x", b"\r\n"] {
            assert_eq!(Preface::read(&[bytes, more].concat()), Progress::Done(preface), "{bytes:?}");
        }
    }

    #[test]
    fn each_opening_is_known_at_its_deciding_byte() {
        assert_decides(b"\x16\x03", Preface::Tls);
        assert_decides(HTTP2, Preface::Http2);
        for request in [&b"GET "[..], b"\r\nGET ", b"M-SEARCH ", b"UPDATEREDIRECTREF ", b"get ", b"P ", b"PRI * HTTP/1"]
        {
            assert_decides(request, Preface::Http1);
        }
        for other in
            [&b"\x16\x02"[..], b"\x80", b"\0", b" ", b"SSH-2", b"\n", b"\r\r", b"\r\n\r", b"GET/", b"GET\r", b"\xff"]
        {
            assert_decides(other, Preface::Other);
        }
    }

    #[test]
    fn the_longest_method_is_taken_and_one_letter_more_is_not() {
        let longest = [b'A'; METHOD_LENGTH_MAX];
        assert_decides(&[&longest[..], b" "].concat(), Preface::Http1);
        assert_decides(&[&longest[..], b"A"].concat(), Preface::Other);
    }

    proptest! {
        #[test]
        fn an_answer_never_changes_with_later_bytes(bytes in "(PRI \\* HTTP/2.0\r\n\r\nSM\r\n\r\n|\r\n)?[A-Z\r\n -]{0,40}") {
            let whole = Preface::read(bytes.as_bytes());
            for length in 0..bytes.len() {
                let early = Preface::read(&bytes.as_bytes()[..length]);
                prop_assert!(early == Progress::NeedMore || early == whole);
            }
        }
    }
}
