use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::calling::Lease;
use super::one::Link;
use super::two;
use crate::net::Owner;
use crate::upstream::{Connected, InFlight, Target};

/// Idle connections of one kind to one target that a worker keeps: one HTTP/2 client with all its streams in use wants as
/// many, and what is above is opened and closed again and again.
pub const IDLE_PER_KEY_MAX: usize = 128;

/// Idle connections to all targets that a worker keeps.
pub const IDLE_MAX: usize = 1024;

/// The longest head of a target's answer.
pub const RESPONSE_HEAD_MAX: usize = 256 * 1024;

/// The connections to targets of one worker: those that are idle wait here for the next request.
#[derive(Debug, Default)]
pub struct Pool {
    shelf: Mutex<Shelf>,
    /// How many connections stand, idle or in use.
    standing: Arc<AtomicUsize>,
    bell: Arc<Bell>,
    /// Those that many requests share.
    shared: Arc<two::Shelf>,
    /// How many connections of their own may be idle.
    idle_max: usize,
}

#[derive(Debug, Default)]
struct Shelf {
    idle: foldhash::HashMap<PoolKey, Vec<Idle>>,
    /// How many there are in all.
    count: usize,
    next: u64,
    /// Somebody hears the bell.
    watched: bool,
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
    place: Place,
    expires: Instant,
}

/// What a connection is to its pool.
#[derive(Debug)]
struct Place {
    /// None if it is for one client only.
    key: Option<PoolKey>,
    keep: Duration,
    alarm: Arc<Alarm>,
    _standing: Standing,
}

/// One of the connections that stand.
#[derive(Debug)]
pub(super) struct Standing(Arc<AtomicUsize>);

impl Standing {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(count))
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Rung by idle connections to which something has happened; the pool's own task hears it.
#[derive(Debug, Default)]
struct Bell {
    rung: Mutex<Vec<(PoolKey, u64)>>,
    notify: Notify,
}

/// What wakes for one connection while it is idle.
#[derive(Debug)]
struct Alarm {
    key: Option<PoolKey>,
    number: u64,
    bell: Arc<Bell>,
    /// Something has happened to the connection since it was looked at.
    rung: AtomicBool,
}

impl Alarm {
    /// Looks at a connection, and is rung by what happens to it from then on.
    fn poll_stale(self: &Arc<Self>, link: &mut Link) -> Poll<()> {
        self.rung.store(false, Ordering::Release);
        link.poll_stale(&mut Context::from_waker(&Waker::from(Arc::clone(self))))
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        if let Some(key) = self.key {
            self.bell.rung.lock().unwrap_or_else(PoisonError::into_inner).push((key, self.number));
            self.bell.notify.notify_one();
        }
    }
}

/// What is to be done with a connection when its request has ended.
#[derive(Debug)]
pub(super) struct Terms {
    pool: Arc<Pool>,
    place: Place,
    reused: bool,
    in_flight: InFlight,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::keeping(IDLE_MAX)
    }

    /// One that keeps at most so many idle connections in all.
    pub(super) fn keeping(idle_max: usize) -> Arc<Self> {
        let mut pool = Self::default();
        pool.idle_max = idle_max;
        Arc::new(pool)
    }

    /// How many connections are idle.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.shelf().count.saturating_add(self.shared.idle())
    }

    /// How many connections stand, idle or in use.
    #[must_use]
    pub fn standing(&self) -> usize {
        self.standing.load(Ordering::Acquire)
    }

    /// The same number, for who watches it from outside.
    #[must_use]
    pub fn standing_count(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.standing)
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
        drop(shelf);
        expired.into_iter().for_each(|idle| idle.link.close());
        self.shared.sweep(now);
    }

    /// Closes every idle connection now; those in use stay, and are kept again when they are idle.
    pub fn clear(&self) {
        let mut shelf = self.shelf();
        shelf.count = 0;
        let idle = std::mem::take(&mut shelf.idle);
        drop(shelf);
        idle.into_values().flatten().for_each(|idle| idle.link.close());
        self.shared.clear();
    }

    /// Closes every idle connection now, and those in use as their requests end.
    pub fn close(&self) {
        self.shelf().closed = true;
        self.clear();
        self.shared.close();
        // The pool's task ends.
        self.bell.notify.notify_one();
    }

    /// The connections that many requests share.
    pub(super) fn shared(&self) -> &Arc<two::Shelf> {
        &self.shared
    }

    /// How many of them take more requests.
    #[cfg(test)]
    pub(super) fn shared_open(&self) -> usize {
        self.shared.open()
    }

    /// Counts a connection as one that stands.
    pub(super) fn stand(&self) -> Standing {
        Standing::new(&self.standing)
    }

    /// The connection of this key that became idle last, if it is still of use.
    pub(super) fn checkout(self: &Arc<Self>, key: PoolKey, keep: Duration) -> Option<Lease> {
        let now = Instant::now();
        loop {
            let Idle { mut link, mut place, expires } = self.shelf().take(key)?;
            // One to which nothing has happened needs no look.
            let rung = place.alarm.rung.load(Ordering::Acquire);
            let stale = rung && link.poll_stale(&mut Context::from_waker(Waker::noop())).is_ready();
            if expires > now && !stale {
                let in_flight = InFlight::new(link.target());
                place.keep = keep;
                let terms = Terms { pool: Arc::clone(self), place, reused: true, in_flight };
                return Some(Lease::Http1(link, terms));
            }
            link.close();
        }
    }

    /// Takes a connection that has just been made into use. Without a `key` it is for one client only.
    pub(super) fn adopt(self: &Arc<Self>, connected: Connected, key: Option<PoolKey>, keep: Duration) -> Lease {
        let Connected { stream, target, address: _, in_flight } = connected;
        stream.assign(Owner::Pool);
        let mut shelf = self.shelf();
        let number = shelf.next;
        shelf.next = shelf.next.wrapping_add(1);
        drop(shelf);
        let alarm = Arc::new(Alarm { key, number, bell: Arc::clone(&self.bell), rung: AtomicBool::new(false) });
        let place = Place { key, keep, alarm, _standing: self.stand() };
        let terms = Terms { pool: Arc::clone(self), place, reused: false, in_flight };
        Lease::Http1(Link::new(stream, target), terms)
    }

    fn keep(self: &Arc<Self>, key: PoolKey, mut link: Link, place: Place) {
        if place.alarm.poll_stale(&mut link).is_ready() {
            return link.close();
        }
        let mut shelf = self.shelf();
        let full = shelf.closed || shelf.count >= self.idle_max;
        let kept = shelf.idle.entry(key).or_default();
        if full || kept.len() >= IDLE_PER_KEY_MAX {
            if kept.is_empty() {
                shelf.idle.remove(&key);
            }
            drop(shelf);
            return link.close();
        }
        kept.push(Idle { link, expires: Instant::now() + place.keep, place });
        shelf.count = shelf.count.saturating_add(1);
        if !shelf.watched {
            shelf.watched = true;
            tokio::spawn(watch(Arc::downgrade(self), Arc::clone(&self.bell)));
        }
    }

    /// Looks at an idle connection to which something has happened.
    fn look(&self, key: PoolKey, number: u64) {
        let mut shelf = self.shelf();
        let Entry::Occupied(mut kept) = shelf.idle.entry(key) else { return };
        let Some(place) = kept.get().iter().position(|idle| idle.place.alarm.number == number) else { return };
        let Some(idle) = kept.get_mut().get_mut(place) else { return };
        if idle.place.alarm.poll_stale(&mut idle.link).is_pending() {
            return;
        }
        let stale = kept.get_mut().remove(place);
        if kept.get().is_empty() {
            kept.remove();
        }
        shelf.count = shelf.count.saturating_sub(1);
        drop(shelf);
        stale.link.close();
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        // Whole whatever panicked beside it: no panic is possible between two of its changes.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

/// Closes idle connections as soon as their targets do, until the pool is closed.
async fn watch(pool: Weak<Pool>, bell: Arc<Bell>) {
    loop {
        bell.notify.notified().await;
        let Some(pool) = pool.upgrade() else { return };
        let rung = std::mem::take(&mut *bell.rung.lock().unwrap_or_else(PoisonError::into_inner));
        for (key, number) in rung {
            pool.look(key, number);
        }
        if pool.shelf().closed {
            return;
        }
    }
}

impl Shelf {
    fn take(&mut self, key: PoolKey) -> Option<Idle> {
        // What is empty then stays for the next that is kept, or until the next sweep.
        let idle = self.idle.get_mut(&key)?.pop();
        self.count = self.count.saturating_sub(usize::from(idle.is_some()));
        idle
    }
}

impl Terms {
    pub(super) fn is_reused(&self) -> bool {
        self.reused
    }

    /// Keeps the connection for the next request if it is `free` for one; if not, it is closed in order.
    pub(super) fn give_back(self, (link, free): (Link, bool)) {
        let Self { pool, place, reused: _, in_flight } = self;
        drop(in_flight);
        match place.key {
            Some(key) if free => pool.keep(key, link, place),
            Some(_) | None => link.close(),
        }
    }

    pub(super) fn into_in_flight(self) -> InFlight {
        self.in_flight
    }
}
