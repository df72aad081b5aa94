use super::{ClientHello, HelloFault, MalformedHello, message};
use crate::sniff::Progress;

/// The longest ClientHello, its own header of four bytes included.
///
/// Post-quantum key shares make 1.8 KB, tickets and many names a few KB more; rustls and BoringSSL stop at 64 KiB or below.
pub const HELLO_LENGTH_MAX: usize = 64 * 1024;

/// The most TLS records that a ClientHello may be split over.
///
/// Bounds what framing adds to the bytes held: 5 bytes each, 20 KiB. It allows any hello of common size in records of one byte.
pub const RECORDS_MAX: usize = 4096;

/// Type, version, length (RFC 8446 section 5.1).
const RECORD_HEADER_LENGTH: usize = 5;
/// RFC 8446 section 5.1: `length` of a plain-text record.
const RECORD_LENGTH_MAX: usize = 1 << 14;
/// RFC 8446 section 5.1: `ContentType.handshake`.
const RECORD_HANDSHAKE: u8 = 22;
/// The first byte of every version since SSL 3.0; the second is to be ignored (RFC 8446 section 5.1).
const RECORD_VERSION_MAJOR: u8 = 3;

/// Type and 24-bit length (RFC 8446 section 4).
const MESSAGE_HEADER_LENGTH: usize = 4;
/// RFC 8446 section 4: `HandshakeType.client_hello`.
const MESSAGE_CLIENT_HELLO: u8 = 1;

/// Finds the ClientHello in the first bytes of a TLS connection, as they arrive.
///
/// Each byte is looked at once: a hello that comes a byte at a time, or in records of one byte, costs linear work.
#[derive(Debug, Default)]
pub struct HelloReader {
    /// The bytes that have been taken, record headers included.
    taken: usize,
    /// The bytes of the current record that have not been taken.
    record_left: usize,
    records: usize,
    /// The hello so far, once it spans records. That of one record is parsed where it lies.
    joined: Vec<u8>,
}

impl HelloReader {
    /// A reader that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on with `received`: every byte of the connection so far, from its first.
    ///
    /// Bytes behind the hello, in its last record or after, are not looked at.
    ///
    /// # Errors
    /// What is wrong with the hello; the client is to blame. The answer is final.
    pub fn advance(&mut self, received: &[u8]) -> Result<Progress<ClientHello>, HelloFault> {
        loop {
            let message = self.message(received);
            let lacking = lacking(message)?;
            if lacking == 0 {
                let body = message.get(MESSAGE_HEADER_LENGTH..).unwrap_or_default();
                return Ok(Progress::Done(message::parse(body)?));
            }
            if self.record_left == 0 && !self.begin_record(received)? {
                return Ok(Progress::NeedMore);
            }
            let rest = received.get(self.taken..).unwrap_or_default();
            let fragment = rest.get(..lacking.min(self.record_left)).unwrap_or(rest);
            if fragment.is_empty() {
                return Ok(Progress::NeedMore);
            }
            if self.records > 1 {
                self.joined.extend_from_slice(fragment);
            }
            self.taken = self.taken.saturating_add(fragment.len());
            self.record_left = self.record_left.saturating_sub(fragment.len());
        }
    }

    /// Takes the next record's header, if it is all there.
    fn begin_record(&mut self, received: &[u8]) -> Result<bool, HelloFault> {
        let length = match received.get(self.taken..).unwrap_or_default() {
            [kind, ..] if *kind != RECORD_HANDSHAKE => return Err(MalformedHello::RecordType.into()),
            [_, major, ..] if *major != RECORD_VERSION_MAJOR => return Err(MalformedHello::RecordVersion.into()),
            [_, _, _, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
            _ => return Ok(false),
        };
        if length == 0 || length > RECORD_LENGTH_MAX {
            return Err(MalformedHello::RecordLength.into());
        }
        if self.records == RECORDS_MAX {
            return Err(HelloFault::TooLarge);
        }
        if self.records == 1 {
            self.joined = self.message(received).to_vec();
        }
        self.records += 1;
        self.taken = self.taken.saturating_add(RECORD_HEADER_LENGTH);
        self.record_left = length;
        Ok(true)
    }

    /// The handshake message so far, without the framing of its records.
    fn message<'a>(&'a self, received: &'a [u8]) -> &'a [u8] {
        match self.records {
            0 => &[],
            1 => received.get(RECORD_HEADER_LENGTH..self.taken).unwrap_or_default(),
            _ => &self.joined,
        }
    }
}

/// How many bytes must at least still come: those of the header, then those of the whole message.
fn lacking(message: &[u8]) -> Result<usize, HelloFault> {
    match message {
        [kind, ..] if *kind != MESSAGE_CLIENT_HELLO => Err(MalformedHello::MessageType.into()),
        [_, high, middle, low, body @ ..] => {
            let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
            if length > HELLO_LENGTH_MAX - MESSAGE_HEADER_LENGTH {
                return Err(HelloFault::TooLarge);
            }
            Ok(length.saturating_sub(body.len()))
        }
        header => Ok(MESSAGE_HEADER_LENGTH.saturating_sub(header.len())),
    }
}
