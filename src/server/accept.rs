use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;

use super::rest::Rest;
use super::served::Served;
use super::worker::Worker;
use crate::connection::{ConnectionGuard, Place};
use crate::drain::{Counted, Leash, Order};
use crate::net::{Claim, ClientAddress, ListenAddress, Listener, Owner, is_near_last_for_clients};
use crate::telemetry::AcceptFault;

/// How many are taken out of a queue before the tasks of those get a turn.
const TAKEN_AT_ONCE: usize = 64;

/// How many are taken out of a queue at most before it is closed: the longest backlog that the kernel knows (listen(2)). A
/// socket that the service manager holds too is never closed, and clients may come to it for ever.
const TAKEN_MAX: usize = 65_535;

/// One listening address, as one worker serves it.
#[derive(Debug)]
pub(super) struct Accepting {
    /// The socket.
    pub listener: Listener,
    /// Dropped when the socket is closed, and not before.
    pub open: Counted,
    /// Told to drain, the loop takes what is already queued and ends.
    pub leash: Arc<Leash>,
    /// What is served here.
    pub served: Arc<Served>,
}

/// A client that was accepted, and is not served yet.
#[derive(Debug)]
struct Accepted {
    stream: TcpStream,
    client: ClientAddress,
    claim: Claim,
}

impl Accepted {
    fn new((stream, client): (TcpStream, ClientAddress)) -> Self {
        let claim = Claim::new(&stream, Owner::Waiting);
        Self { stream, client, claim }
    }
}

/// Accepts until told to drain, or until the listener breaks. Nothing here waits for a client.
///
/// # Errors
/// The error that broke the listener.
pub(super) async fn accept(accepting: Accepting, worker: Arc<Worker>) -> io::Result<()> {
    let mut rest = Rest::new(accepting.listener.local_address(), worker.shortage());
    let mut near_last = false;
    loop {
        let accepted = tokio::select! {
            biased;
            _ = accepting.leash.order_above(None) => None,
            accepted = next(&accepting.listener, &worker, &mut rest, near_last) => Some(accepted?),
        };
        let Some(accepted) = accepted else {
            finish_queue(accepting, &worker, rest, None).await;
            return Ok(());
        };
        near_last = is_near_last_for_clients(&accepted.stream);
        let place = tokio::select! {
            biased;
            place = place(&worker, &mut rest) => Some(place),
            _ = accepting.leash.order_above(None) => None,
        };
        let Some(place) = place else {
            finish_queue(accepting, &worker, rest, Some(accepted)).await;
            return Ok(());
        };
        open(&accepting.served, &worker, rest.address, place, accepted);
        rest.over();
    }
}

/// The next client, once there is one, and a descriptor for it. The last descriptors are kept for operators.
///
/// # Errors
/// The error that broke the listener.
///
/// # Cancel safety
/// Cancel safe: no connection is lost.
async fn next(listener: &Listener, worker: &Worker, rest: &mut Rest, near_last: bool) -> io::Result<Accepted> {
    let mut short = near_last;
    loop {
        while short && !listener.is_free_for_clients().unwrap_or(false) {
            worker.run_out();
            rest.take(&io::Error::from_raw_os_error(libc::EMFILE)).await;
        }
        let error = match listener.accept().await {
            Ok(accepted) => return Ok(Accepted::new(accepted)),
            Err(error) => error,
        };
        match classify(&error) {
            AcceptFault::Peer => {
                worker.meters().accept_error(AcceptFault::Peer);
                tracing::debug!(%error, "a connection was gone before it was accepted");
            }
            AcceptFault::Exhausted => {
                worker.run_out();
                rest.take(&error).await;
                // The next one that comes back may be an operator's, who is about to need it again.
                short = true;
            }
            AcceptFault::Broken => {
                worker.meters().accept_error(AcceptFault::Broken);
                return Err(error);
            }
        }
    }
}

/// Takes the clients that the kernel has already accepted for us, so that none is reset by the close, and closes the
/// address; then serves them as places come. `first` came before them, and has no place yet.
///
/// Those who wait take descriptors that nobody else counts on. When there are no more of those, the address stays open, and
/// the clients behind wait in the kernel's queue.
async fn finish_queue(accepting: Accepting, worker: &Arc<Worker>, mut rest: Rest, first: Option<Accepted>) {
    let Accepting { listener, open: counted, served, .. } = accepting;
    let mut waiting: VecDeque<(Accepted, Option<Place>)> = first.map(|first| (first, None)).into_iter().collect();
    let address = rest.address;
    let mut queue = match listener.into_queue() {
        Ok(queue) => Some(queue),
        Err(error) => {
            tracing::warn!(%error, %address, "queued connections are lost");
            None
        }
    };
    for taken in 0..TAKEN_MAX {
        while !waiting.is_empty()
            && let Some(place) = worker.gate().try_enter()
            && let Some((accepted, _room)) = waiting.pop_front()
        {
            open(&served, worker, address, place, accepted);
        }
        if taken % TAKEN_AT_ONCE == TAKEN_AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
        let full = match queue.as_mut().and_then(Iterator::next) {
            None => break,
            Some(Ok(accepted)) => {
                let accepted = Accepted::new(accepted);
                let room = worker.waiting().try_enter();
                // The last descriptors are for operators here too.
                let full = room.is_none() || is_near_last_for_clients(&accepted.stream);
                waiting.push_back((accepted, room));
                full
            }
            Some(Err(error)) => match classify(&error) {
                AcceptFault::Peer => false,
                AcceptFault::Exhausted if waiting.is_empty() => {
                    if worker.registry().ordered() > Some(Order::Drain) {
                        tracing::warn!(%error, %address, "queued connections are lost");
                        break;
                    }
                    worker.run_out();
                    rest.take(&error).await;
                    false
                }
                AcceptFault::Exhausted => true,
                AcceptFault::Broken => {
                    tracing::warn!(%error, %address, "queued connections are lost");
                    break;
                }
            },
        };
        if full && let Some((accepted, _room)) = waiting.pop_front() {
            let place = place(worker, &mut rest).await;
            open(&served, worker, address, place, accepted);
        }
    }
    // Closes it.
    drop(queue);
    drop(counted);
    for (accepted, _room) in waiting {
        let place = place(worker, &mut rest).await;
        open(&served, worker, address, place, accepted);
    }
}

/// A place for one more connection of the process, once there is one. Until then the clients behind wait.
async fn place(worker: &Worker, rest: &mut Rest) -> Place {
    match worker.gate().try_enter() {
        Some(place) => place,
        None => {
            rest.complain_of_full(worker.gate().limit());
            worker.gate().enter().await
        }
    }
}

/// Starts the connection's task.
fn open(served: &Served, worker: &Arc<Worker>, address: ListenAddress, place: Place, accepted: Accepted) {
    let Accepted { stream, client, claim } = accepted;
    // Opened before the task exists: a task that is dropped before its first poll still gives back what it counts for.
    let guard = ConnectionGuard::open(worker.registry(), place, address, client).holding(claim);
    let last = served.last();
    let site = match worker.current().site(last.address) {
        Some(current) => {
            if !Arc::ptr_eq(&last, &current) {
                served.renew(Arc::clone(&current));
            }
            current
        }
        // A reload has taken the address away. It orders the connections that it finds to drain; this one was opened first
        // and then asked for its site, so that either it was found or it knows by itself.
        None => {
            guard.connection().order(Order::Drain);
            last
        }
    };
    worker.spawn(site, stream, guard);
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
            | libc::EPERM
            | libc::ESOCKTNOSUPPORT
            | libc::EPROTONOSUPPORT,
        ) => AcceptFault::Peer,
        // ENOSPC is not accept's own: the runtime watches what was accepted, of which a user may have
        // fs.epoll.max_user_watches (epoll_ctl(2)).
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::ENOSR | libc::ENOSPC) => {
            AcceptFault::Exhausted
        }
        Some(_) | None => AcceptFault::Broken,
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
        assert_eq!(class(libc::ENOSPC), AcceptFault::Exhausted);
        assert_eq!(class(libc::EBADF), AcceptFault::Broken);
        assert_eq!(class(libc::EINVAL), AcceptFault::Broken);
    }
}
