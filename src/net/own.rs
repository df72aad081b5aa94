use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;

use super::sys;

/// The descriptors that this process has open, in their order, as the kernel says.
///
/// # Errors
/// The system's, when `/proc` is not there or no descriptor is left to read it with.
pub fn open_descriptors() -> io::Result<Vec<RawFd>> {
    let mut numbers: Vec<RawFd> =
        fs::read_dir("/proc/self/fd")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The two ends of a socket, as far as the kernel tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Ours.
    pub near: Option<SocketAddr>,
    /// The peer's; none if it is not connected.
    pub far: Option<SocketAddr>,
}

impl Ends {
    /// Asks for the ends of whatever socket the descriptor is now.
    #[must_use]
    pub fn of(descriptor: RawFd) -> Self {
        Self { near: sys::near_end(descriptor), far: sys::far_end(descriptor) }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn an_open_socket_is_listed_with_its_ends_and_its_inode() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(host).unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let open = open_descriptors().unwrap();
            for socket in [listener.as_raw_fd(), client.as_raw_fd()] {
                assert!(open.contains(&socket));
                assert!(sys::is_tcp(socket) && sys::socket_inode(socket).is_some());
            }
            let ends = Ends { near: client.local_addr().ok(), far: client.peer_addr().ok() };
            assert_eq!(Ends::of(client.as_raw_fd()), ends);
            assert_eq!(Ends::of(listener.as_raw_fd()), Ends { near: listener.local_addr().ok(), far: None });
        }
        let file = fs::File::open("/dev/null").unwrap();
        assert_eq!((sys::socket_inode(file.as_raw_fd()), sys::is_tcp(file.as_raw_fd())), (None, false));
        let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(sys::socket_inode(datagrams.as_raw_fd()).is_some() && !sys::is_tcp(datagrams.as_raw_fd()));
        assert_eq!(sys::socket_inode(RawFd::MAX), None);
    }
}
