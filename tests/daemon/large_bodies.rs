//! A gigabyte up and another one down at once, by every protocol of clients: all of it arrives, and the daemon's memory stays flat.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::thread;

use crate::harness::{HOST, Peer, Proxy, Target, Way};
use crate::http2_spec::frames::{
    ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, WHOLE, WINDOW_UPDATE, field, frame,
};

const GIGABYTE: u64 = 1_000_000_000;

/// What the daemon's resident memory may grow by.
const GROWTH_MAX_KIB: u64 = 16 * 1024;

/// What is written or read at once.
const PIECE: usize = 256 * 1024;

/// What HTTP/2 sends in a frame unless it is told otherwise (RFC 9113 section 6.5.2).
const FRAME_BYTES: usize = 16_384;

/// The windows that a client has and gives at first (RFC 9113 section 6.9.2), and the largest one (section 6.9.1).
const WINDOW_BYTES: u32 = 65_535;
const WINDOW_MAX: u32 = 0x7fff_ffff;

/// A line of proc_pid_status(5), in KiB.
fn status(proxy: &Proxy, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", proxy.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn write_all(to: &mut impl Write, mut left: u64) {
    let piece = vec![b'x'; PIECE];
    while left > 0 {
        let count = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        to.write_all(&piece[..count]).unwrap();
        left -= count as u64;
    }
}

fn read_all(from: &mut impl Read, mut left: u64) {
    let mut piece = vec![0; PIECE];
    while left > 0 {
        let count = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let count = from.read(&mut piece[..count]).unwrap();
        assert!(count > 0, "{left} bytes are missing");
        left -= count as u64;
    }
}

/// A target that takes a body of any length, and answers with one as long as its path says.
fn bulk() -> Target {
    Target::serving(|mut peer| {
        loop {
            let mut first = [0];
            if !peer.tcp().peek(&mut first).is_ok_and(|count| count > 0) {
                return;
            }
            let request = crate::harness::parsed_head(&peer.head());
            read_all(&mut peer, request.field("content-length").parse().unwrap_or(0));
            let length: u64 = request.path().trim_start_matches('/').parse().unwrap();
            peer.send_what_is_taken(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes());
            write_all(&mut peer, length);
        }
    })
}

fn up(mut client: Peer) {
    client.send(format!("POST /2 HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {GIGABYTE}\r\n\r\n").as_bytes());
    write_all(&mut client, GIGABYTE);
    assert_eq!(client.message().status(), 200);
}

fn down(mut client: Peer) {
    client.send(format!("GET /{GIGABYTE} HTTP/1.1\r\nhost: {HOST}\r\n\r\n").as_bytes());
    let head = crate::harness::parsed_head(&client.head());
    assert_eq!((head.status(), head.field("content-length")), (200, GIGABYTE.to_string().as_str()));
    read_all(&mut client, GIGABYTE);
}

/// A head, with `:method` by its index (RFC 7541 appendix A).
fn head(method: u8, path: &str, more: &[u8]) -> Vec<u8> {
    let named = [field(b":path", path.as_bytes()), field(b":authority", HOST.as_bytes())].concat();
    [&[method, 0x86], &named[..], more].concat()
}

/// The next frame: its kind, flags, stream and payload.
fn next(client: &mut impl Read, payload: &mut Vec<u8>) -> (u8, u8, u32) {
    let mut header = [0; 9];
    client.read_exact(&mut header).unwrap();
    let [high, middle, low, kind, flags, one, two, three, four] = header;
    payload.resize(u32::from_be_bytes([0, high, middle, low]) as usize, 0);
    client.read_exact(payload).unwrap();
    (kind, flags, u32::from_be_bytes([one, two, three, four]))
}

fn up_by_http2(mut client: Peer) {
    client.send(PREFACE);
    client.send(&frame(SETTINGS, 0, 0, &[]));
    let length = field(b"content-length", GIGABYTE.to_string().as_bytes());
    client.send(&frame(HEADERS, END_HEADERS, 1, &head(0x83, "/2", &length)));
    let data = frame(DATA, 0, 1, &[b'x'; FRAME_BYTES]);
    let (mut of_connection, mut of_stream) = (i64::from(WINDOW_BYTES), i64::from(WINDOW_BYTES));
    let (mut left, mut payload) = (GIGABYTE, Vec::new());
    loop {
        let window = of_connection.min(of_stream);
        if left > 0 && window >= FRAME_BYTES as i64 {
            let count = left.min(FRAME_BYTES as u64);
            if count == FRAME_BYTES as u64 {
                client.send(&data);
            } else {
                client.send(&frame(DATA, END_STREAM, 1, &data[9..][..count as usize]));
            }
            left -= count;
            of_connection -= count as i64;
            of_stream -= count as i64;
            continue;
        }
        let (kind, flags, stream) = next(&mut client, &mut payload);
        let number = |at: usize| i64::from(u32::from_be_bytes(payload[at..at + 4].try_into().unwrap()));
        match kind {
            WINDOW_UPDATE if stream == 0 => of_connection += number(0),
            WINDOW_UPDATE => of_stream += number(0),
            SETTINGS if flags & ACK == 0 => {
                // Its windows hold from the acknowledgement on.
                client.send(&frame(SETTINGS, ACK, 0, &[]));
                for at in (0..payload.len()).step_by(6).filter(|at| payload[*at..at + 2] == [0, 4]) {
                    of_stream += number(at + 2) - i64::from(WINDOW_BYTES);
                }
            }
            HEADERS => {
                assert_eq!((left, payload[0]), (0, 0x88), "200 when all of it has come");
                return;
            }
            _ => {}
        }
    }
}

fn down_by_http2(mut client: Peer) {
    client.send(PREFACE);
    client.send(&frame(SETTINGS, 0, 0, &[&[0, 4][..], &WINDOW_MAX.to_be_bytes()].concat()));
    client.send(&frame(WINDOW_UPDATE, 0, 0, &(WINDOW_MAX - WINDOW_BYTES).to_be_bytes()));
    client.send(&frame(HEADERS, WHOLE, 1, &head(0x82, &format!("/{GIGABYTE}"), &[])));
    let mut client = BufReader::with_capacity(PIECE, client);
    let (mut come, mut payload) = (0, Vec::new());
    loop {
        let (kind, flags, _) = next(&mut client, &mut payload);
        if kind == DATA {
            come += payload.len() as u64;
            if flags & END_STREAM != 0 {
                break;
            }
        }
    }
    assert_eq!(come, GIGABYTE);
}

fn memory_stays_flat(way: Way, up: fn(Peer), down: fn(Peer), connect: impl Fn(&Proxy) -> Peer + Sync) {
    let target = bulk();
    let proxy = Proxy::start(&way.route("bulk", "127.0.0.2", target.address, ""));
    // The daemon has its buffers before the memory is looked at.
    assert_eq!(way.silent_client(proxy.address("127.0.0.2")).get(HOST, "/2").status(), 200);
    let before = status(&proxy, "VmRSS:");
    thread::scope(|scope| {
        scope.spawn(|| up(connect(&proxy)));
        scope.spawn(|| down(connect(&proxy)));
    });
    let growth = status(&proxy, "VmHWM:").saturating_sub(before);
    assert!(growth < GROWTH_MAX_KIB, "{growth} KiB above {before} KiB");
    let bytes = |name| u64::try_from(proxy.metrics().sum(name, &[("route", "bulk")])).unwrap();
    assert!(bytes("received_bytes_total") >= GIGABYTE && bytes("sent_bytes_total") >= GIGABYTE);
    proxy.finish();
}

#[test]
fn a_gigabyte_goes_both_ways_in_little_memory_by_http_1_1() {
    memory_stays_flat(Way::Http, up, down, |proxy| Way::Http.silent_client(proxy.address("127.0.0.2")));
}

#[test]
fn a_gigabyte_goes_both_ways_in_little_memory_by_http_1_1_inside_tls() {
    let way = Way::TerminateHttp;
    memory_stays_flat(way, up, down, |proxy| way.silent_client(proxy.address("127.0.0.2")));
}

#[test]
fn a_gigabyte_goes_both_ways_in_little_memory_by_http_2() {
    let connect = |proxy: &Proxy| Peer::connect(proxy.address("127.0.0.2"));
    memory_stays_flat(Way::Http, up_by_http2, down_by_http2, connect);
}
