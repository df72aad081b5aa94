//! Clients that wait in the kernel's queue of an address.

use std::net::{SocketAddr, TcpStream};
use std::thread;

use super::peer::{End, Peer};
use super::wait::until;
use super::way::HOST;

/// The line by which one client at a time is served, and the others wait.
pub(crate) const ONE_PLACE: &str = "server.max_connections = 1\n";

/// A client of an echoing target that is served, and holds its place.
pub(crate) fn served(address: SocketAddr) -> Peer {
    let mut client = Peer::connect(address);
    client.send(b"in");
    client.expect(b"in");
    client
}

/// Ends a served client in order, which gives its place to the next.
pub(crate) fn leave(mut client: Peer) {
    client.finish();
    assert_eq!(client.end(), End::Whole);
}

/// Waits until nobody is taken at the address any more. One that still is ends by itself, as it says nothing.
pub(crate) fn closed(address: SocketAddr) {
    until(|| match TcpStream::connect(address) {
        Ok(_) => Err("the address still takes connections".to_owned()),
        Err(_) => Ok(()),
    })
    .unwrap();
}

/// Clients that the kernel has told that they are connected.
pub(crate) struct Queue(pub(crate) Vec<Peer>);

impl Queue {
    pub(crate) fn at(address: SocketAddr, count: usize) -> Self {
        Self((0..count).map(|_| Peer::connect(address)).collect())
    }

    /// The same, each with a request for `/` under way.
    pub(crate) fn requesting(address: SocketAddr, count: usize) -> Self {
        let mut queue = Self::at(address, count);
        queue.0.iter_mut().for_each(|client| client.request(HOST, "/"));
        queue
    }

    /// Each is served by an echoing target, and leaves; which is first, the kernel decides.
    pub(crate) fn echoed(self) {
        thread::scope(|scope| {
            for mut client in self.0 {
                scope.spawn(move || {
                    client.send(b"queued");
                    client.expect(b"queued");
                    leave(client);
                });
            }
        });
    }

    /// Each gets 200, and then the end. Gives what the answers say of the connection.
    pub(crate) fn answered(self) -> Vec<String> {
        let answered = self.0.into_iter().map(|mut client| {
            let answer = client.message();
            assert_eq!(answer.status(), 200, "{answer:?}");
            assert_eq!(client.end(), End::Whole);
            answer.field("connection").to_owned()
        });
        answered.collect()
    }
}
