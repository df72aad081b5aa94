//! One end of a connection, client or target, plain or TLS: what it sends, and how it sees the other end.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};
use serde_json::Value;
use socket2::SockRef;

use super::wait::PATIENCE;

/// One end of a connection.
pub(crate) struct Peer {
    tcp: TcpStream,
    ends: Ends,
    tls: Option<Box<Connection>>,
}

/// What tells a client's connection from all others of its time. The client's address alone does not: the kernel uses a port
/// for several connections, if they lead to different addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) client: SocketAddr,
    pub(crate) listener: SocketAddr,
}

impl Ends {
    /// Whether a line of the access log or an entry of `/connections` is of this connection.
    pub(crate) fn are_of(&self, shown: &Value) -> bool {
        shown["client"] == self.client.to_string() && shown["listener"] == self.listener.to_string()
    }
}

/// How the other end ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// FIN on TCP, close_notify on TLS.
    Whole,
    /// FIN without close_notify on TLS.
    Truncated,
    /// RST.
    Reset,
    /// A TLS alert that ends the connection.
    Alert,
    /// Nothing at all.
    Silence,
}

impl Peer {
    /// A plain connection to `address`.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect_timeout(&address, PATIENCE).unwrap())
    }

    /// A plain connection to `address` from the loopback address `from`.
    pub(crate) fn connect_from(from: &str, address: SocketAddr) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(from.parse().unwrap(), 0).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::over(socket.into())
    }

    /// A connection that stands.
    pub(crate) fn over(tcp: TcpStream) -> Self {
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_write_timeout(Some(PATIENCE)).unwrap();
        tcp.set_nodelay(true).unwrap();
        let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
        // A connection that has been reset meanwhile has no other end any more.
        let ends = Ends { client: tcp.local_addr().unwrap(), listener: tcp.peer_addr().unwrap_or(nobody) };
        Self { tcp, ends, tls: None }
    }

    /// The next connection that comes to a target.
    pub(crate) fn accept(listener: &TcpListener) -> Self {
        // The kernel's own time limit, as there is none in the standard library.
        SockRef::from(listener).set_read_timeout(Some(PATIENCE)).unwrap();
        let (tcp, _) = listener.accept().expect("the proxy does not connect to the target");
        Self::over(tcp)
    }

    /// Does a TLS handshake as the client of `name`.
    pub(crate) fn tls(self, name: &str, config: &Arc<ClientConfig>) -> Self {
        self.try_tls(name, config).unwrap_or_else(|error| panic!("TLS handshake with the proxy for {name}: {error}"))
    }

    /// Does a TLS handshake as the client of `name`, or says what came of it.
    pub(crate) fn try_tls(mut self, name: &str, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
        self.tls = Some(Box::new(connection.into()));
        self.handshake()?;
        Ok(self)
    }

    /// Does a TLS handshake as the server.
    pub(crate) fn tls_server(self, config: &Arc<ServerConfig>) -> Self {
        self.try_tls_server(config).expect("TLS handshake with the client")
    }

    /// Does a TLS handshake as the server, or says what came of it.
    pub(crate) fn try_tls_server(mut self, config: &Arc<ServerConfig>) -> io::Result<Self> {
        self.tls = Some(Box::new(ServerConnection::new(Arc::clone(config)).unwrap().into()));
        self.handshake()?;
        Ok(self)
    }

    /// Goes on as the TLS client whose hello has been sent on this connection.
    pub(crate) fn go_on(mut self, connection: Connection) -> Self {
        self.tls = Some(Box::new(connection));
        self.handshake().unwrap_or_else(|error| panic!("TLS handshake after a hello in pieces: {error}"));
        self
    }

    /// The two addresses of a client's connection.
    pub(crate) fn ends(&self) -> Ends {
        self.ends
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// How long a read waits before it is [`End::Silence`].
    pub(crate) fn patience(&self, patience: Duration) {
        self.tcp.set_read_timeout(Some(patience)).unwrap();
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.write_all(bytes).expect("sending to the proxy");
    }

    /// Sends to a peer that may close before it has all.
    pub(crate) fn send_what_is_taken(&mut self, bytes: &[u8]) {
        let _ = self.write_all(bytes);
    }

    /// Exactly so many bytes.
    pub(crate) fn receive(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.read_exact(&mut bytes).unwrap_or_else(|error| panic!("waiting for {length} bytes: {error}"));
        bytes
    }

    /// Exactly these bytes.
    pub(crate) fn expect(&mut self, bytes: &[u8]) {
        let received = self.receive(bytes.len());
        assert!(received == bytes, "other bytes came than were sent, of {}", bytes.len());
    }

    /// Everything until the end, and how it ended.
    pub(crate) fn rest(&mut self) -> (Vec<u8>, End) {
        let mut bytes = Vec::new();
        let end = match self.read_to_end(&mut bytes) {
            Ok(_) => End::Whole,
            Err(error) => end_of(&error),
        };
        (bytes, end)
    }

    /// How the other end ends, without another byte.
    pub(crate) fn end(&mut self) -> End {
        let (bytes, end) = self.rest();
        assert!(bytes.is_empty(), "{} bytes came where the end was expected: {:?}", bytes.len(), lossy(&bytes));
        end
    }

    /// Everything until a blank line.
    pub(crate) fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match self.read(&mut byte) {
                Ok(0) => panic!("the end came within a head: {:?}", lossy(&head)),
                Ok(_) => head.push(byte[0]),
                Err(error) => panic!("{error} within a head: {:?}", lossy(&head)),
            }
        }
        String::from_utf8(head).unwrap()
    }

    /// FIN, without a word of TLS.
    pub(crate) fn fin(&mut self) {
        self.tcp.shutdown(Shutdown::Write).unwrap();
    }

    /// close_notify, with the TCP connection left open.
    pub(crate) fn close_notify(&mut self) {
        let tls = self.tls.as_mut().expect("only TLS has a close_notify");
        tls.send_close_notify();
        while tls.wants_write() {
            tls.write_tls(&mut self.tcp).unwrap();
        }
    }

    /// Ends this direction in order: FIN, after close_notify on TLS.
    pub(crate) fn finish(&mut self) {
        if self.tls.is_some() {
            self.close_notify();
        }
        self.fin();
    }

    /// RST.
    pub(crate) fn reset(self) {
        SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO)).unwrap();
    }

    fn handshake(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        while tls.is_handshaking() {
            tls.complete_io(&mut self.tcp)?;
        }
        while tls.wants_write() {
            tls.write_tls(&mut self.tcp)?;
        }
        Ok(())
    }
}

impl Read for Peer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.tcp.read(buffer) };
        loop {
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
            tls.read_tls(&mut self.tcp)?;
            let processed = tls.process_new_packets();
            while tls.wants_write() {
                tls.write_tls(&mut self.tcp)?;
            }
            processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }
}

impl Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.tcp.write(bytes) };
        let length = tls.writer().write(bytes)?;
        while tls.wants_write() {
            tls.write_tls(&mut self.tcp)?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

/// What an error of a read says of the other end.
fn end_of(error: &io::Error) -> End {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => End::Truncated,
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => End::Reset,
        io::ErrorKind::InvalidData => End::Alert,
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => End::Silence,
        _ => panic!("a read failed in an unforeseen way: {error}"),
    }
}

/// Bytes for people, the beginning of them.
pub(crate) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..300).unwrap_or(bytes)).into_owned()
}
