use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpStream;

use super::worker::Worker;
use crate::connection::{ConnectionGuard, Place};
use crate::drain::{Leash, Order};
use crate::net::{ClientAddress, ListenAddress, Listener, is_last_for_clients};

/// The first rest after an error of ours; it doubles up to [`REST_MAX`].
///
/// Descriptors come back at the pace of ending connections: 10 ms is shorter than any of them is missed for.
const REST_MIN: Duration = Duration::from_millis(10);

/// The longest rest after an error of ours.
const REST_MAX: Duration = Duration::from_secs(1);

/// One listening address, as one worker serves it.
#[derive(Debug)]
pub(super) struct Accepting {
    /// The address as the configuration writes it, by which the site is found.
    pub key: ListenAddress,
    /// The socket.
    pub listener: Listener,
    /// Told to drain, the loop takes what is already queued and ends.
    pub leash: Arc<Leash>,
}

/// What an error of `accept` means for the loop. Nothing is a fault of the listener but the last class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AcceptFault {
    /// The connection that was to be accepted is gone or broken: go on with the next.
    Peer,
    /// This process or host is out of something: rest, say the cure once, go on.
    Exhausted,
    /// The listener is broken: stop.
    Broken,
}

/// Accepts until told to drain, or until the listener breaks. Nothing here waits for a client.
///
/// # Errors
/// The error that broke the listener.
pub(super) async fn accept(accepting: Accepting, worker: Arc<Worker>) -> io::Result<()> {
    let mut rest = Rest::default();
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = accepting.listener.accept() => accepted,
            _ = accepting.leash.order_above(None) => return finish_queue(&accepting, &worker).await,
        };
        match accepted {
            Ok((stream, client)) => {
                let last = is_last_for_clients(&stream);
                rest.over(accepting.listener.local_address());
                admit(&accepting, &worker, stream, client).await;
                if last {
                    worker.meters().accept_errors.with_label_values(&[AcceptFault::Exhausted.as_str()]).inc();
                    rest.until_free(&accepting).await;
                }
            }
            Err(error) => {
                worker.meters().accept_errors.with_label_values(&[classify(&error).as_str()]).inc();
                match classify(&error) {
                    AcceptFault::Peer => tracing::debug!(%error, "a connection was gone before it was accepted"),
                    AcceptFault::Exhausted => rest.take(&error, accepting.listener.local_address()).await,
                    AcceptFault::Broken => return Err(error),
                }
            }
        }
    }
}

/// Takes the connections that the kernel has already accepted for us, so that none is reset by the close.
async fn finish_queue(accepting: &Accepting, worker: &Arc<Worker>) -> io::Result<()> {
    loop {
        let queued = poll_fn(|context| match accepting.listener.poll_accept(context) {
            Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
            Poll::Pending => Poll::Ready(None),
        });
        match queued.await {
            Some(Ok((stream, client))) => admit(accepting, worker, stream, client).await,
            Some(Err(error)) if classify(&error) == AcceptFault::Peer => {}
            Some(Err(error)) => {
                tracing::warn!(%error, address = %accepting.key, "queued connections are lost");
                return Ok(());
            }
            None => return Ok(()),
        }
    }
}

/// Starts the connection's task, once the process has a place for it. Until then the loop rests: the clients behind wait in
/// the kernel's queue.
async fn admit(accepting: &Accepting, worker: &Arc<Worker>, stream: TcpStream, client: ClientAddress) {
    let place = match worker.gate().try_enter() {
        Some(place) => place,
        None => wait_for_place(accepting, worker).await,
    };
    // Opened before the task exists: a task that is dropped before its first poll still gives back what it counts for.
    let guard = ConnectionGuard::open(worker.registry(), place, accepting.listener.local_address(), client);
    if accepting.leash.order().is_some() {
        guard.connection().order(Order::Drain);
    }
    worker.spawn(accepting.key, stream, guard);
}

async fn wait_for_place(accepting: &Accepting, worker: &Arc<Worker>) -> Place {
    tracing::warn!(
        limit = worker.gate().limit(),
        address = %accepting.key,
        "as many connections as server.max_connections allows; new ones wait until one ends"
    );
    worker.gate().enter().await
}

/// Sorts the errors of accept(2).
///
/// The page says of Linux: errors already pending on the new socket are passed on by accept, and are to be taken like EAGAIN.
pub(super) fn classify(error: &io::Error) -> AcceptFault {
    match error.raw_os_error() {
        Some(
            libc::ECONNABORTED
            | libc::EPROTO
            | libc::EINTR
            | libc::EAGAIN
            | libc::ENETDOWN
            | libc::ENOPROTOOPT
            | libc::EHOSTDOWN
            | libc::ENONET
            | libc::EHOSTUNREACH
            | libc::EOPNOTSUPP
            | libc::ENETUNREACH
            | libc::ETIMEDOUT
            | libc::ECONNRESET
            | libc::EPERM,
        ) => AcceptFault::Peer,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => AcceptFault::Exhausted,
        Some(_) | None => AcceptFault::Broken,
    }
}

impl AcceptFault {
    /// The name in metrics.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Exhausted => "exhausted",
            Self::Broken => "broken",
        }
    }
}

/// Resting after errors of ours: said once, longer each time, and said again when it is over.
#[derive(Debug, Default)]
struct Rest {
    next: Option<Duration>,
}

impl Rest {
    async fn take(&mut self, error: &io::Error, address: ListenAddress) {
        let rest = self.next.unwrap_or_else(|| {
            tracing::warn!(
                %error, %address,
                "cannot accept connections for now: raise the limit of open files (LimitNOFILE=) or lower server.max_connections"
            );
            REST_MIN
        });
        self.next = Some((rest * 2).min(REST_MAX));
        tokio::time::sleep(rest).await;
    }

    /// Rests until a descriptor is free for another client. The last ones are kept for operators.
    async fn until_free(&mut self, accepting: &Accepting) {
        let exhausted = io::Error::from_raw_os_error(libc::EMFILE);
        while accepting.leash.order().is_none() {
            self.take(&exhausted, accepting.listener.local_address()).await;
            if accepting.listener.is_free_for_clients().unwrap_or(false) {
                return;
            }
        }
    }

    fn over(&mut self, address: ListenAddress) {
        if self.next.take().is_some() {
            tracing::info!(%address, "accepting connections again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_of_error_is_told_from_the_others() {
        let class = |number| classify(&io::Error::from_raw_os_error(number));
        assert_eq!(class(libc::ECONNABORTED), AcceptFault::Peer);
        assert_eq!(class(libc::EMFILE), AcceptFault::Exhausted);
        assert_eq!(class(libc::ENOMEM), AcceptFault::Exhausted);
        assert_eq!(class(libc::EBADF), AcceptFault::Broken);
        assert_eq!(class(libc::EINVAL), AcceptFault::Broken);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_doubles_up_to_its_longest_and_starts_anew_after_a_success() {
        let address = ListenAddress::new("127.0.0.1:1".parse().unwrap());
        let error = io::Error::from_raw_os_error(libc::EMFILE);
        let mut rest = Rest::default();
        let begin = tokio::time::Instant::now();
        for _ in 0..3 {
            rest.take(&error, address).await;
        }
        assert_eq!(begin.elapsed(), REST_MIN * 7);
        for _ in 0..10 {
            rest.take(&error, address).await;
        }
        assert_eq!(rest.next, Some(REST_MAX));
        rest.over(address);
        assert_eq!(rest.next, None);
    }
}
