//! HTTP/2 clients that send much that costs them little (RFC 9113 section 10.5): each is ended with its cause counted, and
//! nobody else notices.

use std::fs;
use std::io::{self, Write};
use std::net::Shutdown;
use std::thread;

use crate::harness::{HOST, Peer, Proxy, Target, Way};

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const PRIORITY: u8 = 0x2;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const WINDOW_UPDATE: u8 = 0x8;
const CONTINUATION: u8 = 0x9;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// How often a frame is sent: more than any limit allows.
const FRAMES: usize = 20_000;

/// How many of the streams that a client opens and resets may reach the target. The h2 crate lets 20 wait that are reset already; some
/// may have been taken before their reset came.
const REACHING_MAX: usize = 200;

/// What one client may cost in resident memory at any moment, whatever it sends; half a MiB is measured.
const GROWTH_MAX_KIB: u64 = 4 * 1024;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A head in HPACK: indexed fields of the static table, and the host as a literal (RFC 7541 section 6).
fn head(method: u8) -> Vec<u8> {
    let mut block = vec![method, 0x86, 0x84, 0x41, u8::try_from(HOST.len()).unwrap()];
    block.extend_from_slice(HOST.as_bytes());
    block
}

const GET: u8 = 0x82;
const POST: u8 = 0x83;

fn client(proxy: &Proxy) -> Peer {
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send(&frame(SETTINGS, 0, 0, &[]));
    client
}

/// Resident memory of the daemon, in KiB (proc_pid_status(5)); from here on its peak is another.
fn resident(proxy: &Proxy) -> u64 {
    // Resets the peak (proc_pid_clear_refs(5)).
    fs::write(format!("/proc/{}/clear_refs", proxy.id()), "5").unwrap();
    field(proxy, "VmRSS:")
}

/// The most that it has had since.
fn peak(proxy: &Proxy) -> u64 {
    field(proxy, "VmHWM:")
}

fn field(proxy: &Proxy, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", proxy.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// What a flood has come to.
struct Flooded {
    cause: String,
    error: String,
    /// How many connections it has cost the target.
    accepted: usize,
}

/// Sends `begin` and then `piece` again and again until the daemon ends it.
fn flood(begin: &[u8], mut piece: impl FnMut(usize) -> Vec<u8>) -> Flooded {
    let target = Target::http("target");
    let config = String::from("defaults.timeouts.linger = \"300ms\"\ndefaults.timeouts.body = \"2s\"\n")
        + &Way::Http.route("web", "127.0.0.2", target.address, "");
    let proxy = Proxy::start(&config);
    // The daemon has its buffers before the memory is looked at.
    Peer::connect(proxy.address("127.0.0.2")).get(HOST, "/before");
    let before = resident(&proxy);
    let mut flooding = client(&proxy);
    flooding.send(begin);
    let mut tcp = flooding.tcp();
    let reader = tcp.try_clone().unwrap();
    // What the daemon answers is taken, so that it is not this which ends the flood.
    let reading = thread::spawn(move || drop(io::copy(&mut &reader, &mut io::sink())));
    for number in 0..FRAMES {
        if tcp.write_all(&piece(number)).is_err() {
            break;
        }
    }
    let line = proxy.line_of(flooding.ends());
    let growth = peak(&proxy).saturating_sub(before);
    eprintln!("{growth} KiB more, with {:?}", line["cause"]);
    assert!(growth < GROWTH_MAX_KIB, "{growth} KiB");
    drop(flooding);
    reading.join().unwrap();
    // The first is of the request before it.
    let accepted = target.accepted() - 1;
    eprintln!("{accepted} connections to the target");
    // Whoever else comes is served.
    assert_eq!(Peer::connect(proxy.address("127.0.0.2")).get(HOST, "/after").status(), 200);
    proxy.finish();
    let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    Flooded { cause: text("cause"), error: text("error"), accepted }
}

/// Streams that a client opens have odd numbers (RFC 9113 section 5.1.1).
fn stream(number: usize) -> u32 {
    u32::try_from(2 * number + 1).unwrap()
}

fn refused(begin: &[u8], mut piece: impl FnMut(usize) -> Vec<u8>) {
    let Flooded { cause, error, accepted } = flood(begin, &mut piece);
    assert_eq!((cause.as_str(), accepted), ("protocol_error", 0));
    assert!(error.contains("ask for nothing"), "{error:?} of {:?}", piece(0));
}

#[test]
fn pings_settings_and_unknown_frames_without_end_are_refused() {
    refused(&[], |_| frame(PING, 0, 0, &[0; 8]));
    refused(&[], |_| frame(SETTINGS, 0, 0, &[]));
    refused(&[], |_| frame(0xee, 0, 0, b"?"));
}

#[test]
fn priorities_windows_and_empty_data_without_end_are_refused() {
    refused(&[], |number| frame(PRIORITY, 0, stream(number), &[0, 0, 0, 0, 1]));
    refused(&[], |_| frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()));
    // The h2 crate has a limit of its own for these.
    let flooded = flood(&frame(HEADERS, END_HEADERS, 1, &head(POST)), |_| frame(DATA, 0, 1, &[]));
    assert_eq!(flooded.cause, "protocol_error");
}

#[test]
fn a_rapid_reset_is_refused_and_the_target_sees_little_of_it() {
    let Flooded { cause, accepted, .. } = flood(&[], |number| {
        let mut bytes = frame(HEADERS, END_STREAM | END_HEADERS, stream(number), &head(GET));
        bytes.extend(frame(RST_STREAM, 0, stream(number), &8_u32.to_be_bytes()));
        bytes
    });
    assert_eq!(cause, "protocol_error");
    assert!(accepted <= REACHING_MAX, "{accepted}");
}

#[test]
fn a_head_that_never_ends_is_refused() {
    let begin = frame(HEADERS, 0, 1, &head(GET));
    let Flooded { cause, accepted, .. } = flood(&begin, |_| frame(CONTINUATION, 0, 1, &[0, 1, b'a', 1, b'b']));
    assert_eq!((cause.as_str(), accepted), ("protocol_error", 0));
}

#[test]
fn heads_that_unfold_to_more_than_the_limit_never_reach_the_target() {
    // One field of 3,000 bytes goes to the table, and is then named 2,000 times: 6 MB from 5 KB.
    let mut block = head(GET);
    block.extend([0x40, 1, b'x', 0x7f, 0xb9, 0x16]);
    block.extend([b'y'; 3000]);
    let first = block.clone();
    block.extend([0xbe; 2000]);
    let target = Target::http("target");
    let proxy = Proxy::start(&Way::Http.route("web", "127.0.0.2", target.address, ""));
    Peer::connect(proxy.address("127.0.0.2")).get(HOST, "/before");
    let before = resident(&proxy);
    let mut client = client(&proxy);
    // The field alone is no more than a large cookie.
    client.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &first));
    for number in 1..100 {
        client.send_what_is_taken(&frame(HEADERS, END_STREAM | END_HEADERS, stream(number), &block));
    }
    // The daemon may have ended it before.
    let _ = client.tcp().shutdown(Shutdown::Write);
    let _answers = client.rest();
    proxy.line_of(client.ends());
    let growth = peak(&proxy).saturating_sub(before);
    eprintln!("{growth} KiB more");
    assert!(growth < GROWTH_MAX_KIB, "{growth} KiB");
    let requests =
        proxy.lines("request").into_iter().filter(|line| line["protocol"] == "h2" && line["status"] == 200).count();
    assert!(requests <= 1, "{requests} were forwarded");
    proxy.finish();
}
