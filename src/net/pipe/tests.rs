use std::cell::Cell;
use std::future::poll_fn;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// Where a fault is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Open,
    Fill,
    Drain,
}

thread_local! {
    /// What the next calls at a place of this thread come to instead of what the system makes of them.
    static FAULT: Cell<Option<(Place, i32)>> = const { Cell::new(None) };
}

/// Makes the calls at a place fail from now on.
pub(crate) fn set_fault(fault: Option<(Place, i32)>) {
    FAULT.set(fault);
}

pub(super) fn fault(place: Place) -> io::Result<()> {
    match FAULT.get() {
        Some((at, number)) if at == place => Err(io::Error::from_raw_os_error(number)),
        Some(_) | None => Ok(()),
    }
}

/// How many empty pipes this thread keeps.
pub(crate) fn kept() -> usize {
    KEPT.with_borrow(|kept| kept.pipes.len())
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (near, listener.accept().await.unwrap().0)
}

fn moved(spliced: Spliced) -> usize {
    match spliced {
        Spliced::Moved(count) => count,
        other @ (Spliced::Refused | Spliced::Failed(_)) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn bytes_go_from_socket_to_socket_and_the_end_is_no_bytes() {
    let ((mut client, near), (far, mut target)) = (pair().await, pair().await);
    let mut pipe = Pipe::take().unwrap();
    assert!(fcntl_getpipe_size(&pipe.write).unwrap() >= SIZE_LEAST);
    client.write_all(b"hello").await.unwrap();
    assert_eq!(moved(poll_fn(|context| pipe.poll_fill(context, &near, SIZE)).await), 5);
    assert_eq!(pipe.held(), 5);
    assert_eq!(moved(poll_fn(|context| pipe.poll_drain(context, &far)).await), 5);
    assert_eq!(pipe.held(), 0);
    let mut seen = [0; 5];
    target.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"hello");
    // Nothing there: the task is woken when something is.
    let waiting = poll_fn(|context| {
        assert!(pipe.poll_fill(context, &near, SIZE).is_pending());
        Poll::Ready(())
    });
    waiting.await;
    drop(client);
    assert_eq!(moved(poll_fn(|context| pipe.poll_fill(context, &near, SIZE)).await), 0);
}

#[tokio::test]
async fn what_is_in_a_pipe_can_be_had_after_all() {
    let (mut client, near) = pair().await;
    let mut pipe = Pipe::take().unwrap();
    client.write_all(b"hello").await.unwrap();
    poll_fn(|context| pipe.poll_fill(context, &near, SIZE)).await;
    assert_eq!(&*pipe.into_bytes().unwrap(), b"hello");
}

#[tokio::test]
async fn an_empty_pipe_is_used_again_and_one_with_bytes_in_it_never() {
    use std::os::fd::AsRawFd;
    let (mut client, near) = pair().await;
    let pipe = Pipe::take().unwrap();
    let number = pipe.read.as_raw_fd();
    pipe.give_back();
    let mut pipe = Pipe::take().unwrap();
    assert_eq!(pipe.read.as_raw_fd(), number);
    client.write_all(b"not for others").await.unwrap();
    poll_fn(|context| pipe.poll_fill(context, &near, SIZE)).await;
    pipe.give_back();
    assert_eq!(kept(), 0);
    assert_eq!(Pipe::take().unwrap().held(), 0);
}

#[test]
fn pipes_that_nobody_wants_are_closed_and_others_kept() {
    let (one, two) = (Pipe::take().unwrap(), Pipe::take().unwrap());
    one.give_back();
    two.give_back();
    let_go_of_unused_pipes();
    assert_eq!(kept(), 2);
    // One at a time is wanted.
    Pipe::take().unwrap().give_back();
    let_go_of_unused_pipes();
    assert_eq!(kept(), 1);
    let_go_of_unused_pipes();
    assert_eq!(kept(), 0);
}

#[test]
fn what_the_system_refuses_is_told_from_what_a_connection_comes_to() {
    let kind = |number| failed(io::Error::from_raw_os_error(number));
    for number in [libc::EINVAL, libc::ENOSYS, libc::EPERM, libc::ENOMEM] {
        assert!(matches!(kind(number), Spliced::Refused), "{number}");
    }
    for number in [libc::ECONNRESET, libc::EPIPE, libc::ETIMEDOUT, libc::EHOSTUNREACH] {
        assert!(matches!(kind(number), Spliced::Failed(_)), "{number}");
    }
}
