use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::worker::Worker;
use crate::connection::ConnectionGuard;
use crate::drain::Leash;
use crate::handler::Site;
use crate::net::{ClientAddress, ListenAddress, Listener, is_near_last_for_clients};

/// The first rest after an error of ours; it doubles up to [`REST_MAX`].
///
/// Descriptors come back at the pace of ending connections: 10 ms is shorter than any of them is missed for.
const REST_MIN: Duration = Duration::from_millis(10);

/// The longest rest after an error of ours.
const REST_MAX: Duration = Duration::from_secs(1);

/// How often it is said at most that something of ours has run out: clients that come and go at the limit must not fill
/// the log.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// One listening address, as one worker serves it.
#[derive(Debug)]
pub(super) struct Accepting {
    /// The address as the configuration writes it, by which the site is found.
    pub key: ListenAddress,
    /// The socket.
    pub listener: Listener,
    /// Told to drain, the loop takes what is already queued and ends.
    pub leash: Arc<Leash>,
    /// What was last served here: who is queued when a reload takes the address away is still served so.
    pub site: Arc<Site>,
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
pub(super) async fn accept(mut accepting: Accepting, worker: Arc<Worker>) -> io::Result<()> {
    let mut rest = Rest::new(accepting.listener.local_address());
    let mut near_last = false;
    loop {
        if near_last && !accepting.listener.is_free_for_clients().unwrap_or(false) {
            worker.meters().accept_errors.with_label_values(&[AcceptFault::Exhausted.as_str()]).inc();
            rest.until_free(&accepting).await;
        }
        let accepted = tokio::select! {
            biased;
            _ = accepting.leash.order_above(None) => return finish_queue(accepting, &worker, rest).await,
            accepted = accepting.listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => {
                near_last = is_near_last_for_clients(&stream);
                admit(&mut accepting.site, &worker, &mut rest, stream, client).await;
                rest.over();
            }
            Err(error) => {
                worker.meters().accept_errors.with_label_values(&[classify(&error).as_str()]).inc();
                match classify(&error) {
                    AcceptFault::Peer => tracing::debug!(%error, "a connection was gone before it was accepted"),
                    AcceptFault::Exhausted => rest.take(&error).await,
                    AcceptFault::Broken => return Err(error),
                }
            }
        }
    }
}

/// Takes the connections that the kernel has already accepted for us, so that none is reset by the close.
async fn finish_queue(accepting: Accepting, worker: &Arc<Worker>, mut rest: Rest) -> io::Result<()> {
    let Accepting { key, listener, mut site, .. } = accepting;
    for queued in listener.into_queue()? {
        match queued {
            Ok((stream, client)) => admit(&mut site, worker, &mut rest, stream, client).await,
            Err(error) if classify(&error) == AcceptFault::Peer => {}
            Err(error) => {
                tracing::warn!(%error, address = %key, "queued connections are lost");
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Starts the connection's task, once the process has a place for it. Until then the loop rests: the clients behind wait in
/// the kernel's queue.
async fn admit(site: &mut Arc<Site>, worker: &Arc<Worker>, rest: &mut Rest, stream: TcpStream, client: ClientAddress) {
    let place = match worker.gate().try_enter() {
        Some(place) => place,
        None => {
            rest.complain_of_full(worker.gate().limit());
            worker.gate().enter().await
        }
    };
    if let Some(current) = worker.current().site(site.address) {
        *site = current;
    }
    // Opened before the task exists: a task that is dropped before its first poll still gives back what it counts for.
    let guard = ConnectionGuard::open(worker.registry(), place, rest.address, client);
    worker.spawn(Arc::clone(site), stream, guard);
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

/// Resting while something of ours has run out: longer each time, said once, and said again when it is over.
#[derive(Debug)]
struct Rest {
    address: ListenAddress,
    next: Option<Duration>,
    /// Whether the log has been told of this spell.
    told: bool,
    short_said: Option<Instant>,
    full_said: Option<Instant>,
}

impl Rest {
    fn new(address: ListenAddress) -> Self {
        Self { address, next: None, told: false, short_said: None, full_said: None }
    }

    async fn take(&mut self, error: &io::Error) {
        if self.next.is_none() && is_due(&mut self.short_said) {
            self.told = true;
            tracing::warn!(
                %error, address = %self.address,
                "cannot accept connections for now: raise the limit of open files (LimitNOFILE=) or lower server.max_connections"
            );
        }
        let rest = self.next.unwrap_or(REST_MIN);
        self.next = Some((rest * 2).min(REST_MAX));
        tokio::time::sleep(rest).await;
    }

    /// Rests until a descriptor is free for another client. The last ones are kept for operators.
    async fn until_free(&mut self, accepting: &Accepting) {
        let exhausted = io::Error::from_raw_os_error(libc::EMFILE);
        while accepting.leash.order().is_none() {
            self.take(&exhausted).await;
            if accepting.listener.is_free_for_clients().unwrap_or(false) {
                return;
            }
        }
    }

    /// A connection was accepted with room to spare.
    fn over(&mut self) {
        self.next = None;
        if std::mem::take(&mut self.told) {
            tracing::info!(address = %self.address, "accepting connections again");
        }
    }

    fn complain_of_full(&mut self, limit: usize) {
        if is_due(&mut self.full_said) {
            tracing::warn!(
                limit, address = %self.address,
                "as many connections as server.max_connections allows; new ones wait until one ends"
            );
        }
    }
}

/// Whether something may be said again, which then counts as said.
fn is_due(said: &mut Option<Instant>) -> bool {
    let due = said.is_none_or(|said| said.elapsed() >= SAID_EVERY);
    if due {
        *said = Some(Instant::now());
    }
    due
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
        let mut rest = Rest::new(address);
        let begin = Instant::now();
        for _ in 0..3 {
            rest.take(&error).await;
        }
        assert_eq!(begin.elapsed(), REST_MIN * 7);
        for _ in 0..10 {
            rest.take(&error).await;
        }
        assert_eq!(rest.next, Some(REST_MAX));
        assert!(rest.told);
        rest.over();
        assert_eq!((rest.next, rest.told), (None, false));
        // The next spell comes too soon to be said anew, and the one after a minute does not.
        rest.take(&error).await;
        assert!(!rest.told);
        rest.over();
        tokio::time::advance(SAID_EVERY).await;
        rest.take(&error).await;
        assert!(rest.told);
    }
}
