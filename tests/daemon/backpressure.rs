//! Peers that stop reading: the other side is held back, memory is bounded, and what lingers is cut.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, SockRef, Socket, Type};

use crate::harness::{CERTIFICATES, End, Ends, HOST, Peer, Proxy, Target, Way, until};

/// How many polls in a row have to find the same before it counts as standing still.
const STILL: usize = 40;

/// A TLS client with a receive buffer so small that it takes next to nothing unread.
fn narrow_client(address: SocketAddr) -> Peer {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    Peer::over(socket.into()).tls(HOST, &CERTIFICATES.client(&[]))
}

/// What has been taken for the client by the time that nothing moves any more.
fn taken(proxy: &Proxy, client: Ends) -> u64 {
    let (mut last, mut same) = (0, 0);
    until(|| {
        let live = proxy.connections();
        let mine = live.iter().find(|live| client.are_of(live));
        let now = mine.and_then(|live| live["bytes_out"].as_u64()).unwrap_or(0);
        same = if now == last && now > 0 { same + 1 } else { 0 };
        last = now;
        if same >= STILL { Ok(now) } else { Err(format!("bytes still move: {now}")) }
    })
    .unwrap()
}

/// Shown to [`crate::causes`], which has no route for it: how much the kernel takes has to be found out first.
pub(crate) fn linger_timeout() {
    let amount = Arc::new(AtomicUsize::new(usize::MAX));
    let sending = Arc::clone(&amount);
    let target = Target::serving(move |mut peer| {
        let chunk = [b'x'; 8192];
        let mut left = sending.load(Ordering::Acquire);
        while left > 0 {
            let part = left.min(chunk.len());
            if peer.write_all(&chunk[..part]).is_err() {
                return;
            }
            left -= part;
        }
        peer.finish();
        peer.rest();
    });
    let more = "timeouts.linger = \"400ms\"\ntimeouts.half_closed = \"10s\"";
    let proxy = Proxy::start(&Way::TerminateTcp.route("lingering", "127.0.0.2", target.address, more));
    let address = proxy.address("127.0.0.2");
    let probe = narrow_client(address);
    let full = taken(&proxy, probe.ends());
    probe.reset();
    proxy.connections_until("the probe is gone", <[Value]>::is_empty);
    // Half of what waits in the proxy's own TLS buffer of 64 KiB: the kernel is full, and the target has ended.
    amount.store(usize::try_from(full).unwrap() - 32 * 1024, Ordering::Release);
    let client = narrow_client(address);
    client_lingers(&proxy, &client);
    drop(client);
    proxy.finish();
}

fn client_lingers(proxy: &Proxy, client: &Peer) {
    let line = proxy.line_of(client.ends());
    let found = (line["phase"].as_str(), line["party"].as_str(), line["cause"].as_str());
    assert_eq!(found, (Some("relay"), Some("client"), Some("linger_timeout")), "{line}");
}

#[test]
fn a_client_that_does_not_read_holds_its_target_back_and_gets_every_byte_later() {
    const ALL: usize = 64 * 1024 * 1024;
    for way in Way::RELAYS {
        let written = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&written);
        let target = Target::serving(move |peer| {
            let mut peer = way.silent_target(peer, &CERTIFICATES.server());
            if way == Way::Passthrough {
                peer.expect(&crate::harness::HELLO);
            }
            let chunk: Vec<u8> = (0..=255).cycle().take(64 * 1024).collect();
            while count.load(Ordering::Acquire) < ALL {
                if peer.write_all(&chunk).is_err() {
                    return;
                }
                count.fetch_add(chunk.len(), Ordering::AcqRel);
            }
            peer.finish();
            peer.rest();
        });
        let proxy = Proxy::start(&way.route("held", "127.0.0.2", target.address, ""));
        let mut client = way.client(proxy.address("127.0.0.2"));
        taken(&proxy, client.ends());
        let held = written.load(Ordering::Acquire);
        assert!(held < ALL / 2, "{way}: {held} bytes were taken from the target for a client that reads none");
        let mut buffer = vec![0; 256 * 1024];
        let mut received = 0;
        loop {
            let length = std::io::Read::read(&mut client, &mut buffer).unwrap();
            if length == 0 {
                break;
            }
            let right = buffer[..length].iter().zip(received..).all(|(byte, index)| *byte == (index % 256) as u8);
            assert!(right, "{way}: other bytes came than were sent, after {received}");
            received += length;
        }
        assert_eq!(received, ALL, "{way}");
        client.finish();
        assert_eq!(proxy.line_of(client.ends())["bytes_out"].as_u64(), Some(ALL as u64), "{way}");
        proxy.finish();
    }
}

#[test]
fn a_reset_reaches_the_other_side_even_while_it_is_held_back() {
    let (listener, address) = crate::harness::listener();
    let proxy = Proxy::start(&Way::Tcp.route("held", "127.0.0.2", address, "timeouts.linger = \"1s\""));
    let client = Way::Tcp.client(proxy.address("127.0.0.2"));
    let mut target = Way::Tcp.target(&listener);
    SockRef::from(target.tcp()).set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    // The client reads nothing: this ends when every buffer on the way is full.
    while target.write_all(&[0; 64 * 1024]).is_ok() {}
    let gone = client.ends();
    client.reset();
    assert_eq!(target.rest().1, End::Reset);
    let line = proxy.line_of(gone);
    assert_eq!((line["party"].as_str(), line["cause"].as_str()), (Some("client"), Some("reset")));
    proxy.finish();
}

/// A client that reads slowly makes progress, long before there is room in its socket for another write.
#[test]
fn a_client_that_reads_slowly_but_steadily_is_not_cut() {
    use std::io::Read;
    const BODY: usize = 24 * 1024 * 1024;
    let (listener, target) = crate::harness::listener();
    let proxy = Proxy::start(&Way::Http.route("web", "127.0.0.2", target, "timeouts.body = \"700ms\""));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut peer = Peer::accept(&listener);
            peer.head();
            peer.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {BODY}\r\nconnection: close\r\n\r\n").as_bytes());
            peer.send(&vec![b'x'; BODY]);
        });
        let mut client = Peer::connect(proxy.address("127.0.0.2"));
        client.send(b"GET / HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n\r\n");
        let begun = std::time::Instant::now();
        let mut read = 0;
        let mut piece = vec![0; 40 * 1024];
        // Three times the limit, at a pace that leaves most of it in the proxy's socket.
        while begun.elapsed() < Duration::from_millis(2_100) {
            read += client.tcp().read(&mut piece).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(read < BODY / 2, "the client is slow enough to show it: {read}");
        loop {
            match client.tcp().read(&mut piece).unwrap() {
                0 => break,
                count => read += count,
            }
        }
        assert!(read > BODY, "all of it came, and its head: {read}");
    });
    proxy.line("request", "the request has finished", |line| line["cause"] == "finished");
    proxy.finish();
}
