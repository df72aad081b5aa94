//! Targets: those that work, and those that fail in each of the ways that targets have.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::ServerConfig;
use socket2::{Domain, Socket, Type};

use super::http::Message;
use super::peer::Peer;

/// An address of loopback that no connection can reach: the broadcast address of the loopback network, which the kernel
/// answers with ENETUNREACH without sending anything.
pub(crate) const UNREACHABLE: &str = "127.255.255.255:9";

/// A listener for a test that plays the target itself.
pub(crate) fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A port that refuses connections, for as long as this lives: bound, so that nobody else gets it, and not listening.
pub(crate) struct Refusing {
    pub(crate) address: SocketAddr,
    _socket: Socket,
}

impl Refusing {
    pub(crate) fn new() -> Self {
        let socket = bound();
        Self { address: socket.local_addr().unwrap().as_socket().unwrap(), _socket: socket }
    }
}

/// A port that never answers: its queue is full, so the kernel drops each SYN.
pub(crate) struct Unanswering {
    pub(crate) address: SocketAddr,
    listener: Socket,
    _queued: Vec<TcpStream>,
}

impl Unanswering {
    pub(crate) fn new() -> Self {
        let listener = bound();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            queued.push(stream);
            assert!(queued.len() < 100, "the queue takes everything");
        }
        Self { address, listener, _queued: queued }
    }

    /// Comes to life: it answers requests with this name.
    pub(crate) fn awake(self, name: &'static str) -> Target {
        self.listener.listen(128).unwrap();
        Target::behind(self.listener.into(), self.address, move |peer| answer(peer, name))
    }
}

/// A target that serves each connection on a thread of its own.
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Target {
    /// Plays `serve` with every connection.
    pub(crate) fn serving(serve: impl Fn(Peer) + Send + Sync + 'static) -> Self {
        let (listener, address) = listener();
        Self::behind(listener, address, serve)
    }

    fn behind(listener: TcpListener, address: SocketAddr, serve: impl Fn(Peer) + Send + Sync + 'static) -> Self {
        let (accepted, stopping) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stop) = (Arc::clone(&accepted), Arc::clone(&stopping));
        let serve = Arc::new(serve);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Acquire) {
                    return;
                }
                let (Ok(stream), serve) = (stream, Arc::clone(&serve)) else { return };
                count.fetch_add(1, Ordering::AcqRel);
                thread::spawn(move || serve(Peer::over(stream)));
            }
        });
        Self { address, accepted, stopping, thread: Some(thread) }
    }

    /// Sends back what comes, and finishes when the other side has.
    pub(crate) fn echo() -> Self {
        Self::serving(echo)
    }

    /// The same over TLS.
    pub(crate) fn tls_echo(config: Arc<ServerConfig>) -> Self {
        Self::serving(move |peer| drop(peer.try_tls_server(&config).map(echo)))
    }

    /// Answers every request with its own name and what was asked for.
    pub(crate) fn http(name: &'static str) -> Self {
        Self::serving(move |peer| answer(peer, name))
    }

    /// Answers every request with the head that it got.
    pub(crate) fn mirror() -> Self {
        Self::serving(|mut peer| {
            while let Some(request) = next_request(&mut peer) {
                let fields: String = request.fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
                let seen = format!("{}\n{fields}", request.start);
                let head = format!("HTTP/1.1 200 OK\r\nx-of: target\r\ncontent-length: {}\r\n\r\n", seen.len());
                if peer.write_all((head + &seen).as_bytes()).is_err() {
                    return;
                }
            }
        })
    }

    /// Answers every request with its head and body as they have come.
    pub(crate) fn verbatim() -> Self {
        Self::serving(|mut peer| {
            while let Some(head) = next_head(&mut peer) {
                let fields = super::http::parsed_head(&head);
                let mut body = peer.receive(fields.field("content-length").parse().unwrap_or(0));
                // A trailer ends what is chunked.
                let chunked = fields.field("transfer-encoding") == "chunked";
                while chunked && !body.ends_with(b"\r\nx-end: 1\r\n\r\n") {
                    body.extend(peer.receive(1));
                }
                let all = [head.as_bytes(), &body].concat();
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", all.len());
                peer.send_what_is_taken(&[answer.as_bytes(), &all].concat());
            }
        })
    }

    /// The same over TLS.
    pub(crate) fn https(name: &'static str, config: Arc<ServerConfig>) -> Self {
        Self::serving(move |peer| drop(peer.try_tls_server(&config).map(|peer| answer(peer, name))))
    }

    /// How many connections have come.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Acquire)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        // Wakes the loop, which waits in accept.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn echo(mut peer: Peer) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match peer.read(&mut buffer) {
            Ok(0) => return peer.finish(),
            Ok(length) => {
                if peer.write_all(&buffer[..length]).is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

fn answer(mut peer: Peer, name: &str) {
    while let Some(request) = next_request(&mut peer) {
        let shown = format!(
            "{name} {} {} host={} for={} proto={} body={}\n",
            request.start.split(' ').next().unwrap_or_default(),
            request.path(),
            request.field("host"),
            request.field("x-forwarded-for"),
            request.field("x-forwarded-proto"),
            request.body.len()
        );
        let head = format!("HTTP/1.1 200 OK\r\nx-target: {name}\r\ncontent-length: {}\r\n\r\n", shown.len());
        if peer.write_all((head + &shown).as_bytes()).is_err() {
            return;
        }
    }
}

/// The head of the next request, or nothing at the end of the connection.
pub(crate) fn next_head(peer: &mut Peer) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if peer.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

/// The next request, or nothing at the end of the connection.
fn next_request(peer: &mut Peer) -> Option<Message> {
    let mut request = super::http::parsed_head(&next_head(peer)?);
    if let Ok(length) = request.field("content-length").parse::<usize>() {
        request.body = vec![0; length];
        peer.read_exact(&mut request.body).ok()?;
    }
    Some(request)
}

fn bound() -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket
}
