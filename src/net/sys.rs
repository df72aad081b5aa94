//! System calls that no crate wraps safely: the only `unsafe` of the program.
#![expect(unsafe_code, reason = "each call here is one system call, with its contract beside it and a test below")]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use libc::c_int;

/// Raises the soft limit of open file descriptors to the hard one, and returns it.
///
/// # Errors
/// The system's; the limit is then unchanged.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = limits()?;
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` is a whole rlimit that outlives the call, which only reads it.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    }
    Ok(limit.rlim_cur)
}

/// The soft limit of open file descriptors.
///
/// # Errors
/// The system's.
pub fn descriptor_limit() -> io::Result<u64> {
    Ok(limits()?.rlim_cur)
}

/// How many bytes written to a TCP socket its peer has not yet acknowledged, a FIN counting as one.
///
/// # Errors
/// The system's: `descriptor` is no socket, or a listening one.
pub fn unsent_bytes(descriptor: &impl AsFd) -> io::Result<usize> {
    unsent_bytes_of(descriptor.as_fd().as_raw_fd())
}

/// The same of a descriptor that is not owned: another thread may close it, and open it for something else, at any moment, so
/// the answer is of this one.
///
/// # Errors
/// The system's: it is not open, or no socket, or a listening one.
pub fn unsent_bytes_of(descriptor: RawFd) -> io::Result<usize> {
    let mut count: c_int = 0;
    // SIOCOUTQ (tcp(7)) has the number of TIOCOUTQ, the only one of the two names that libc has everywhere.
    // SAFETY: the request writes one int, and `count` is one; a number that is not open is an error.
    check(unsafe { libc::ioctl(descriptor, libc::TIOCOUTQ, &raw mut count) })?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// What the kernel knows of a TCP socket's peer, however much of what it sent has not been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// It may send more.
    Open,
    /// It has sent FIN.
    Ended,
    /// It has reset the connection, or the kernel has given it up.
    Lost,
}

/// Asks what has become of the peer. Consumes neither bytes nor an error.
///
/// # Errors
/// The system's, for want of memory.
pub fn peer(descriptor: &impl AsFd) -> io::Result<Peer> {
    let mut asked = libc::pollfd { fd: descriptor.as_fd().as_raw_fd(), events: libc::POLLRDHUP, revents: 0 };
    // SAFETY: the descriptor is borrowed, so it is open; `asked` is the one entry that the count of 1 says.
    check(unsafe { libc::poll(&raw mut asked, 1, 0) })?;
    Ok(match asked.revents {
        seen if seen & libc::POLLERR != 0 => Peer::Lost,
        seen if seen & (libc::POLLRDHUP | libc::POLLHUP) != 0 => Peer::Ended,
        _ => Peer::Open,
    })
}

/// Whether a connection waits to be accepted on a listening socket.
///
/// # Errors
/// The system's, for want of memory.
pub fn has_queued(listener: &impl AsFd) -> io::Result<bool> {
    let mut asked = libc::pollfd { fd: listener.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: the descriptor is borrowed, so it is open; `asked` is the one entry that the count of 1 says.
    check(unsafe { libc::poll(&raw mut asked, 1, 0) })?;
    Ok(asked.revents & libc::POLLIN != 0)
}

/// Opens a file to be read, without waiting for whoever writes to a pipe (fifo(7)), nor for them later.
///
/// # Errors
/// The system's.
pub fn open_at_once(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)
}

/// Waits until there is something to read, or the end, for so long at most; whether there is.
///
/// # Errors
/// The system's, for want of memory.
pub fn is_readable(descriptor: &impl AsFd, patience: Duration) -> io::Result<bool> {
    let end = Instant::now() + patience;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        // Never a whole millisecond too short, which would ask again and again.
        let left = i32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        let mut asked = libc::pollfd { fd: descriptor.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: the descriptor is borrowed, so it is open; `asked` is the one entry that the count of 1 says.
        match check(unsafe { libc::poll(&raw mut asked, 1, left) }) {
            Ok(_) => return Ok(asked.revents != 0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Takes ownership of a descriptor that the service manager passed to this process, and marks it close-on-exec.
///
/// `number` has to come from `LISTEN_FDS` (sd_listen_fds(3)): a descriptor that something in this process has opened has an
/// owner already. Each number is given out once, and the three standard ones never.
///
/// # Errors
/// `InvalidInput` for a number that is never given out, or was already; the system's when no such descriptor is open.
pub fn adopt_descriptor(number: RawFd) -> io::Result<OwnedFd> {
    static ADOPTED: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());
    if number <= libc::STDERR_FILENO {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a standard stream is not an inherited socket"));
    }
    let mut adopted = ADOPTED.lock().unwrap_or_else(PoisonError::into_inner);
    if adopted.contains(&number) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the inherited socket has been taken already"));
    }
    // SAFETY: F_GETFD takes no pointer, and fails on a number that is not open.
    let flags = check(unsafe { libc::fcntl(number, libc::F_GETFD) })?;
    // SAFETY: F_SETFD takes no pointer; that the number is open has just been seen.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, flags | libc::FD_CLOEXEC) })?;
    adopted.push(number);
    // SAFETY: it is open, it was opened before this process began, so nothing here owns it, and it is taken once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Whether this process may make and take away files in a folder.
///
/// # Errors
/// Why it may not, as access(2) says: `NotFound`, `PermissionDenied`, a file system that is mounted to be read only.
pub fn may_write_in(folder: &Path) -> io::Result<()> {
    let path = CString::new(folder.as_os_str().as_bytes())?;
    // SAFETY: the path is a string with a NUL at its end that outlives the call, which only reads it.
    check(unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::W_OK | libc::X_OK, libc::AT_EACCESS) })?;
    Ok(())
}

/// The inode of the socket that a descriptor is; `None` if it is something else, or not open. The descriptor is not owned:
/// another thread may close it, and open it for something else, at any moment, so the answer is of this one.
#[must_use]
pub fn socket_inode(descriptor: RawFd) -> Option<u64> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the pointer is to a whole stat, which the call fills when it succeeds; a number that is not open is an error.
    check(unsafe { libc::fstat(descriptor, stat.as_mut_ptr()) }).ok()?;
    // SAFETY: it succeeded.
    let stat = unsafe { stat.assume_init() };
    (stat.st_mode & libc::S_IFMT == libc::S_IFSOCK).then_some(stat.st_ino)
}

/// Whether a descriptor is a TCP socket now.
#[must_use]
pub fn is_tcp(descriptor: RawFd) -> bool {
    let mut protocol: c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of::<c_int>()).unwrap_or(0);
    let (value, size) = ((&raw mut protocol).cast(), &raw mut length);
    // SAFETY: `protocol` is as long as `length` says, and both outlive the call; a number that is not open is an error.
    let asked = unsafe { libc::getsockopt(descriptor, libc::SOL_SOCKET, libc::SO_PROTOCOL, value, size) };
    asked == 0 && protocol == libc::IPPROTO_TCP
}

/// Our end of the IP socket that a descriptor is now.
#[must_use]
pub fn near_end(descriptor: RawFd) -> Option<SocketAddr> {
    // SAFETY: it is one of the two calls that `end` is for.
    end(|address, length| unsafe { libc::getsockname(descriptor, address, length) })
}

/// The other end of the IP socket that a descriptor is now.
#[must_use]
pub fn far_end(descriptor: RawFd) -> Option<SocketAddr> {
    // SAFETY: it is one of the two calls that `end` is for.
    end(|address, length| unsafe { libc::getpeername(descriptor, address, length) })
}

/// What getsockname(2) or getpeername(2) says, if that is an IP address.
fn end(ask: impl Fn(*mut libc::sockaddr, *mut libc::socklen_t) -> c_int) -> Option<SocketAddr> {
    let asked = |address: *mut socket2::SockAddrStorage, length: *mut libc::socklen_t| {
        check(ask(address.cast(), length)).map(|_| ())
    };
    // SAFETY: the storage is as long as the length says, and the calls write no more than that, and the length of it.
    let asked = unsafe { socket2::SockAddr::try_init(asked) };
    asked.ok()?.1.as_socket()
}

fn limits() -> io::Result<libc::rlimit> {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: the pointer is to a whole rlimit, which the call fills when it succeeds.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, limit.as_mut_ptr()) })?;
    // SAFETY: it succeeded.
    Ok(unsafe { limit.assume_init() })
}

fn check(result: c_int) -> io::Result<c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::IntoRawFd;

    use super::*;

    #[test]
    fn the_descriptor_limit_reaches_its_hard_limit_and_stays() {
        let raised = raise_descriptor_limit().unwrap();
        assert_eq!(raised, limits().unwrap().rlim_max);
        assert_eq!(descriptor_limit().unwrap(), raised);
        assert_eq!(raise_descriptor_limit().unwrap(), raised);
    }

    #[test]
    fn a_folder_is_written_in_where_it_is_there_and_lets_us() {
        let folder = tempfile::tempdir().unwrap();
        may_write_in(folder.path()).unwrap();
        assert_eq!(may_write_in(&folder.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(may_write_in(Path::new("a\0b")).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o555);
        std::fs::set_permissions(folder.path(), closed).unwrap();
        // Nothing is closed to root.
        // SAFETY: it takes nothing and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            assert_eq!(may_write_in(folder.path()).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        }
    }

    #[test]
    fn unsent_bytes_are_those_that_the_peer_has_not_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        assert_eq!(unsent_bytes(&near).unwrap(), 0);
        near.set_nonblocking(true).unwrap();
        let mut written = 0;
        while let Ok(count) = near.write(&[7; 65536]) {
            written += count;
        }
        assert!(unsent_bytes(&near).unwrap() > 0);
        std::io::copy(&mut (&far).take(written as u64), &mut std::io::sink()).unwrap();
        while unsent_bytes(&near).unwrap() > 0 {
            std::thread::yield_now();
        }
        assert!(unsent_bytes(&listener).is_err());
        assert!(unsent_bytes(&std::fs::File::open("/dev/null").unwrap()).is_err());
    }

    #[test]
    fn the_peers_end_and_loss_are_known_before_its_bytes_are_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        for (zero_linger, expected) in [(false, Peer::Ended), (true, Peer::Lost)] {
            let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut far, _) = listener.accept().unwrap();
            far.write_all(b"hello").unwrap();
            assert_eq!(peer(&near).unwrap(), Peer::Open);
            if zero_linger {
                socket2::SockRef::from(&far).set_linger(Some(std::time::Duration::ZERO)).unwrap();
                while unsent_bytes(&far).unwrap() > 0 {
                    std::thread::yield_now();
                }
            }
            drop(far);
            while peer(&near).unwrap() == Peer::Open {
                std::thread::yield_now();
            }
            assert_eq!(peer(&near).unwrap(), expected);
            let mut seen = [0; 5];
            (&near).read_exact(&mut seen).unwrap();
            assert_eq!(&seen, b"hello");
            assert_eq!((&near).read(&mut seen).is_err(), zero_linger);
        }
    }

    #[test]
    fn a_queue_has_whoever_was_not_accepted_yet() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(!has_queued(&listener).unwrap());
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(has_queued(&listener).unwrap());
        let _accepted = listener.accept().unwrap();
        assert!(!has_queued(&listener).unwrap());
    }

    #[test]
    fn a_descriptor_is_adopted_once_and_only_if_it_is_open() {
        let number = TcpListener::bind("127.0.0.1:0").unwrap().into_raw_fd();
        let adopted = adopt_descriptor(number).unwrap();
        assert_eq!(adopted.as_raw_fd(), number);
        assert_eq!(adopt_descriptor(number).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        for refused in [-1, 0, 1, 2] {
            assert_eq!(adopt_descriptor(refused).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        assert_eq!(adopt_descriptor(RawFd::MAX).unwrap_err().raw_os_error(), Some(libc::EBADF));
    }
}
