use std::io;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::drain::ask_for_descriptors;
use crate::net::{Claim, Owner, TargetAddress, is_last_for_clients};

/// How long to wait for descriptors that others can do without. Each worker closes its idle connections when its event loop
/// next turns, which takes less by far; one that does not turn is not waited for.
const DESCRIPTORS_PATIENCE: Duration = Duration::from_millis(100);

/// Opens a TCP connection. No time limit.
///
/// # Cancel safety
/// Dropping the future closes the socket.
pub(super) async fn open(address: TargetAddress, owner: Owner) -> io::Result<(TcpStream, Claim)> {
    let (socket, claim) = match claimed(address, owner) {
        Err(error) if is_want_of_descriptors(&error) => {
            // What is not given up by then is not missed either: the second try says so.
            let _late = timeout(DESCRIPTORS_PATIENCE, ask_for_descriptors().answered()).await;
            claimed(address, owner)?
        }
        taken => taken?,
    };
    // What a relay writes is what a peer has written: holding it back (RFC 896) only adds a delay to the sender's own.
    socket.set_nodelay(true)?;
    Ok((connect(socket, address).await?, claim))
}

/// A socket that is not yet connected, unless it would be one of the last descriptors, which are not for clients.
fn claimed(address: TargetAddress, owner: Owner) -> io::Result<(TcpSocket, Claim)> {
    let socket = if address.ip().is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
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

async fn connect(socket: TcpSocket, address: TargetAddress) -> io::Result<TcpStream> {
    let stream = socket.connect(address.socket()).await?;
    // Where nobody listens on a local port of the ephemeral range, the system may choose that very port for our end, and
    // the socket meets itself (simultaneous open, RFC 9293 section 3.5): an echo that keeps the target from its port.
    let own = stream.local_addr()?;
    if own.port() == address.port() && own.ip().to_canonical() == address.ip() {
        // No TIME_WAIT, which would hold the port for a minute more.
        stream.set_zero_linger()?;
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_meets_itself_is_a_refusal_and_frees_the_port() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = TargetAddress::new(socket.local_addr().unwrap());
        let error = connect(socket, address).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        std::net::TcpListener::bind(address.socket()).unwrap();
    }

    #[tokio::test]
    async fn small_writes_are_not_held_back() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = TargetAddress::new(listener.local_addr().unwrap());
        let (stream, _claim) = open(address, Owner::Target(1)).await.unwrap();
        assert!(stream.nodelay().unwrap());
    }
}
