use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::request_body::RequestBody;
use super::target_stream::{Heard, TargetStream};
use crate::upstream::{Connected, InFlight, Target};

/// Idle connections of one kind to one target that a worker keeps.
pub const IDLE_PER_KEY_MAX: usize = 64;

/// Idle connections to all targets that a worker keeps.
pub const IDLE_MAX: usize = 1024;

/// The longest head of a target's answer.
pub const RESPONSE_HEAD_MAX: usize = 256 * 1024;

/// How long a connection that has served its last request may take to say goodbye (TLS close_notify).
const GOODBYE: Duration = Duration::from_secs(1);

/// The connections to targets of one worker: those that are idle wait here for the next request.
#[derive(Debug, Default)]
pub struct Pool(Mutex<Shelf>);

#[derive(Debug, Default)]
struct Shelf {
    idle: HashMap<PoolKey, Vec<Idle>>,
    /// How many there are in all.
    count: usize,
    /// Every connection that stands, idle or not.
    tasks: HashMap<u64, AbortHandle>,
    next: u64,
    closed: bool,
}

/// Connections of the same key may serve the same requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PoolKey {
    /// The target's address in memory; an idle connection holds the target, so it cannot become another's.
    target: usize,
    /// The port, which a target may take from the client's listener.
    port: u16,
    /// How TLS is spoken with it.
    policy: u64,
}

impl PoolKey {
    pub(super) fn new(target: &Arc<Target>, listener_port: u16, policy: u64) -> Self {
        Self { target: Arc::as_ptr(target).addr(), port: target.port(listener_port), policy }
    }
}

#[derive(Debug)]
struct Idle {
    link: Link,
    expires: Instant,
}

/// A connection to a target, wherever it is kept. Dropping it closes the connection at once.
#[derive(Debug)]
struct Link {
    number: u64,
    sender: SendRequest<RequestBody>,
    heard: Arc<Heard>,
    target: Arc<Target>,
    task: AbortHandle,
    goodbye: Option<oneshot::Sender<()>>,
}

impl Drop for Link {
    fn drop(&mut self) {
        if self.goodbye.is_some() {
            self.task.abort();
        }
    }
}

/// A target's connection in the use of one request. Dropping it closes the connection at once.
#[derive(Debug)]
pub(super) struct Lease {
    link: Link,
    pool: Arc<Pool>,
    /// None if it is for this one client only.
    key: Option<PoolKey>,
    keep: Duration,
    reused: bool,
    in_flight: InFlight,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// How many connections are idle.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.shelf().count
    }

    /// How many connections stand, idle or in use.
    #[must_use]
    pub fn standing(&self) -> usize {
        self.shelf().tasks.len()
    }

    /// Drops the connections that have been idle for too long; to be called each second.
    pub fn sweep(&self) {
        let now = Instant::now();
        let mut expired = Vec::new();
        let mut shelf = self.shelf();
        shelf.idle.retain(|_, kept| {
            let (stay, go) = std::mem::take(kept).into_iter().partition(|idle| idle.expires > now);
            *kept = stay;
            expired.extend::<Vec<Idle>>(go);
            !kept.is_empty()
        });
        shelf.count = shelf.count.saturating_sub(expired.len());
    }

    /// Closes every idle connection now; those in use stay, and are kept again when they are idle.
    pub fn clear(&self) {
        let mut shelf = self.shelf();
        shelf.count = 0;
        let idle = std::mem::take(&mut shelf.idle);
        drop(shelf);
        drop(idle);
    }

    /// Closes every idle connection now, and those in use as their requests end.
    pub fn close(&self) {
        self.shelf().closed = true;
        self.clear();
    }

    /// The connection of this key that became idle last.
    pub(super) fn checkout(self: &Arc<Self>, key: PoolKey, keep: Duration) -> Option<Lease> {
        let now = Instant::now();
        loop {
            let idle = self.shelf().take(key)?;
            if idle.expires > now && idle.link.sender.is_ready() {
                let in_flight = InFlight::new(&idle.link.target);
                idle.link.heard.forget();
                return Some(Lease {
                    link: idle.link,
                    pool: Arc::clone(self),
                    key: Some(key),
                    keep,
                    reused: true,
                    in_flight,
                });
            }
        }
    }

    /// Takes a connection that has just been made into use.
    ///
    /// # Errors
    /// hyper's; a fresh connection gives none.
    pub(super) async fn adopt(
        self: &Arc<Self>,
        connected: Connected,
        key: Option<PoolKey>,
        keep: Duration,
    ) -> Result<Lease, hyper::Error> {
        let Connected { stream, target, address: _, in_flight } = connected;
        let heard = Arc::<Heard>::default();
        let io = TokioIo::new(TargetStream::new(stream, &heard));
        let (sender, serving) =
            http1::Builder::new().max_header_size(RESPONSE_HEAD_MAX).handshake::<_, RequestBody>(io).await?;
        let (goodbye, leaving) = oneshot::channel();
        let mut shelf = self.shelf();
        let number = shelf.next;
        shelf.next = shelf.next.wrapping_add(1);
        let standing = Standing { pool: Arc::downgrade(self), number, key };
        let task = tokio::spawn(async move {
            let _standing = standing;
            let mut serving = serving.with_upgrades();
            let result = tokio::select! {
                result = &mut serving => result,
                _ = leaving => match timeout(GOODBYE, serving).await {
                    Ok(result) => result,
                    Err(_) => return,
                },
            };
            if let Err(error) = result {
                tracing::debug!(%error, "a connection to a target has ended");
            }
        });
        let task = task.abort_handle();
        shelf.tasks.insert(number, task.clone());
        drop(shelf);
        let link = Link { number, sender, heard, target, task, goodbye: Some(goodbye) };
        Ok(Lease { link, pool: Arc::clone(self), key, keep, reused: false, in_flight })
    }

    fn keep(&self, key: PoolKey, idle: Idle) {
        let mut shelf = self.shelf();
        let refused = shelf.closed || shelf.count >= IDLE_MAX || !shelf.tasks.contains_key(&idle.link.number);
        let kept = shelf.idle.entry(key).or_default();
        if refused || kept.len() >= IDLE_PER_KEY_MAX {
            if kept.is_empty() {
                shelf.idle.remove(&key);
            }
            drop(shelf);
            drop(idle);
            return;
        }
        kept.push(idle);
        shelf.count = shelf.count.saturating_add(1);
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        // Whole whatever panicked beside it: no panic is possible between two of its changes.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shelf {
    fn take(&mut self, key: PoolKey) -> Option<Idle> {
        let Entry::Occupied(mut kept) = self.idle.entry(key) else { return None };
        let idle = kept.get_mut().pop();
        if kept.get().is_empty() {
            kept.remove();
        }
        self.count = self.count.saturating_sub(usize::from(idle.is_some()));
        idle
    }
}

/// A connection that stands; its task's end takes it off the shelf, whatever ended the task.
struct Standing {
    pool: Weak<Pool>,
    number: u64,
    key: Option<PoolKey>,
}

impl Drop for Standing {
    fn drop(&mut self) {
        let Some(pool) = self.pool.upgrade() else { return };
        let mut shelf = pool.shelf();
        shelf.tasks.remove(&self.number);
        let Some(key) = self.key else { return };
        let mut gone = None;
        if let Entry::Occupied(mut kept) = shelf.idle.entry(key) {
            let place = kept.get().iter().position(|idle| idle.link.number == self.number);
            gone = place.map(|place| kept.get_mut().remove(place));
            if kept.get().is_empty() {
                kept.remove();
            }
        }
        shelf.count = shelf.count.saturating_sub(usize::from(gone.is_some()));
        drop(shelf);
        drop(gone);
    }
}

impl Lease {
    pub(super) fn sender(&mut self) -> &mut SendRequest<RequestBody> {
        &mut self.link.sender
    }

    /// Whether it has served another request before.
    pub(super) fn reused(&self) -> bool {
        self.reused
    }

    /// Whether the target has said anything since the request began.
    pub(super) fn heard(&self) -> bool {
        self.link.heard.anything()
    }

    pub(super) fn target(&self) -> &Arc<Target> {
        &self.link.target
    }

    /// The count of the target's connection, which is no longer one of HTTP.
    pub(super) fn into_in_flight(self) -> InFlight {
        let Self { mut link, in_flight, .. } = self;
        link.goodbye = None;
        in_flight
    }

    /// Gives the connection to the next request if it can take one: all of the request has been sent, and all of the
    /// answer has come. If not, it is closed in order.
    pub(super) fn give_back(self, whole: bool) {
        let Self { mut link, pool, key, keep, reused: _, in_flight } = self;
        drop(in_flight);
        let Some(key) = key.filter(|_| whole && !link.sender.is_closed()) else {
            if let Some(goodbye) = link.goodbye.take() {
                let _task_has_ended = goodbye.send(());
            }
            return;
        };
        let expires = Instant::now() + keep;
        if link.sender.is_ready() {
            pool.keep(key, Idle { link, expires });
            return;
        }
        // hyper gives the last of a body out before it has made the connection ready again.
        tokio::spawn(async move {
            if let Ok(Ok(())) = timeout(GOODBYE, link.sender.ready()).await {
                pool.keep(key, Idle { link, expires });
            }
        });
    }
}
