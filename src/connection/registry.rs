use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::gate::Gate;
use super::live::Connection;
use crate::drain::{Count, Counted, Leash, Order};
use crate::net::{ClientAddress, ListenAddress};
use crate::telemetry::{AccessLog, Meters, NO_ROUTE, RouteMeter, Tracers};

/// How many locks the live connections are spread over, so that workers rarely wait for each other or for a reader.
pub const SHARDS: usize = 16;

/// The number of a connection, unique in the process and rising.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

type Shard = foldhash::HashMap<ConnectionId, Arc<Connection>>;

/// Every live client connection, and where their ends are written.
#[derive(Debug)]
pub struct Registry {
    shards: Box<[Mutex<Shard>]>,
    next: AtomicU64,
    count: Arc<Count>,
    /// The order that all have been given, those who come later too.
    ordered: Leash,
    meters: Arc<Meters>,
    unrouted: Arc<RouteMeter>,
    access_log: AccessLog,
    tracers: Arc<Tracers>,
    /// For the requests of HTTP/2 clients that want a target's connection beside the one that their own is counted with.
    streams: Arc<Gate>,
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new(meters: Arc<Meters>, access_log: AccessLog) -> Self {
        let unrouted = meters.route(NO_ROUTE);
        unrouted.show_traffic();
        unrouted.show_requests();
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            next: AtomicU64::new(1),
            count: Arc::default(),
            ordered: Leash::default(),
            unrouted,
            meters,
            access_log,
            tracers: Arc::default(),
            streams: Arc::new(Gate::new(usize::MAX)),
        }
    }

    /// The places of requests of HTTP/2 clients at targets, beside the first of each client; without limit until one is set.
    #[must_use]
    pub fn streams(&self) -> &Arc<Gate> {
        &self.streams
    }

    /// The process's meters.
    #[must_use]
    pub fn meters(&self) -> &Arc<Meters> {
        &self.meters
    }

    /// The process's access log.
    #[must_use]
    pub fn access_log(&self) -> &AccessLog {
        &self.access_log
    }

    /// Those who watch connections.
    #[must_use]
    pub fn tracers(&self) -> &Arc<Tracers> {
        &self.tracers
    }

    /// How many connections live.
    #[must_use]
    pub fn live(&self) -> usize {
        self.count.live()
    }

    /// How many are listed, which is how many live but for the moments in which one comes or goes.
    #[must_use]
    pub fn listed(&self) -> usize {
        self.shards.iter().map(|shard| locked(shard).len()).sum()
    }

    /// Waits for a moment at which none lives.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn empty(&self) {
        self.count.none().await;
    }

    /// The live connections at this moment, oldest first.
    #[must_use]
    pub fn connections(&self) -> Vec<Arc<Connection>> {
        let mut all: Vec<_> = self.shards.iter().flat_map(values).collect();
        all.sort_unstable_by_key(|connection| connection.id());
        all
    }

    /// Those of them in one of the [`SHARDS`], in no order. Its lock is held only while they are counted; who looks at all
    /// shards so, one after the other, may do something else in between.
    #[must_use]
    pub fn connections_in(&self, shard: usize) -> Vec<Arc<Connection>> {
        self.shards.get(shard).map(values).unwrap_or_default()
    }

    /// Marks what the connections of a shard have moved up to now; their rates are of what they move from there on.
    pub fn mark_pace(&self, shard: usize) {
        for connection in self.connections_in(shard) {
            connection.mark_pace();
        }
    }

    /// The connection of that number, if it lives.
    #[must_use]
    pub fn find(&self, id: ConnectionId) -> Option<Arc<Connection>> {
        self.shard(id).get(&id).cloned()
    }

    /// Gives an order to every connection: to those that live, and to those that are opened from now on.
    pub fn order(&self, order: Order) {
        // First noted, then given: a connection that is opened meanwhile meets one or the other.
        self.ordered.pull(order);
        for connection in self.connections() {
            connection.order(order);
        }
    }

    /// The order that every connection has been given.
    #[must_use]
    pub fn ordered(&self) -> Option<Order> {
        self.ordered.order()
    }

    /// Counts the bytes of living connections up to now, and says how many of these are told to end.
    pub fn settle(&self) -> usize {
        let connections = self.connections();
        connections.iter().for_each(|connection| connection.settle());
        connections.iter().filter(|connection| connection.leash().order().is_some()).count()
    }

    /// What counts for connections and requests without a route.
    #[must_use]
    pub fn unrouted(&self) -> &Arc<RouteMeter> {
        &self.unrouted
    }

    pub(super) fn insert(&self, listener: ListenAddress, client: ClientAddress) -> (Arc<Connection>, Counted) {
        let counted = Counted::new(&self.count);
        let id = ConnectionId(self.next.fetch_add(1, Ordering::Relaxed));
        let active = self.unrouted.hold();
        let connection = Arc::new(Connection::new(id, listener, client, active, &self.tracers, &self.meters));
        self.meters.accepted.inc();
        self.shard(id).insert(id, Arc::clone(&connection));
        connection.trace(None, "accepted", |line| {
            connection.name(line);
            line.field("listener", &listener.to_string());
        });
        if let Some(order) = self.ordered.order() {
            connection.order(order);
        }
        (connection, counted)
    }

    pub(super) fn remove(&self, id: ConnectionId) {
        self.shard(id).remove(&id);
    }

    fn shard(&self, id: ConnectionId) -> MutexGuard<'_, Shard> {
        locked(&self.shards[(id.0 % SHARDS as u64) as usize])
    }
}

fn values(shard: &Mutex<Shard>) -> Vec<Arc<Connection>> {
    locked(shard).values().cloned().collect()
}

/// A map is whole even if another thread has panicked while it held the lock.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
