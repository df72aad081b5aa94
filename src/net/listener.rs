use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use super::{Claim, ClientAddress, ListenAddress, Owner, is_free_for_clients, sys};

/// Connections that may wait to be accepted, per socket.
///
/// The kernel takes the smaller of this and `net.core.somaxconn` (listen(2); 4096 since Linux 5.4), so that the operator's
/// setting decides. Higher than 65535 was cut to 16 bits by older kernels.
const BACKLOG: i32 = 65_535;

/// Whether an address may be bound that somebody listens on already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// No: a second daemon on the same address is an error instead of a thief of half the connections.
    Exclusive,
    /// Yes, if they are this user's sockets and share too: for an address that overlaps one of our own, as `[::]:443` does
    /// `0.0.0.0:443`.
    Shared,
}

/// A TCP socket that is bound and listening, not yet tied to a runtime: to be handed to a worker.
///
/// Connections queue in it from the start. Accepted sockets inherit TCP_NODELAY from it, which saves a system call for each.
#[derive(Debug)]
pub struct BoundListener {
    socket: Socket,
    address: ListenAddress,
    // After the socket.
    claim: Claim,
}

impl BoundListener {
    /// Listens on the address once; port 0 is a port of the system's choice.
    ///
    /// `[::]` takes IPv4 too; on a host without IPv6 it is `0.0.0.0`.
    ///
    /// # Errors
    /// The system's: `AddrInUse`, `AddrNotAvailable`, `PermissionDenied` (a port below 1024), no descriptor left.
    pub fn bind(address: SocketAddr, sharing: Sharing) -> io::Result<Self> {
        let bound = Self::bind_only(address, sharing)?;
        bound.socket.listen(BACKLOG)?;
        Ok(bound)
    }

    /// Listens on the address once for each worker: the kernel spreads the connections among them (SO_REUSEPORT, socket(7)).
    ///
    /// With port 0 the first one's port is that of all. `sharing` is about the others in the system, not about these.
    ///
    /// # Errors
    /// Those of [`BoundListener::bind`]; none is bound then.
    pub fn bind_group(address: SocketAddr, workers: NonZeroUsize, sharing: Sharing) -> io::Result<Vec<Self>> {
        let first = Self::bind_only(address, sharing)?;
        let address = first.address.socket();
        let mut group = vec![first];
        for _ in 1..workers.get() {
            group.push(Self::bind_only(address, Sharing::Shared)?);
        }
        // All are bound before one listens, so a group that fails half-way has taken no connection.
        for bound in &group {
            bound.socket.listen(BACKLOG)?;
        }
        Ok(group)
    }

    /// Whether this process may listen on the address, as far as that does not hang on who else does now. Nothing listens.
    ///
    /// # Errors
    /// The system's: `AddrNotAvailable`, `PermissionDenied` (a port below 1024), no descriptor left.
    pub fn could_bind(address: SocketAddr) -> io::Result<()> {
        match Self::bind_only(address, Sharing::Shared) {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Takes over a listening socket that the service manager has made.
    ///
    /// # Errors
    /// When it is anything else than a listening TCP socket, which is the fault of the unit file.
    pub fn adopt(descriptor: OwnedFd) -> Result<Self, AdoptError> {
        let socket = Socket::from(descriptor);
        if socket.r#type()? != Type::STREAM || !matches!(socket.domain()?, Domain::IPV4 | Domain::IPV6) {
            return Err(AdoptError::NotTcp);
        }
        if socket.protocol()? != Some(Protocol::TCP) {
            return Err(AdoptError::NotTcp);
        }
        if !socket.is_listener()? {
            return Err(AdoptError::NotListening);
        }
        socket.set_cloexec(true)?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        let address = local_address(&socket)?;
        Ok(Self::claimed(socket, address))
    }

    /// Another handle on the same socket, for another worker.
    ///
    /// Unlike a group, the handles share one queue: every worker is woken for a connection, and the fastest gets it. That
    /// is the price of a socket that was made elsewhere.
    ///
    /// # Errors
    /// No descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self::claimed(self.socket.try_clone()?, self.address))
    }

    /// Ties the socket to the runtime of the calling task.
    ///
    /// # Errors
    /// The system's, when the runtime cannot watch one more descriptor.
    ///
    /// # Panics
    /// Outside a runtime.
    pub fn into_listener(self) -> io::Result<Listener> {
        let Self { socket, address, claim } = self;
        Ok(Listener { inner: TcpListener::from_std(socket.into())?, address, claim })
    }

    /// The address that it listens on, with the port that the system chose if none was asked for.
    #[must_use]
    pub fn local_address(&self) -> ListenAddress {
        self.address
    }

    fn bind_only(address: SocketAddr, sharing: Sharing) -> io::Result<Self> {
        let (socket, address) = match new_socket(address) {
            Ok(socket) => (socket, address),
            Err(error) => match without_ipv6(address, &error) {
                Some(address) => (new_socket(address)?, address),
                None => return Err(error),
            },
        };
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        // Connections of an earlier process that linger in TIME_WAIT do not keep the address.
        socket.set_reuse_address(true)?;
        match sharing {
            Sharing::Shared => {
                socket.set_reuse_port(true)?;
                socket.bind(&address.into())?;
            }
            // The kernel lets a socket in where both it and the one that is there share. Ours does not while it binds, so
            // another's is in its way; and does from then on, so the rest of our group is let in.
            Sharing::Exclusive => {
                socket.bind(&address.into())?;
                socket.set_reuse_port(true)?;
            }
        }
        socket.set_tcp_nodelay(true)?;
        let address = local_address(&socket)?;
        Ok(Self::claimed(socket, address))
    }

    fn claimed(socket: Socket, address: ListenAddress) -> Self {
        let claim = Claim::new(&socket, Owner::Listener);
        Self { socket, address, claim }
    }
}

/// A listening TCP socket in a runtime.
#[derive(Debug)]
pub struct Listener {
    inner: TcpListener,
    address: ListenAddress,
    // After the socket.
    claim: Claim,
}

impl Listener {
    /// The next connection. It has TCP_NODELAY, and is not inherited by child processes.
    ///
    /// # Errors
    /// The system's, as accept(2) gives them: some are of that one connection, some are of the whole process.
    ///
    /// # Cancel safety
    /// Cancel safe: no connection is lost.
    pub async fn accept(&self) -> io::Result<(TcpStream, ClientAddress)> {
        let (stream, peer) = self.inner.accept().await?;
        Ok((stream, ClientAddress::new(peer)))
    }

    /// Stops listening by and by: gives each connection that is still queued. Dropped before its end, or after an error,
    /// the rest is reset by the system.
    ///
    /// The socket is asked itself, not the runtime: that would answer "none" for a queue that it has not heard of yet, and
    /// after a turn's worth of connections.
    ///
    /// # Errors
    /// The runtime's, if it does not let go of the socket.
    pub fn into_queue(self) -> io::Result<impl Iterator<Item = io::Result<(TcpStream, ClientAddress)>>> {
        let Self { inner, address: _, claim } = self;
        let listener = inner.into_std()?;
        Ok(std::iter::from_fn(move || {
            // The claim goes with the socket.
            let _claim = &claim;
            match listener.accept() {
                Ok((stream, peer)) => {
                    let watched = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
                    Some(watched.map(|stream| (stream, ClientAddress::new(peer))))
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                // Linux takes a descriptor before it looks into the queue: without one, it says so of an empty queue too.
                Err(_) if !sys::has_queued(&listener).unwrap_or(true) => None,
                Err(error) => Some(Err(error)),
            }
        }))
    }

    /// The address that it listens on.
    #[must_use]
    pub fn local_address(&self) -> ListenAddress {
        self.address
    }

    /// Whether a descriptor for another client could be had now.
    ///
    /// # Errors
    /// The system's, when none at all is left.
    pub fn is_free_for_clients(&self) -> io::Result<bool> {
        is_free_for_clients(&self.inner)
    }
}

/// Why an address cannot be bound, and what to do, in words for the operator.
#[must_use]
pub fn bind_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another process has it (see `ss -ltnp`)",
        io::ErrorKind::AddrNotAvailable => {
            "no interface of this host has the address; one that comes later needs ip_nonlocal_bind (net.ipv4 or net.ipv6)"
        }
        io::ErrorKind::PermissionDenied => "ports below 1024 need CAP_NET_BIND_SERVICE",
        _ => "the system refuses",
    }
}

/// Why a descriptor cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// Not TCP.
    #[error(
        "the inherited descriptor is not a TCP socket (the socket unit needs ListenStream= with an address and port)"
    )]
    NotTcp,
    /// TCP, but not listening.
    #[error("the inherited socket is not listening (the socket unit needs Accept=no)")]
    NotListening,
    /// Not a socket, or the system refuses to say.
    #[error("the inherited descriptor cannot be used as a socket")]
    System(#[from] io::Error),
}

/// A socket for the address's family, non-blocking and close-on-exec from its first moment.
fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    Socket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))
}

/// What `[::]` means on a host whose kernel has no IPv6 (`ipv6.disable=1`).
fn without_ipv6(address: SocketAddr, error: &io::Error) -> Option<SocketAddr> {
    let lacks = error.raw_os_error() == Some(libc::EAFNOSUPPORT);
    let any = address.is_ipv6() && address.ip().is_unspecified();
    (lacks && any).then(|| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port()))
}

fn local_address(socket: &Socket) -> io::Result<ListenAddress> {
    let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok(ListenAddress::new(address))
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use std::net::UdpSocket;

    use super::*;

    const WORKERS: NonZeroUsize = NonZeroUsize::new(4).unwrap();

    fn any(host: &str) -> SocketAddr {
        format!("{host}:0").parse().unwrap()
    }

    #[tokio::test]
    async fn a_group_shares_one_port_and_each_connection_reaches_one_of_it() {
        let group = BoundListener::bind_group(any("127.0.0.1"), WORKERS, Sharing::Exclusive).unwrap();
        let address = group[0].local_address();
        assert_ne!(address.port(), 0);
        assert!(group.iter().all(|bound| bound.local_address() == address));
        let listeners: Vec<_> = group.into_iter().map(|bound| bound.into_listener().unwrap()).collect();
        for _ in 0..16 {
            let client = TcpStream::connect(address.socket()).await.unwrap();
            let mut accepting: Vec<_> = listeners.iter().map(|listener| Box::pin(listener.accept())).collect();
            let accepted = std::future::poll_fn(|context| {
                let mut ready = accepting.iter_mut().map(|accept| accept.as_mut().poll(context));
                ready.find(Poll::is_ready).unwrap_or(Poll::Pending)
            });
            let (_, peer) = accepted.await.unwrap();
            assert_eq!(peer, ClientAddress::new(client.local_addr().unwrap()));
        }
    }

    #[test]
    fn an_address_could_be_bound_that_is_ours_whoever_has_it() {
        let group = BoundListener::bind_group(any("127.0.0.1"), WORKERS, Sharing::Exclusive).unwrap();
        BoundListener::could_bind(group[0].local_address().socket()).unwrap();
        BoundListener::could_bind(std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()).unwrap();
        // TEST-NET-1 (RFC 5737) is nobody's.
        let error = BoundListener::could_bind(any("192.0.2.1")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[tokio::test]
    async fn accepted_sockets_have_nodelay_without_being_told() {
        let listener = BoundListener::bind(any("127.0.0.1"), Sharing::Exclusive).unwrap().into_listener().unwrap();
        let _client = TcpStream::connect(listener.local_address().socket()).await.unwrap();
        assert!(listener.accept().await.unwrap().0.nodelay().unwrap());
    }

    #[tokio::test]
    async fn the_unspecified_address_takes_both_families_and_shows_ipv4_clients_as_ipv4() {
        let listener = BoundListener::bind(any("[::]"), Sharing::Exclusive).unwrap().into_listener().unwrap();
        let port = listener.local_address().port();
        for host in ["127.0.0.1", "[::1]"] {
            let address: SocketAddr = format!("{host}:{port}").parse().unwrap();
            let _client = TcpStream::connect(address).await.unwrap();
            assert_eq!(listener.accept().await.unwrap().1.ip(), address.ip());
        }
    }

    #[test]
    fn a_second_daemon_on_the_address_is_refused_and_an_overlap_of_our_own_is_not() {
        let group = BoundListener::bind_group(any("127.0.0.1"), WORKERS, Sharing::Exclusive).unwrap();
        let address = group[0].local_address().socket();
        let refused = BoundListener::bind(address, Sharing::Exclusive).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        let wider = SocketAddr::new("::".parse().unwrap(), address.port());
        assert_eq!(BoundListener::bind(wider, Sharing::Exclusive).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(BoundListener::bind(wider, Sharing::Shared).is_ok());
        drop(group);
        assert!(BoundListener::bind(address, Sharing::Exclusive).is_ok());
    }

    #[tokio::test]
    async fn an_address_with_old_connections_in_time_wait_can_be_bound_again() {
        let listener = BoundListener::bind(any("127.0.0.1"), Sharing::Exclusive).unwrap().into_listener().unwrap();
        let address = listener.local_address().socket();
        let client = TcpStream::connect(address).await.unwrap();
        // The side that closes first is the one that waits.
        drop(listener.accept().await.unwrap());
        client.readable().await.unwrap();
        drop((client, listener));
        assert!(BoundListener::bind(address, Sharing::Exclusive).is_ok());
    }

    #[tokio::test]
    async fn an_inherited_socket_is_listened_on_by_each_of_its_handles() {
        let inherited = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let bound = BoundListener::adopt(inherited.into()).unwrap();
        let listener = bound.try_clone().unwrap().into_listener().unwrap();
        drop(bound);
        let client = TcpStream::connect(listener.local_address().socket()).await.unwrap();
        let (accepted, peer) = listener.accept().await.unwrap();
        assert!(accepted.nodelay().unwrap());
        assert_eq!(peer.socket(), client.local_addr().unwrap());
    }

    #[test]
    fn what_is_not_a_listening_tcp_socket_is_not_adopted() {
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(matches!(BoundListener::adopt(datagrams.into()), Err(AdoptError::NotTcp)));
        let (local, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(matches!(BoundListener::adopt(local.into()), Err(AdoptError::NotTcp)));
        let idle = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        assert!(matches!(BoundListener::adopt(idle.into()), Err(AdoptError::NotListening)));
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(matches!(BoundListener::adopt(file.into()), Err(AdoptError::System(_))));
    }

    #[test]
    fn only_the_unspecified_ipv6_address_falls_back_and_only_for_want_of_ipv6() {
        let lacks = io::Error::from_raw_os_error(libc::EAFNOSUPPORT);
        assert_eq!(without_ipv6("[::]:80".parse().unwrap(), &lacks), Some("0.0.0.0:80".parse().unwrap()));
        assert_eq!(without_ipv6("[::1]:80".parse().unwrap(), &lacks), None);
        assert_eq!(without_ipv6("0.0.0.0:80".parse().unwrap(), &lacks), None);
        let other = io::Error::from_raw_os_error(libc::EMFILE);
        assert_eq!(without_ipv6("[::]:80".parse().unwrap(), &other), None);
    }
}
