//! A thousand clients that are slow beside one that is not.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::harness::{HOST, Peer, Proxy, Target, Way, parsed_head};

const SLOW: usize = 1000;

/// How often the fast client is measured, and how many requests it sends each time.
const ROUNDS: usize = 7;
const REQUESTS: usize = 200;

/// What the machine's other work may add to a measurement. A proxy that looked at each of a thousand clients for each request
/// would take longer.
const NOISE: Duration = Duration::from_millis(5);

/// A target that takes bodies and gives as much as its path asks for.
fn target() -> Target {
    Target::serving(|mut peer| {
        let mut first = [0];
        while peer.tcp().peek(&mut first).is_ok_and(|count| count > 0) {
            let request = parsed_head(&peer.head());
            let mut left: u64 = request.field("content-length").parse().unwrap_or(0);
            let mut piece = [0; 4096];
            while left > 0 {
                match peer.read(&mut piece) {
                    Ok(count) if count > 0 => left -= count as u64,
                    Ok(_) | Err(_) => return,
                }
            }
            let length: usize = request.path().trim_start_matches('/').parse().unwrap();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            if peer.write_all(&[head.as_bytes(), &vec![b'x'; length]].concat()).is_err() {
                return;
            }
        }
    })
}

/// Something that a slow client does.
#[derive(Clone, Copy)]
enum Slow {
    Head,
    Body,
    Read,
}

impl Slow {
    fn client(self, proxy: &Proxy) -> Peer {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&proxy.address("127.0.0.2").into()).unwrap();
        let mut client = Peer::over(socket.into());
        let sent = match self {
            Self::Head => format!("GET /2 HTTP/1.1\r\nhost: {HOST}\r\nx: "),
            Self::Body => format!("POST /2 HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 1000000\r\n\r\n"),
            Self::Read => format!("GET /1000000 HTTP/1.1\r\nhost: {HOST}\r\n\r\n"),
        };
        client.send(sent.as_bytes());
        client
    }

    /// A byte more.
    fn go_on(self, client: &mut Peer) {
        match self {
            Self::Head | Self::Body => client.send(b"x"),
            Self::Read => client.receive(1).truncate(0),
        }
    }
}

/// How long a request of the fast client took.
fn measured(client: &mut Peer) -> Duration {
    let begun = Instant::now();
    assert_eq!(client.get(HOST, "/2").status(), 200);
    begun.elapsed()
}

/// Of the sorted, the one that so many per cent are not above.
fn percentile(mut durations: Vec<Duration>, per_cent: usize) -> Duration {
    durations.sort_unstable();
    durations[(durations.len() * per_cent / 100).min(durations.len() - 1)]
}

/// Speed is measured here all the same: each request beside the slow clients is paired with one to a proxy that has none, so that
/// whatever else the machine does slows both, and only the median of the rounds counts.
#[test]
fn a_thousand_slow_clients_do_not_double_the_latency_of_a_fast_one() {
    let target = target();
    let config = String::from("server.workers = 1\ndefaults.timeouts.request_head = \"10m\"\n")
        + &Way::Http.route("web", "127.0.0.2", target.address, "");
    let (busy, quiet) = (Proxy::start(&config), Proxy::start(&config));
    let kinds = [Slow::Head, Slow::Body, Slow::Read];
    let mut slow: Vec<(Slow, Peer)> =
        (0..SLOW).map(|number| kinds[number % 3]).map(|kind| (kind, kind.client(&busy))).collect();
    busy.connections_until("all are in", |live| live.len() == SLOW);
    let done = AtomicBool::new(false);
    let mut rounds = thread::scope(|scope| {
        scope.spawn(|| {
            // Each client moves a byte every second or so.
            while !done.load(Ordering::Acquire) {
                for (kind, client) in &mut slow {
                    kind.go_on(client);
                    thread::sleep(Duration::from_millis(1));
                    if done.load(Ordering::Acquire) {
                        return;
                    }
                }
            }
        });
        let connect = |proxy: &Proxy| Peer::connect(proxy.address("127.0.0.2"));
        let (mut beside, mut alone) = (connect(&busy), connect(&quiet));
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let pairs = (0..REQUESTS).map(|_| (measured(&mut beside), measured(&mut alone)));
            let (beside, alone): (Vec<_>, Vec<_>) = pairs.unzip();
            rounds.push((percentile(beside, 99), percentile(alone, 99)));
        }
        done.store(true, Ordering::Release);
        rounds
    });
    let still = busy.connections().len();
    println!("p99 beside {SLOW} slow clients and alone, by round: {rounds:?}");
    assert!(still >= SLOW, "only {still} of the slow clients are still there");
    rounds.sort_by_key(|(beside, alone)| beside.saturating_sub(*alone * 2));
    let (beside, alone) = rounds[ROUNDS / 2];
    assert!(beside <= alone * 2 + NOISE, "{beside:?} beside slow clients, {alone:?} without: {rounds:?}");
    drop(slow);
    busy.finish();
    quiet.finish();
}
