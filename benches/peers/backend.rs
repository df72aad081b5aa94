//! What is behind the peers: small servers on loopback, in a thread that they share with the load.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::channel;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

/// What a small answer's body is.
pub(crate) const SMALL: usize = 128;

/// What a large one's is.
pub(crate) const LARGE: usize = 1024 * 1024;

/// Bytes that a source writes, and a sink reads, at once.
const CHUNK: usize = 256 * 1024;

/// Where each backend listens.
#[derive(Clone, Debug)]
pub(crate) struct Backends {
    /// The thread that they run on.
    pub(crate) runtime: Handle,
    /// Sends back what it gets.
    pub(crate) echo: SocketAddr,
    /// Sends for as long as anybody reads.
    pub(crate) source: SocketAddr,
    /// Reads for as long as anybody sends.
    pub(crate) sink: SocketAddr,
    /// HTTP/1.1: `/small` and `/large`.
    pub(crate) http: SocketAddr,
    /// Answers whatever comes with [`MARK`].
    pub(crate) mark: SocketAddr,
}

/// What no echo of a ClientHello begins with.
pub(crate) const MARK: u8 = b'M';

impl Backends {
    pub(crate) fn start() -> Self {
        let (tell, told) = channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let started = Self {
                    runtime: Handle::current(),
                    echo: serve(echo).await,
                    source: serve(source).await,
                    sink: serve(sink).await,
                    http: serve(http).await,
                    mark: serve(mark).await,
                };
                tell.send(started).unwrap();
                std::future::pending::<()>().await;
            });
        });
        told.recv().unwrap()
    }
}

async fn serve<F: Future<Output = io::Result<()>> + Send + 'static>(
    work: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener: TcpListener = socket.listen(4096).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            // A peer that goes away is no fault of a backend.
            tokio::spawn(work(stream));
        }
    });
    address
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 4096];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            count => stream.write_all(&buffer[..count]).await?,
        }
    }
}

async fn source(mut stream: TcpStream) -> io::Result<()> {
    let chunk = vec![0x5a; CHUNK];
    loop {
        stream.write_all(&chunk).await?;
    }
}

async fn sink(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

async fn mark(mut stream: TcpStream) -> io::Result<()> {
    let _some = stream.read(&mut [0; 4096]).await?;
    stream.write_all(&[MARK]).await
}

async fn http(mut stream: TcpStream) -> io::Result<()> {
    let answer = |length: usize| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n");
        [head.into_bytes(), vec![b'x'; length]].concat()
    };
    let (small, large) = (answer(SMALL), answer(LARGE));
    let mut buffer = vec![0; 16 * 1024];
    let mut filled = 0;
    loop {
        match stream.read(&mut buffer[filled..]).await? {
            0 => return Ok(()),
            count => filled += count,
        }
        // Requests come one at a time and without a body.
        if buffer[..filled].ends_with(b"\r\n\r\n") {
            let wants_large = buffer.starts_with(b"GET /large");
            filled = 0;
            stream.write_all(if wants_large { &large } else { &small }).await?;
        }
    }
}
