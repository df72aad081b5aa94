use proptest::prelude::*;

use super::*;
use crate::sniff::Progress;

const RECORD_LENGTH_MAX: usize = 1 << 14;

/// A hello under construction: legal until a test says otherwise.
#[derive(Clone, Debug)]
struct Hello {
    version: u16,
    session_id: Vec<u8>,
    cipher_suites: Vec<u8>,
    compression_methods: Vec<u8>,
    extensions: Option<Vec<u8>>,
    behind: Vec<u8>,
}

impl Hello {
    fn new() -> Self {
        Self {
            version: 0x0303,
            session_id: vec![7; 32],
            cipher_suites: vec![0x13, 0x01, 0x13, 0x02],
            compression_methods: vec![0],
            extensions: None,
            behind: Vec::new(),
        }
    }

    fn extension(mut self, kind: u16, content: &[u8]) -> Self {
        let extensions = self.extensions.get_or_insert_default();
        extensions.extend(kind.to_be_bytes());
        extensions.extend(block16(content));
        self
    }

    fn server_name(self, name: &[u8]) -> Self {
        self.extension(0, &block16(&[&[0][..], &block16(name)].concat()))
    }

    fn alpn(self, names: &[&[u8]]) -> Self {
        let names: Vec<u8> = names.iter().flat_map(|name| block8(name)).collect();
        self.extension(16, &block16(&names))
    }

    fn supported_versions(self, versions: &[u16]) -> Self {
        let versions: Vec<u8> = versions.iter().flat_map(|version| version.to_be_bytes()).collect();
        self.extension(43, &block8(&versions))
    }

    /// A hello of exactly `length` bytes, by extensions that nobody knows.
    fn padded(mut self, length: usize) -> Self {
        let mut kind = 0x4000;
        while self.message().len() < length {
            let lacking = length - self.message().len();
            let header = if self.extensions.is_none() { 6 } else { 4 };
            self = self.extension(kind, &vec![0; (lacking - header).min(8000)]);
            let left = length - self.message().len();
            assert!(left == 0 || left > 4);
            kind += 1;
        }
        self
    }

    fn body(&self) -> Vec<u8> {
        let mut body = self.version.to_be_bytes().to_vec();
        body.extend([9; 32]);
        body.extend(block8(&self.session_id));
        body.extend(block16(&self.cipher_suites));
        body.extend(block8(&self.compression_methods));
        if let Some(extensions) = &self.extensions {
            body.extend(block16(extensions));
        }
        body.extend(&self.behind);
        body
    }

    fn message(&self) -> Vec<u8> {
        let body = self.body();
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[1][..], &length[1..], &body].concat()
    }

    fn wire(&self) -> Vec<u8> {
        records(&self.message(), RECORD_LENGTH_MAX)
    }
}

fn block8(content: &[u8]) -> Vec<u8> {
    [&[u8::try_from(content.len()).unwrap()][..], content].concat()
}

fn block16(content: &[u8]) -> Vec<u8> {
    [&u16::try_from(content.len()).unwrap().to_be_bytes()[..], content].concat()
}

fn record(fragment: &[u8]) -> Vec<u8> {
    [&[22, 3, 1][..], &block16(fragment)].concat()
}

fn records(message: &[u8], size: usize) -> Vec<u8> {
    message.chunks(size).flat_map(record).collect()
}

fn read(wire: &[u8]) -> Result<Progress<ClientHello>, HelloFault> {
    HelloReader::new().advance(wire)
}

fn hello(wire: &[u8]) -> ClientHello {
    match read(wire) {
        Ok(Progress::Done(hello)) => hello,
        other => panic!("{other:?}"),
    }
}

fn fault(wire: &[u8]) -> MalformedHello {
    match read(wire) {
        Err(HelloFault::Malformed(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

/// Feeds the bytes one at a time, and says after how many the answer came.
fn read_bytewise(wire: &[u8]) -> (usize, Result<Progress<ClientHello>, HelloFault>) {
    let mut reader = HelloReader::new();
    for length in 0..=wire.len() {
        let answer = reader.advance(&wire[..length]);
        if answer != Ok(Progress::NeedMore) {
            return (length, answer);
        }
    }
    (wire.len(), Ok(Progress::NeedMore))
}

fn full() -> Hello {
    Hello::new()
        .extension(0x0a0a, &[])
        .server_name(b"Shop.Example.com")
        .alpn(&[b"\x0a\x0a", b"h2", b"http/1.1"])
        .supported_versions(&[0x1a1a, 0x0304, 0x0303])
        .extension(0xfe0d, &[0, 0, 1, 0, 1])
        .extension(0x2a2a, &[0])
}

#[test]
fn what_routing_asks_is_read_and_grease_is_passed_over() {
    assert_eq!(
        hello(&full().wire()),
        ClientHello {
            server_name: Some(HostName::parse("shop.example.com").unwrap()),
            alpn: vec![Box::from(&b"\x0a\x0a"[..]), Box::from(&b"h2"[..]), Box::from(&b"http/1.1"[..])],
            tls_versions: &[TlsVersion::Tls12, TlsVersion::Tls13],
            ech: true,
        }
    );
}

#[test]
fn a_hello_without_extensions_is_one_of_tls_1_2_without_a_name() {
    let expected = ClientHello { server_name: None, alpn: vec![], tls_versions: &[TlsVersion::Tls12], ech: false };
    assert_eq!(hello(&Hello::new().wire()), expected);
    let mut empty = Hello::new();
    empty.extensions = Some(Vec::new());
    assert_eq!(hello(&empty.wire()), expected);
}

#[test]
fn versions_are_those_of_the_extension_and_without_it_that_of_the_hello() {
    let of = |version, supported: Option<&[u16]>| {
        let mut hello_ = Hello::new();
        hello_.version = version;
        hello(&supported.map_or(hello_.clone(), |versions| hello_.supported_versions(versions)).wire()).tls_versions
    };
    assert_eq!(of(0x0303, Some(&[0x0304])), [TlsVersion::Tls13]);
    assert_eq!(of(0x0303, Some(&[0x0303, 0x0302])), [TlsVersion::Tls12]);
    assert_eq!(of(0x0303, Some(&[0x7f1c, 0x0302])), []);
    assert_eq!(of(0x0301, Some(&[0x0304])), [TlsVersion::Tls13]);
    assert_eq!(of(0x0301, None), []);
    assert_eq!(of(0x0304, None), [TlsVersion::Tls12]);
}

#[test]
fn an_ip_literal_counts_as_no_name_and_a_final_dot_does_not_count() {
    for literal in ["127.0.0.1", "::1", "2001:db8::7"] {
        assert_eq!(hello(&Hello::new().server_name(literal.as_bytes()).wire()).server_name, None, "{literal}");
    }
    let name = hello(&Hello::new().server_name(b"a.example.").wire()).server_name;
    assert_eq!(name.as_ref().map(HostName::as_str), Some("a.example"));
}

#[test]
fn a_name_of_an_unknown_type_ends_the_list() {
    let entries = [&[0][..], &block16(b"a.example"), &[9, 1, 2, 3]].concat();
    assert!(hello(&Hello::new().extension(0, &block16(&entries)).wire()).server_name.is_some());
    let unknown_alone = Hello::new().extension(0, &block16(&[9, 1, 2, 3]));
    assert_eq!(fault(&unknown_alone.wire()), MalformedHello::ServerNameCount);
}

#[test]
fn only_the_outer_form_of_ech_counts() {
    assert!(!hello(&Hello::new().extension(0xfe0d, &[1]).wire()).ech);
    assert!(!hello(&Hello::new().extension(0xfe0d, &[]).wire()).ech);
}

#[test]
fn bytes_behind_the_hello_are_not_looked_at() {
    let whole = hello(&full().wire());
    let message = full().message();
    assert_eq!(hello(&[&full().wire()[..], &[0xff; 9]].concat()), whole);
    assert_eq!(hello(&record(&[&message[..], &[0xff; 9]].concat())), whole);
    // Not even the end of the record that the hello ends in.
    let unfinished = record(&[&message[..], &[0xff; 9]].concat());
    assert_eq!(hello(&unfinished[..5 + message.len()]), whole);
}

#[test]
fn framing_faults_are_told_at_their_first_byte() {
    let wire = full().wire();
    let changed = |place: usize, byte: u8| {
        let mut wire = wire[..=place].to_vec();
        wire[place] = byte;
        fault(&wire)
    };
    assert_eq!(changed(0, 21), MalformedHello::RecordType);
    assert_eq!(changed(0, 0x80), MalformedHello::RecordType);
    assert_eq!(changed(1, 2), MalformedHello::RecordVersion);
    assert_eq!(changed(5, 2), MalformedHello::MessageType);
    // An alert, and a record of another version, in the middle of the hello.
    let half = record(&full().message()[..20]);
    assert_eq!(fault(&[&half[..], &[21]].concat()), MalformedHello::RecordType);
    assert_eq!(fault(&[&half[..], &[22, 4]].concat()), MalformedHello::RecordVersion);
}

#[test]
fn each_rule_of_the_body_refuses_what_breaks_it() {
    let with = |change: fn(&mut Hello)| {
        let mut hello = full();
        change(&mut hello);
        fault(&hello.wire())
    };
    assert_eq!(with(|hello| hello.session_id = vec![0; 33]), MalformedHello::SessionId);
    assert_eq!(with(|hello| hello.cipher_suites.clear()), MalformedHello::CipherSuites);
    assert_eq!(with(|hello| hello.cipher_suites.push(0)), MalformedHello::CipherSuites);
    assert_eq!(with(|hello| hello.compression_methods.clear()), MalformedHello::CompressionMethods);
    assert_eq!(with(|hello| hello.behind.push(0)), MalformedHello::LeftOver);
    assert_eq!(with(|hello| hello.extensions.as_mut().unwrap().push(0)), MalformedHello::PastEnd);

    let cases = [
        (full().extension(0x2a2a, &[]), MalformedHello::DuplicateExtension(0x2a2a)),
        (full().server_name(b"a.example"), MalformedHello::DuplicateExtension(0)),
        (Hello::new().extension(43, &[0]), MalformedHello::SupportedVersions),
        (Hello::new().extension(43, &[1, 3]), MalformedHello::SupportedVersions),
        (Hello::new().extension(43, &[2, 3, 4, 0]), MalformedHello::LeftOver),
        (Hello::new().extension(43, &[4, 3, 4]), MalformedHello::PastEnd),
        (Hello::new().alpn(&[]), MalformedHello::Alpn),
        (Hello::new().alpn(&[b"h2", b""]), MalformedHello::Alpn),
        (Hello::new().extension(16, &[0, 3, 5, b'h', b'2']), MalformedHello::PastEnd),
        (Hello::new().extension(16, &[0, 3, 2, b'h', b'2', 0]), MalformedHello::LeftOver),
        (Hello::new().extension(0, &[]), MalformedHello::PastEnd),
        (Hello::new().extension(0, &[0, 0]), MalformedHello::ServerNameCount),
        (Hello::new().server_name(b""), MalformedHello::ServerName(InvalidHostName::Empty)),
        (Hello::new().server_name(b"a..b"), MalformedHello::ServerName(InvalidHostName::EmptyLabel)),
        (Hello::new().server_name(b"a\0b"), MalformedHello::ServerName(InvalidHostName::Character)),
        (Hello::new().server_name(b"1.2.3.4.5"), MalformedHello::ServerName(InvalidHostName::Address)),
        (Hello::new().server_name(b"\xff"), MalformedHello::ServerNameEncoding),
        (
            Hello::new().extension(0, &block16(&[&[0][..], &block16(b"a"), &[0], &block16(b"b")].concat())),
            MalformedHello::ServerNameCount,
        ),
    ];
    for (hello, expected) in cases {
        assert_eq!(fault(&hello.wire()), expected);
    }
}

#[test]
fn a_body_that_ends_anywhere_is_past_its_end() {
    let body = full().body();
    // The hello may end before its extensions, after the compression methods.
    let before_extensions = Hello::new().body().len();
    for length in (0..body.len()).filter(|length| *length != before_extensions) {
        let message = [&[1, 0][..], &block16(&body[..length])].concat();
        assert_eq!(fault(&record(&message)), MalformedHello::PastEnd, "{length}");
    }
}

#[test]
fn the_longest_hello_is_taken_and_one_byte_more_is_not() {
    let mut longest = full();
    longest.cipher_suites = vec![0x13; 200];
    let longest = longest.padded(HELLO_LENGTH_MAX);
    assert_eq!(longest.message().len(), HELLO_LENGTH_MAX);
    assert_eq!(hello(&longest.wire()).server_name, hello(&full().wire()).server_name);

    let mut above = longest;
    above.session_id.pop();
    above.cipher_suites.extend([0; 2]);
    assert_eq!(above.message().len(), HELLO_LENGTH_MAX + 1);
    // Its length is refused as soon as it is there.
    assert_eq!(read(&above.wire()[..8]), Ok(Progress::NeedMore));
    assert_eq!(read(&above.wire()[..9]), Err(HelloFault::TooLarge));
}

#[test]
fn the_longest_hello_costs_linear_work_one_byte_at_a_time() {
    // A reader that began again with each byte would look at two thousand million.
    let mut longest = full();
    longest.cipher_suites = vec![0x13; 200];
    let longest = longest.padded(HELLO_LENGTH_MAX);
    for size in [RECORD_LENGTH_MAX, HELLO_LENGTH_MAX / RECORDS_MAX] {
        let wire = records(&longest.message(), size);
        assert_eq!(read_bytewise(&wire), (wire.len(), read(&longest.wire())));
    }
}

#[test]
fn the_most_records_are_taken_and_one_more_is_not() {
    let most = Hello::new().padded(RECORDS_MAX).message();
    let whole = records(&most, 1);
    assert!(matches!(read(&whole), Ok(Progress::Done(_))));
    let above = records(&Hello::new().padded(RECORDS_MAX + 1).message(), 1);
    assert_eq!(read(&above[..above.len() - 6]), Ok(Progress::NeedMore));
    assert_eq!(read(&above), Err(HelloFault::TooLarge));
}

#[test]
fn the_longest_record_is_taken_and_one_byte_more_or_none_is_not() {
    let message = full().padded(RECORD_LENGTH_MAX + 1).message();
    let longest = [record(&message[..RECORD_LENGTH_MAX]), record(&message[RECORD_LENGTH_MAX..])].concat();
    assert!(matches!(read(&longest), Ok(Progress::Done(_))));
    assert_eq!(fault(&record(&message)[..5]), MalformedHello::RecordLength);
    assert_eq!(fault(&[record(&message[..9]), record(&[])].concat()), MalformedHello::RecordLength);
}

/// Hellos of every kind that this file knows, legal or not.
fn any_hello() -> impl Strategy<Value = Hello> {
    let extension = (prop_oneof![Just(0_u16), Just(16), Just(43), Just(0xfe0d), any::<u16>()], any::<Vec<u8>>());
    (any::<bool>(), proptest::collection::vec(extension, 0..6)).prop_map(|(named, extensions)| {
        let hello = if named { full() } else { Hello::new() };
        extensions.into_iter().fold(hello, |hello, (kind, content)| hello.extension(kind, &content))
    })
}

proptest! {
    #[test]
    fn framing_and_pace_change_nothing(hello in any_hello(), sizes in proptest::collection::vec(1..40_usize, 1..30)) {
        let message = hello.message();
        let mut rest = &message[..];
        let mut wire = Vec::new();
        for size in sizes.iter().cycle() {
            let (fragment, behind) = rest.split_at(rest.len().min(*size));
            wire.extend(record(fragment));
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        let at_once = read(&hello.wire());
        prop_assert_eq!(read(&wire), at_once.clone());
        // The whole of it is needed: every strict prefix needs more.
        prop_assert_eq!(read_bytewise(&wire), (wire.len(), at_once));
    }

    #[test]
    fn a_changed_byte_never_panics_and_never_depends_on_pace(
        hello in any_hello(), size in 1..200_usize, changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut wire = records(&hello.message(), size);
        for (place, byte) in changes {
            let place = place.index(wire.len());
            wire[place] = byte;
        }
        let (length, answer) = read_bytewise(&wire);
        prop_assert_eq!(read(&wire), answer.clone());
        prop_assert_eq!(read(&wire[..length]), answer);
    }

    #[test]
    fn any_bytes_never_panic(bytes in any::<Vec<u8>>()) {
        let _answer = read(&bytes);
        let _answer = read(&[&[22, 3, 1][..], &bytes].concat());
        let _answer = read(&record(&[&[1, 0][..], &block16(&bytes)].concat()));
    }
}
