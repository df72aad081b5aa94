//! The operator's HTTP address: whom it answers, and whom it does not wait for.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::harness::{PATIENCE, Proxy, Target, Way, until};

/// What the admin address answers to a GET for this host: the status.
fn asked_for(proxy: &Proxy, host: &str, path: &str) -> u16 {
    let mut stream = TcpStream::connect_timeout(&proxy.admin(), PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

#[test]
fn probes_and_scrapers_come_by_any_name_and_what_tells_of_clients_by_none_but_this_hosts() {
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::Tcp.route("echo", "127.0.0.2", echo.address, ""));
    for host in ["localhost", "127.0.0.1", "proxy.internal:9900", "smartproxy", ""] {
        for path in ["/healthz", "/readyz", "/metrics"] {
            assert_eq!(asked_for(&proxy, host, path), 200, "{path} of {host:?}");
        }
    }
    for path in ["/status", "/connections", "/", "/healthz/", "/connections/1/kill"] {
        assert_eq!(asked_for(&proxy, "evil.example", path), 421, "{path}");
    }
    assert_eq!(asked_for(&proxy, "localhost", "/status"), 200);
    proxy.finish();
}

/// A client that asks without end and reads nothing.
fn never_reading(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut stream = TcpStream::from(socket);
    // The answers to these are more than any socket's buffers hold.
    let requests = "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(2_000);
    stream.write_all(requests.as_bytes()).unwrap();
    stream
}

#[test]
fn a_client_that_never_reads_its_answer_is_given_up() {
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::Tcp.route("echo", "127.0.0.2", echo.address, ""));
    let client = never_reading(proxy.admin());
    // Cut with requests unread, the connection is reset, which the socket knows without a read.
    let cut = until(|| match client.take_error().unwrap() {
        Some(_) => Ok(()),
        None => Err("the client still has its place".to_owned()),
    });
    cut.unwrap();
    proxy.finish();
}
