//! A ClientHello that somebody has recorded.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::exit::{ExitStatus, fail};
use super::output::complain;
use crate::sniff::{ClientHello, HELLO_LENGTH_MAX, HelloReader, Progress};

/// The longest file that is read: a ClientHello at its longest is 64 KiB, and four times that as a dump with offsets and characters.
const FILE_LENGTH_MAX: u64 = 1024 * 1024;

/// RFC 8446 section 5.1: `ContentType.handshake`; section 4: `HandshakeType.client_hello`.
const RECORD_HANDSHAKE: u8 = 22;
const MESSAGE_CLIENT_HELLO: u8 = 1;

/// The most bytes of a record (RFC 8446 section 5.1).
const RECORD_LENGTH_MAX: usize = 1 << 14;

/// Reads a ClientHello from a file: the bytes as they are sent, records and all, a packet or capture that holds them in one
/// piece, the handshake message alone, or either as a dump in hexadecimal. What goes wrong is said, and is the exit status.
pub(super) fn read(path: &Path) -> Result<ClientHello, ExitStatus> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_LENGTH_MAX + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        let status = ExitStatus::of_io(&error);
        let error = io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        return Err(fail(status, &error));
    }
    find(bytes).map_err(|problem| {
        complain(format!("{}: {problem}", path.display()));
        ExitStatus::Data
    })
}

fn find(bytes: Vec<u8>) -> Result<ClientHello, String> {
    if bytes.len() as u64 > FILE_LENGTH_MAX {
        return Err("it is longer than 1 MiB, so it is no recorded ClientHello".into());
    }
    // A dump is told by what it is not: around it stands whatever a terminal was sent, which need be no text at all.
    let bytes = match (begin(&bytes), bytes.first()) {
        (Some(_), _) | (None, Some(&MESSAGE_CLIENT_HELLO)) => bytes,
        (None, _) => {
            dumped(&bytes.iter().filter(|byte| byte.is_ascii()).map(|byte| char::from(*byte)).collect::<String>())
        }
    };
    let records = match (begin(&bytes), bytes.first()) {
        (Some(at), _) => bytes.get(at..).unwrap_or_default().to_vec(),
        (None, Some(&MESSAGE_CLIENT_HELLO)) => framed(&bytes),
        (None, _) => return Err("it holds no TLS ClientHello: no handshake record that begins with one".into()),
    };
    match HelloReader::new().advance(&records) {
        Ok(Progress::Done(hello)) => Ok(hello),
        Ok(Progress::NeedMore) => Err(format!("the ClientHello is not whole: it ends after {} bytes", records.len())),
        Err(fault) => Err(crate::outcome::with_causes(&fault)),
    }
}

/// Where the record of a ClientHello begins: at the beginning, or behind the headers of a packet.
fn begin(bytes: &[u8]) -> Option<usize> {
    bytes.windows(6).position(|window| matches!(window, [RECORD_HANDSHAKE, 3, 0..=4, _, _, MESSAGE_CLIENT_HELLO]))
}

/// A handshake message in records of its own.
fn framed(message: &[u8]) -> Vec<u8> {
    let mut records = Vec::with_capacity(message.len() + 5);
    // What is longer than any hello is refused by its own length.
    for piece in message.get(..HELLO_LENGTH_MAX).unwrap_or(message).chunks(RECORD_LENGTH_MAX) {
        records.extend_from_slice(&[RECORD_HANDSHAKE, 3, 1]);
        records.extend_from_slice(&u16::try_from(piece.len()).unwrap_or(0).to_be_bytes());
        records.extend_from_slice(piece);
    }
    records
}

/// The bytes of a dump: hexadecimal, in lines as xxd(1), `tcpdump -x`, `tcpdump -X` and `openssl s_client -msg` or `-debug`
/// write them, with an offset in front and characters behind, or without. What is no such line is passed over.
fn dumped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        let line = match line.split_once([':', ' ']) {
            // An offset: `0x0010:` and `00000010:`, or `0010 -`.
            Some((offset, rest))
                if line.contains(':') && offset.len() >= 4 && is_offset(offset) && after(line, offset) =>
            {
                rest
            }
            Some((offset, rest)) if rest.starts_with("- ") && is_offset(offset) => rest.get(2..).unwrap_or_default(),
            Some(_) | None => line,
        };
        // The characters come behind two spaces at least.
        let digits = line.trim_start().split("  ").next().unwrap_or_default();
        let digits: String = digits.chars().filter(|character| !matches!(character, ' ' | ':' | '-' | '\t')).collect();
        let pairs = digits.as_bytes().chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
            u8::from_str_radix(pair, 16).ok()
        });
        bytes.extend(pairs.collect::<Option<Vec<u8>>>().unwrap_or_default());
    }
    bytes
}

fn is_offset(text: &str) -> bool {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// Whether a colon and a space, or the end, follow the offset: else they are bytes with colons between them.
fn after(line: &str, offset: &str) -> bool {
    line.get(offset.len()..).is_some_and(|rest| rest == ":" || rest.starts_with(": ") || rest.starts_with(":\t"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ClientHello for shop.test that offers TLS 1.3 and h2, in one record.
    fn hello() -> Vec<u8> {
        let name = b"shop.test";
        let mut extensions = Vec::new();
        extensions.extend_from_slice(&[0, 0, 0, 14, 0, 12, 0, 0, 9]);
        extensions.extend_from_slice(name);
        extensions.extend_from_slice(&[0, 16, 0, 5, 0, 3, 2, b'h', b'2']);
        extensions.extend_from_slice(&[0, 43, 0, 3, 2, 3, 4]);
        let mut body = vec![3, 3];
        body.extend_from_slice(&[7; 32]);
        body.extend_from_slice(&[0, 0, 2, 0x13, 1, 1, 0, 0, u8::try_from(extensions.len()).unwrap()]);
        body.extend_from_slice(&extensions);
        let mut bytes = vec![22, 3, 1, 0, u8::try_from(body.len() + 4).unwrap(), 1, 0, 0];
        bytes.push(u8::try_from(body.len()).unwrap());
        bytes.extend_from_slice(&body);
        bytes
    }

    fn hex(bytes: &[u8], group: usize) -> String {
        let groups =
            bytes.chunks(group).map(|group| group.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        groups.collect::<Vec<_>>().join(" ")
    }

    /// The dump of a tool: each line by its offset and its bytes.
    fn dump(bytes: &[u8], line: impl Fn(usize, &[u8]) -> String) -> Vec<u8> {
        let lines = bytes.chunks(16).enumerate().map(|(number, piece)| line(number * 16, piece));
        lines.collect::<Vec<_>>().join("\n").into_bytes()
    }

    #[test]
    fn a_hello_is_found_in_whatever_form_it_was_recorded() {
        let bytes = hello();
        let packet = [&[0x45, 0, 1, 0x22, 22, 3][..], &[9; 38], &bytes].concat();
        let forms = [
            ("raw", bytes.clone()),
            ("with more behind", [&bytes[..], b"\x17\x03\x03\x00\x01x"].concat()),
            ("a packet", packet.clone()),
            ("the message alone", bytes[5..].to_vec()),
            ("hex", hex(&bytes, usize::MAX).into_bytes()),
            ("hex of the message", hex(&bytes[5..], 1).into_bytes()),
            ("hex with colons", hex(&bytes, 1).replace(' ', ":").into_bytes()),
            ("xxd", dump(&bytes, |at, piece| format!("{at:08x}: {}  ....a: b", hex(piece, 2)))),
            ("tcpdump -x", dump(&packet, |at, piece| format!("\t0x{at:04x}:  {}", hex(piece, 2)))),
            ("tcpdump -X", dump(&packet, |at, piece| format!("\t0x{at:04x}:  {}  E..\"..  ab cd", hex(piece, 2)))),
            ("openssl -debug", dump(&bytes, |at, piece| format!("{at:04x} - {}   ........", hex(piece, 1)))),
            (
                "openssl -msg",
                format!(
                    "CONNECTED(00000003)\n>>> TLS 1.0, RecordHeader [length 0005]\n    {}\n>>> TLS 1.3, Handshake [length \
                     {:04x}], ClientHello\n{}\n<<< TLS 1.2, RecordHeader [length 0005]\n    16 03 03 00 7a\n",
                    hex(&bytes[..5], 1),
                    bytes.len() - 5,
                    String::from_utf8(dump(&bytes[5..], |_, piece| format!("    {}", hex(piece, 1)))).unwrap(),
                )
                .into_bytes(),
            ),
        ];
        for (form, recorded) in forms {
            let found = find(recorded.clone()).unwrap_or_else(|problem| {
                panic!("{form}: {problem}\n{}", String::from_utf8_lossy(&recorded));
            });
            assert_eq!(found.server_name.as_ref().map(|name| name.as_str()), Some("shop.test"), "{form}");
            assert_eq!(found.alpn, [Box::from(*b"h2")], "{form}");
        }
    }

    #[test]
    fn a_dump_is_read_whatever_bytes_stand_around_it() {
        let text = dump(&hello(), |at, piece| format!("{at:04x} - {}   ........", hex(piece, 1)));
        for around in [&b"\x80"[..], b"\xff\xfe\n", b"\x1b[1mbold\x1b[0m\n", b"\0\n", "K\u{f6}ln\n".as_bytes()] {
            let forms = [
                [&text[..], around].concat(),
                [&text[..], b"\n", around].concat(),
                [around, b"\n", &text[..]].concat(),
            ];
            for recorded in forms {
                let found = find(recorded.clone());
                let name = found.as_ref().ok().and_then(|hello| hello.server_name.as_ref());
                assert!(name.is_some_and(|name| name.as_str() == "shop.test"), "{around:?}: {found:?}");
            }
        }
    }

    #[test]
    fn a_recording_of_the_greatest_length_is_read_and_one_byte_more_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hello.bin");
        let mut recorded = hello();
        recorded.resize(usize::try_from(FILE_LENGTH_MAX).unwrap(), 0);
        std::fs::write(&path, &recorded).unwrap();
        assert!(read(&path).is_ok_and(|hello| hello.server_name.is_some()));
        recorded.push(0);
        assert!(find(recorded.clone()).unwrap_err().contains("longer than 1 MiB"));
        std::fs::write(&path, &recorded).unwrap();
        assert_eq!(read(&path).unwrap_err(), ExitStatus::Data);
    }

    #[test]
    fn what_is_no_hello_is_said() {
        let bytes = hello();
        for (recorded, part) in [
            (Vec::new(), "no TLS ClientHello"),
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "no TLS ClientHello"),
            (vec![0xff; 100], "no TLS ClientHello"),
            (bytes[..bytes.len() - 1].to_vec(), "not whole"),
            (hex(&bytes[..40], 1).into_bytes(), "ends after 40 bytes"),
            (vec![22, 3, 1, 0, 5, 1, 0, 0, 1, 0], "malformed"),
        ] {
            let problem = find(recorded.clone()).unwrap_err();
            assert!(problem.contains(part), "{recorded:?}: {problem}");
        }
    }
}
