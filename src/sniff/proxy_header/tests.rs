use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

type Answer = Result<Progress<Option<ProxyHeaderFound>>, ProxyHeaderFault>;

fn found(header: ProxyHeader, length: usize) -> Answer {
    Ok(Progress::Done(Some(ProxyHeaderFound { header, length })))
}

fn proxied(source: &str, destination: &str) -> ProxyHeader {
    ProxyHeader::proxied(source.parse().unwrap(), destination.parse().unwrap())
}

fn v2(version_command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [v2::SIGNATURE, &[version_command, family], &length, block].concat()
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind][..], &u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
}

/// 192.0.2.1:1000 to 192.0.2.2:443.
const INET: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 3, 232, 1, 187];

fn inet() -> ProxyHeader {
    proxied("192.0.2.1:1000", "192.0.2.2:443")
}

#[test]
fn lines_of_version_1_are_read_and_what_follows_is_left() {
    let cases = [
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1000 443\r\n", inet()),
        ("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n", proxied("255.255.255.255:65535", "0.0.0.0:0")),
        ("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", proxied("[2001:db8::1]:1", "[::1]:2")),
        ("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1000 443\r\n", inet()),
        ("PROXY UNKNOWN\r\n", ProxyHeader::Unknown),
        ("PROXY UNKNOWN anything \0 at all\r\n", ProxyHeader::Unknown),
    ];
    for (line, header) in cases {
        assert_eq!(ProxyHeader::read(line.as_bytes()), found(header, line.len()), "{line}");
        assert_eq!(ProxyHeader::read(format!("{line}\r\nrest").as_bytes()), found(header, line.len()), "{line}");
    }
}

#[test]
fn lines_that_break_a_rule_of_version_1_are_refused() {
    let cases = [
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1000 443\n", ProxyHeaderFault::LineEnd),
        ("PROXY \r\n", ProxyHeaderFault::LineProtocol),
        ("PROXY UDP4 192.0.2.1 192.0.2.2 1000 443\r\n", ProxyHeaderFault::LineProtocol),
        ("PROXY tcp4 192.0.2.1 192.0.2.2 1000 443\r\n", ProxyHeaderFault::LineProtocol),
        ("PROXY UNKNOWNS\r\n", ProxyHeaderFault::LineProtocol),
        ("PROXY TCP4\r\n", ProxyHeaderFault::LineAddress),
        ("PROXY TCP4 ::1 ::1 1 2\r\n", ProxyHeaderFault::LineAddress),
        ("PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", ProxyHeaderFault::LineAddress),
        ("PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n", ProxyHeaderFault::LineAddress),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n", ProxyHeaderFault::LineAddress),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n", ProxyHeaderFault::LineAddress),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", ProxyHeaderFault::LineAddress),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 \r\n", ProxyHeaderFault::LineAddress),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n", ProxyHeaderFault::LineAddress),
        ("PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n", ProxyHeaderFault::LineAddress),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\r\n", ProxyHeaderFault::LineAddress),
        ("PROXY TCP6 fe80::1%lo ::1 1 2\r\n", ProxyHeaderFault::LineAddress),
    ];
    for (line, fault) in cases {
        assert_eq!(ProxyHeader::read(line.as_bytes()), Err(fault), "{line}");
    }
}

#[test]
fn the_longest_line_is_taken_and_one_byte_more_is_not() {
    let line = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16)).into_bytes();
    assert_eq!(ProxyHeader::read(&line(PROXY_V1_LENGTH_MAX)), found(ProxyHeader::Unknown, PROXY_V1_LENGTH_MAX));
    assert_eq!(ProxyHeader::read(&line(PROXY_V1_LENGTH_MAX + 1)), Err(ProxyHeaderFault::LineTooLong));
    let endless = [b'x'; PROXY_V1_LENGTH_MAX - 6];
    assert_eq!(ProxyHeader::read(&[b"PROXY ", &endless[1..]].concat()), Ok(Progress::NeedMore));
    assert_eq!(ProxyHeader::read(&[b"PROXY ", &endless[..]].concat()), Err(ProxyHeaderFault::LineTooLong));
}

#[test]
fn headers_of_version_2_are_read_and_what_follows_is_left() {
    let inet6: Vec<u8> = [[0; 15].as_slice(), &[1], &[0; 15], &[2], &[0, 7, 0, 8]].concat();
    let cases = [
        (v2(0x21, 0x11, &INET), inet()),
        (v2(0x21, 0x21, &inet6), proxied("[::1]:7", "[::2]:8")),
        (v2(0x21, 0x11, &[&INET[..], &tlv(1, b"h2"), &tlv(4, &[])].concat()), inet()),
        (v2(0x20, 0x00, &[]), ProxyHeader::Local),
        (v2(0x20, 0x11, &INET), ProxyHeader::Local),
        (v2(0x20, 0xff, &[1, 2, 3]), ProxyHeader::Local),
        (v2(0x21, 0x00, &[1, 2, 3]), ProxyHeader::Unknown),
        (v2(0x21, 0x10, &INET), ProxyHeader::Unknown),
        (v2(0x21, 0x12, &INET), ProxyHeader::Unknown),
        (v2(0x21, 0x31, &[b'/'; 216]), ProxyHeader::Unknown),
        (v2(0x21, 0x32, &[&[b'/'; 216][..], &tlv(5, b"id")].concat()), ProxyHeader::Unknown),
    ];
    for (bytes, header) in cases {
        assert_eq!(ProxyHeader::read(&bytes), found(header, bytes.len()), "{bytes:?}");
        for length in 0..bytes.len() {
            assert_eq!(ProxyHeader::read(&bytes[..length]), Ok(Progress::NeedMore), "{bytes:?}");
        }
        assert_eq!(ProxyHeader::read(&[&bytes[..], b"rest"].concat()), found(header, bytes.len()), "{bytes:?}");
    }
}

#[test]
fn headers_that_break_a_rule_of_version_2_are_refused() {
    let cases = [
        (v2(0x11, 0x11, &INET), ProxyHeaderFault::Version),
        (v2(0x31, 0x11, &INET), ProxyHeaderFault::Version),
        (v2(0x22, 0x11, &INET), ProxyHeaderFault::Command),
        (v2(0x21, 0x41, &INET), ProxyHeaderFault::Family),
        (v2(0x21, 0x13, &INET), ProxyHeaderFault::Family),
        (v2(0x21, 0x11, &INET[..11]), ProxyHeaderFault::PastEnd),
        (v2(0x21, 0x21, &[0; 35]), ProxyHeaderFault::PastEnd),
        (v2(0x21, 0x31, &[0; 215]), ProxyHeaderFault::PastEnd),
        (v2(0x21, 0x11, &[&INET[..], &[4]].concat()), ProxyHeaderFault::PastEnd),
        (v2(0x21, 0x11, &[&INET[..], &[4, 0, 2, 0]].concat()), ProxyHeaderFault::PastEnd),
    ];
    for (bytes, fault) in cases {
        assert_eq!(ProxyHeader::read(&bytes), Err(fault), "{bytes:?}");
    }
}

#[test]
fn the_longest_block_is_taken_and_one_byte_more_is_not() {
    let padding = |length: usize| [&INET[..], &tlv(4, &vec![0; length - INET.len() - 3])].concat();
    let longest = v2(0x21, 0x11, &padding(PROXY_V2_BLOCK_LENGTH_MAX));
    assert_eq!(ProxyHeader::read(&longest), found(inet(), longest.len()));
    let above = v2(0x21, 0x11, &padding(PROXY_V2_BLOCK_LENGTH_MAX + 1));
    assert_eq!(ProxyHeader::read(&above[..16]), Err(ProxyHeaderFault::BlockTooLong));
}

#[test]
fn a_checksum_is_compared_wherever_it_stands() {
    for (before, after) in [(&[][..], &[][..]), (b"abc", b""), (b"", b"de")] {
        let with = |checksum: &[u8]| {
            let tlvs = [tlv(5, before), tlv(3, checksum), tlv(4, after)].concat();
            v2(0x21, 0x11, &[&INET[..], &tlvs].concat())
        };
        let right = checksum::crc32c([&with(&[0; 4])[..]]).to_be_bytes();
        let whole = with(&right);
        assert_eq!(ProxyHeader::read(&whole), found(inet(), whole.len()));
        for place in 16..28 {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            assert_eq!(ProxyHeader::read(&changed), Err(ProxyHeaderFault::Checksum));
        }
        assert_eq!(ProxyHeader::read(&with(&right[..3])), Err(ProxyHeaderFault::Checksum));
        assert_eq!(ProxyHeader::read(&with(&[])), Err(ProxyHeaderFault::Checksum));
    }
}

#[test]
fn a_known_header_with_a_checksum_verifies() {
    // The 16 bytes fixed, 192.0.2.1:1000 to 192.0.2.2:443, CRC32C: fixes the order of the checksum's bytes.
    let header = v2(0x21, 0x11, &[&INET[..], &tlv(3, &[0x65, 0xd4, 0x5c, 0xa7])].concat());
    assert_eq!(ProxyHeader::read(&header), found(inet(), header.len()));
}

#[test]
fn other_bytes_are_no_header_and_their_beginnings_need_more() {
    for bytes in [
        &b"POST / HTTP/1.1"[..],
        b"PRI * HTTP/2.0",
        b"\x16\x03\x01",
        b"\r\nGET /",
        b"\r\n\r\n\0\r\nQUIX",
        b"PROXYING",
        b"proxy ",
    ] {
        assert_eq!(ProxyHeader::read(bytes), Ok(Progress::Done(None)), "{bytes:?}");
    }
    for bytes in [&b""[..], b"P", b"PR", b"PROXY", b"\r", b"\r\n\r\n\0\r\nQUIT"] {
        assert_eq!(ProxyHeader::read(bytes), Ok(Progress::NeedMore), "{bytes:?}");
    }
}

#[test]
fn what_has_no_addresses_is_written_without() {
    for (header, version, read) in [
        (ProxyHeader::Local, ProxyVersion::V1, ProxyHeader::Unknown),
        (ProxyHeader::Local, ProxyVersion::V2, ProxyHeader::Local),
        (ProxyHeader::Unknown, ProxyVersion::V1, ProxyHeader::Unknown),
        (ProxyHeader::Unknown, ProxyVersion::V2, ProxyHeader::Unknown),
    ] {
        let mut bytes = Vec::new();
        header.encode(version, &mut bytes);
        assert_eq!(ProxyHeader::read(&bytes), found(read, bytes.len()));
    }
}

#[test]
fn mixed_families_are_written_as_ipv6() {
    let header = proxied("192.0.2.1:1000", "[2001:db8::1]:443");
    let mut line = Vec::new();
    header.encode(ProxyVersion::V1, &mut line);
    assert_eq!(str::from_utf8(&line), Ok("PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1000 443\r\n"));
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        any::<(Ipv4Addr, u16)>().prop_map(SocketAddr::from),
        any::<(Ipv6Addr, u16)>().prop_map(SocketAddr::from),
        any::<(Ipv4Addr, u16)>().prop_map(|(address, port)| (address.to_ipv6_mapped(), port).into()),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_and_every_prefix_needs_more(
        source in any_address(), destination in any_address(), binary in any::<bool>(), payload in any::<Vec<u8>>(),
    ) {
        let header = ProxyHeader::proxied(source, destination);
        let mut bytes = Vec::new();
        header.encode(if binary { ProxyVersion::V2 } else { ProxyVersion::V1 }, &mut bytes);
        for length in 0..bytes.len() {
            prop_assert_eq!(ProxyHeader::read(&bytes[..length]), Ok(Progress::NeedMore));
        }
        let length = bytes.len();
        prop_assert!(binary || length <= PROXY_V1_LENGTH_MAX);
        bytes.extend(payload);
        prop_assert_eq!(ProxyHeader::read(&bytes), found(header, length));
    }

    #[test]
    fn an_answer_never_changes_with_later_bytes(
        signature in prop_oneof![Just(v1::SIGNATURE), Just(v2::SIGNATURE), Just(&b"PROXY TCP4 "[..]), Just(&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0"[..])],
        bytes in any::<Vec<u8>>(),
    ) {
        let bytes = [signature, &bytes].concat();
        let whole = ProxyHeader::read(&bytes);
        for length in 0..bytes.len() {
            let early = ProxyHeader::read(&bytes[..length]);
            prop_assert!(early == Ok(Progress::NeedMore) || early == whole);
        }
    }
}
