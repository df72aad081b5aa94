//! `limits.min_rate` with the times that operators have: what a client's kernel takes at once buys it no more than they say.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::harness::{HOST, Peer, Proxy, Target, Way};
use crate::http2_spec::frames::{self, HEADERS, PREFACE, SETTINGS, WINDOW_UPDATE, frame};

/// At 16 KiB a second worth more than four minutes.
const BURST: usize = 4 * 1024 * 1024;

/// Half a minute, an eighth of it that a client at an eighth of the rate earns, and what a busy machine takes.
const BOUND: Duration = Duration::from_secs(50);

/// For how long the clients above the rate go on.
const LONG: Duration = Duration::from_secs(40);

fn asks(http2: bool) -> Vec<u8> {
    const WINDOW_MAX: u32 = (1 << 31) - 1;
    if !http2 {
        return format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n").into_bytes();
    }
    let window = [&4_u16.to_be_bytes()[..], &WINDOW_MAX.to_be_bytes()].concat();
    let more = (WINDOW_MAX - 65_535).to_be_bytes();
    let opening = [PREFACE, &frame(SETTINGS, 0, 0, &window), &frame(WINDOW_UPDATE, 0, 0, &more)].concat();
    [opening, frame(HEADERS, frames::WHOLE, 1, &frames::get())].concat()
}

/// A client that has taken the burst, with a receive buffer of its own if it says so.
fn client(address: SocketAddr, http2: bool, buffer: Option<usize>) -> Peer {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    if let Some(buffer) = buffer {
        socket.set_recv_buffer_size(buffer).unwrap();
    }
    socket.connect(&address.into()).unwrap();
    let mut client = Peer::over(socket.into());
    client.send(&asks(http2));
    client.receive(BURST);
    client
}

/// Takes so much every so often, for as long as it gets it and `time` lasts.
fn takes(client: &mut Peer, count: usize, pause: Duration, time: Duration) {
    let begun = Instant::now();
    let mut piece = vec![0; count];
    while begun.elapsed() < time && client.read_exact(&mut piece).is_ok() {
        thread::sleep(pause);
    }
}

#[test]
fn a_reader_that_turns_slow_is_cut_within_its_bound_and_one_of_uneven_pace_above_the_rate_is_not() {
    let target = Target::serving(|mut peer| {
        peer.head();
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n");
        while peer.write_all(&[b'x'; 64 * 1024]).is_ok() {}
    });
    let config = Way::Http.route("web", "127.0.0.2", target.address, "limits.min_rate = \"16KiB\"");
    let proxy = Proxy::start(&config);
    let address = proxy.address("127.0.0.2");
    thread::scope(|scope| {
        for http2 in [false, true] {
            let proxy = &proxy;
            scope.spawn(move || {
                // Nobody reads on: what is left in its kernel would hide the cut from it for minutes.
                let slow = client(address, http2, None);
                let (begun, ends) = (Instant::now(), slow.ends());
                let mut slow = slow;
                while proxy.connections().iter().any(|live| ends.are_of(live)) {
                    assert!(begun.elapsed() < BOUND, "it goes on: {http2}");
                    takes(&mut slow, 200, Duration::from_millis(100), Duration::from_secs(1));
                }
                let line = proxy.line_of(ends);
                let found = (line["party"].as_str(), line["cause"].as_str());
                assert_eq!(found, (Some("client"), Some("response_slow")), "{line}");
            });
            scope.spawn(move || {
                let mut uneven = client(address, http2, Some(64 * 1024));
                let ends = uneven.ends();
                // 25 KiB a second.
                takes(&mut uneven, 128 * 1024, Duration::from_secs(5), LONG);
                assert!(proxy.connections().iter().any(|live| ends.are_of(live)), "it is cut: {http2}");
            });
        }
    });
    proxy.finish();
}
