use std::future::poll_fn;
use std::io;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::drain::ask_for_descriptors;
use crate::net::{Claim, Owner, TargetAddress, is_last_for_clients, refresh_descriptor_limit};

/// How long to wait for descriptors that others can do without. Each worker closes its idle connections when its event loop
/// next turns, which takes less by far; one that does not turn is not waited for.
const DESCRIPTORS_PATIENCE: Duration = Duration::from_millis(100);

/// A TCP connection that has been begun.
#[derive(Debug)]
pub(super) enum Begun {
    /// It stands.
    Stands(TcpStream, Claim),
    /// The target has not answered yet.
    Waits(TcpStream, Claim),
    /// There was no descriptor for it.
    Short,
}

/// Begins to open a TCP connection. One to a target on this host mostly stands then.
///
/// # Errors
/// The system's.
pub(super) fn begin(address: TargetAddress, owner: Owner) -> io::Result<Begun> {
    match claimed(address, owner) {
        Err(error) if is_want_of_descriptors(&error) => Ok(Begun::Short),
        taken => start(taken?, address),
    }
}

/// Waits until what was begun stands. No time limit.
///
/// # Errors
/// The system's.
///
/// # Cancel safety
/// Dropping the future closes the socket.
pub(super) async fn complete(begun: Begun, address: TargetAddress, owner: Owner) -> io::Result<(TcpStream, Claim)> {
    let begun = match begun {
        Begun::Short => {
            // The limit may have been lowered a moment ago.
            refresh_descriptor_limit();
            // What is not given up by then is not missed either: the second try says so.
            let _late = timeout(DESCRIPTORS_PATIENCE, ask_for_descriptors().answered()).await;
            start(claimed(address, owner)?, address)?
        }
        begun @ (Begun::Stands(..) | Begun::Waits(..)) => begun,
    };
    match begun {
        Begun::Stands(stream, claim) => Ok((stream, claim)),
        Begun::Waits(stream, claim) => {
            poll_fn(|context| stream.poll_write_ready(context)).await?;
            match stream.take_error()? {
                None => Ok((other_than_itself(stream, address)?, claim)),
                Some(error) => Err(error),
            }
        }
        // The second try found one, or failed.
        Begun::Short => Err(io::Error::from_raw_os_error(libc::EMFILE)),
    }
}

fn start((socket, claim): (Socket, Claim), address: TargetAddress) -> io::Result<Begun> {
    // What a relay writes is what a peer has written: holding it back (RFC 896) only adds a delay to the sender's own.
    socket.set_tcp_nodelay(true)?;
    // Nothing holds the last packet of the handshake back until our first bytes can go with it (tcp(7), TCP_QUICKACK): the kernel
    // would then hold back the acknowledgement of the first answer too, for which a target that writes it in two pieces waits.
    let stands = connect(&socket, address)?;
    let stream = TcpStream::from_std(socket.into())?;
    Ok(if stands { Begun::Stands(other_than_itself(stream, address)?, claim) } else { Begun::Waits(stream, claim) })
}

/// A socket that is not yet connected, unless it would be one of the last descriptors, which are not for clients.
fn claimed(address: TargetAddress, owner: Owner) -> io::Result<(Socket, Claim)> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address.socket()), kind, Some(Protocol::TCP))?;
    let claim = Claim::new(&socket, owner);
    if is_last_for_clients(&socket) {
        return Err(io::Error::from_raw_os_error(libc::EMFILE));
    }
    Ok((socket, claim))
}

/// Whether another descriptor of this process would help if it were closed.
fn is_want_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// The connection, if it leads to somebody else.
///
/// Where nobody listens on a local port of the ephemeral range, the system may choose that very port for our end, and the socket
/// meets itself (simultaneous open, RFC 9293 section 3.5): an echo that keeps the target from its port.
fn other_than_itself(stream: TcpStream, address: TargetAddress) -> io::Result<TcpStream> {
    let own = stream.local_addr()?;
    if own.port() == address.port() && own.ip().to_canonical() == address.ip() {
        // No TIME_WAIT, which would hold the port for a minute more.
        stream.set_zero_linger()?;
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

/// Whether the connection stands already.
///
/// A target on this host has answered by the time that the call returns, which says "in progress" all the same. Asked once more,
/// which takes a fraction of a microsecond, the system tells how it went (connect(2)), and the task need not wait for its turn.
fn connect(socket: &Socket, address: TargetAddress) -> io::Result<bool> {
    let address = address.socket().into();
    match socket.connect(&address) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        done => return done.map(|()| true),
    }
    match socket.connect(&address) {
        Err(error) => match error.raw_os_error() {
            Some(libc::EALREADY | libc::EINPROGRESS) => Ok(false),
            Some(libc::EISCONN) => Ok(true),
            Some(_) | None => Err(error),
        },
        Ok(()) => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;

    const OWNER: Owner = Owner::Target(1);

    fn new_socket() -> (Socket, Claim) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).unwrap();
        let claim = Claim::new(&socket, OWNER);
        (socket, claim)
    }

    fn bound() -> (Socket, Claim, TargetAddress) {
        let (socket, claim) = new_socket();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let address = TargetAddress::new(socket.local_addr().unwrap().as_socket().unwrap());
        (socket, claim, address)
    }

    #[tokio::test]
    async fn a_socket_that_meets_itself_is_a_refusal_and_frees_the_port() {
        let (socket, claim, address) = bound();
        let error = start((socket, claim), address).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        std::net::TcpListener::bind(address.socket()).unwrap();
    }

    #[tokio::test]
    async fn a_target_on_this_host_is_connected_to_or_refuses_at_once_and_small_writes_are_not_held_back() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = TargetAddress::new(listener.local_addr().unwrap());
        let Begun::Stands(stream, _claim) = begin(address, OWNER).unwrap() else { panic!("it is waited for") };
        assert!(stream.nodelay().unwrap());
        drop(listener);
        let error = begin(address, OWNER).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    /// A full queue leaves the first packet of the handshake unanswered, as a target far away does for a while.
    #[tokio::test]
    async fn a_target_that_does_not_answer_at_once_is_waited_for() {
        let (listener, _claim, address) = bound();
        listener.listen(0).unwrap();
        let mut queued = Vec::new();
        let waiting = loop {
            match begin(address, OWNER).unwrap() {
                stands @ Begun::Stands(..) => queued.push(stands),
                waiting @ Begun::Waits(..) => break waiting,
                Begun::Short => panic!("no descriptor"),
            }
            assert!(queued.len() < 100, "the queue of a listener with a backlog of nothing does not fill");
        };
        let completing = complete(waiting, address, OWNER);
        tokio::pin!(completing);
        assert!(timeout(Duration::from_millis(50), &mut completing).await.is_err());
        for _ in &queued {
            listener.accept().unwrap();
        }
        let (stream, _claim) = timeout(Duration::from_secs(30), completing).await.unwrap().unwrap();
        assert!(stream.peer_addr().is_ok());
    }
}
