use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::net::{AddressSet, canonical};
use crate::outcome::{Cause, Outcome, Party, Phase};

/// How many shards the counts by address are spread over, so that workers rarely wait for each other.
const SHARDS: usize = 16;

/// Who may use a route, and how many at once.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// Only these may; `None` is everyone.
    pub allow: Option<AddressSet>,
    /// These may not, even if allowed.
    pub block: AddressSet,
    /// Live connections of the route; 0 is no limit.
    pub max_connections: u32,
    /// Live connections of one client address on the route; 0 is no limit.
    pub max_connections_per_ip: u32,
    /// The counts, which outlive a reload.
    pub load: Arc<RouteLoad>,
}

/// How many connections a route has, by its limits' measure.
#[derive(Debug, Default)]
pub struct RouteLoad {
    live: AtomicU32,
    /// Made for the first connection: most of a hundred thousand routes have none.
    by_address: OnceLock<Box<Shards>>,
}

/// Clients choose their addresses, but not the seed of the hash, and only those that live are in a map.
type Shards = [Mutex<foldhash::HashMap<IpAddr, u32>>; SHARDS];

/// Why a route does not admit a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `security` says no.
    #[error("security does not let this address in")]
    Blocked,
    /// The route is full.
    #[error("the route has limits.max_connections connections")]
    RouteConnectionLimit,
    /// The client has enough.
    #[error("the client's address has limits.max_connections_per_ip connections on the route")]
    ClientConnectionLimit,
}

/// A connection's place in the counts of one route; given back when dropped.
#[derive(Debug)]
pub struct Slot {
    load: Arc<RouteLoad>,
    address: IpAddr,
}

impl Admission {
    /// Admits one connection of `client`, or says why not. Refused attempts count for nothing.
    ///
    /// # Errors
    /// The rule that refuses.
    pub fn admit(&self, client: IpAddr) -> Result<Slot, Refusal> {
        self.permits(client)?;
        let address = canonical(client);
        // Both limits are asked before either counts: who is refused by one must not, however shortly, hold the other. The
        // address counts without a limit too, so that one that a reload brings holds for those who are in (80 ns of the 20 us
        // that a connection costs at the least).
        let mut shard = self.load.shard(address);
        let live = shard.get(&address).copied().unwrap_or(0);
        if self.max_connections_per_ip > 0 && live >= self.max_connections_per_ip {
            return Err(Refusal::ClientConnectionLimit);
        }
        self.load.enter(self.max_connections)?;
        shard.insert(address, live.saturating_add(1));
        drop(shard);
        Ok(Slot { load: Arc::clone(&self.load), address })
    }

    /// Whether `client` would be admitted now. Nothing is counted: who only asks must not hold the place of one who comes.
    ///
    /// # Errors
    /// The rule that refuses.
    pub fn has_room(&self, client: IpAddr) -> Result<(), Refusal> {
        self.permits(client)?;
        let address = canonical(client);
        let most = self.max_connections_per_ip;
        if most > 0 && self.load.shard(address).get(&address).is_some_and(|live| *live >= most) {
            return Err(Refusal::ClientConnectionLimit);
        }
        let full = self.max_connections > 0 && self.load.live() >= self.max_connections;
        if full { Err(Refusal::RouteConnectionLimit) } else { Ok(()) }
    }

    /// Whether `security` lets the address in.
    ///
    /// # Errors
    /// [`Refusal::Blocked`] if not.
    pub fn permits(&self, client: IpAddr) -> Result<(), Refusal> {
        if client.is_unspecified() && self.restricts() {
            return Err(Refusal::Blocked);
        }
        let allowed = self.allow.as_ref().is_none_or(|allow| allow.contains(client));
        if allowed && !self.block.contains(client) { Ok(()) } else { Err(Refusal::Blocked) }
    }
}

impl Admission {
    /// Whether `security` lets in some and not others: then it does not let in a client whose address is unknown.
    fn restricts(&self) -> bool {
        self.allow.is_some() || !self.block.is_empty()
    }
}

impl Refusal {
    /// How a connection ends that was refused so.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        Outcome::new(Phase::Route, Party::Proxy, self.cause())
    }

    /// The cause in logs and metrics.
    #[must_use]
    pub const fn cause(self) -> Cause {
        match self {
            Self::Blocked => Cause::Blocked,
            Self::RouteConnectionLimit => Cause::RouteConnectionLimit,
            Self::ClientConnectionLimit => Cause::ClientConnectionLimit,
        }
    }
}

impl RouteLoad {
    /// Live connections that the route has admitted.
    #[must_use]
    pub fn live(&self) -> u32 {
        self.live.load(Ordering::Relaxed)
    }

    /// Addresses that are counted now.
    #[must_use]
    pub fn addresses(&self) -> usize {
        self.by_address.get().into_iter().flat_map(|shards| shards.iter()).map(|shard| locked(shard).len()).sum()
    }

    /// Counts one more of the route's. Only a [`Slot`] takes it back.
    fn enter(&self, limit: u32) -> Result<(), Refusal> {
        // One step, not an addition taken back: attempts that are refused must not keep out one that is not.
        let room = |live: u32| (limit == 0 || live < limit).then_some(live + 1);
        let entered = self.live.fetch_update(Ordering::AcqRel, Ordering::Acquire, room);
        entered.map(drop).map_err(|_full| Refusal::RouteConnectionLimit)
    }

    fn shard(&self, address: IpAddr) -> MutexGuard<'_, foldhash::HashMap<IpAddr, u32>> {
        let byte = match address {
            IpAddr::V4(address) => address.octets()[3],
            // The interface part of a /64 is the client's to choose, the network's last byte is not.
            IpAddr::V6(address) => address.octets()[7] ^ address.octets()[15],
        };
        locked(&self.by_address.get_or_init(Box::default)[usize::from(byte) % SHARDS])
    }
}

impl Admission {
    /// Where in memory its counts are.
    pub(super) fn address(&self) -> usize {
        Arc::as_ptr(&self.load).addr()
    }
}

impl Slot {
    /// Whether it is a place in the counts that these rules ask. A route that one reload took away and another brought back
    /// may have new ones, whatever its name.
    pub(super) fn is_of(&self, admission: &Admission) -> bool {
        Arc::ptr_eq(&self.load, &admission.load)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Both under the lock, so that nobody sees the one given back and the other not.
        let mut shard = self.load.shard(self.address);
        self.load.live.fetch_sub(1, Ordering::AcqRel);
        if let Some(live) = shard.get_mut(&self.address) {
            *live -= 1;
            if *live == 0 {
                shard.remove(&self.address);
            }
        }
    }
}

/// A count is right even if another thread has panicked while it held the lock.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn networks(text: &str) -> AddressSet {
        AddressSet::new([text.parse().unwrap()])
    }

    #[test]
    fn block_wins_over_allow_in_both_families() {
        let admission = Admission {
            allow: Some(AddressSet::new(["10.0.0.0/8", "2001:db8::/32"].map(|text| text.parse().unwrap()))),
            block: AddressSet::new(["10.6.6.0/24", "2001:db8:6::/48"].map(|text| text.parse().unwrap())),
            ..Admission::default()
        };
        for inside in ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1"] {
            assert!(admission.admit(address(inside)).is_ok(), "{inside}");
        }
        for outside in ["10.6.6.1", "::ffff:10.6.6.1", "2001:db8:6::1", "11.0.0.1", "::1"] {
            assert_eq!(admission.admit(address(outside)).err(), Some(Refusal::Blocked), "{outside}");
        }
        assert_eq!(admission.load.live(), 0);
    }

    #[test]
    fn the_routes_limit_holds_and_a_refused_attempt_counts_for_nothing() {
        let admission = Admission { max_connections: 2, ..Admission::default() };
        let first = admission.admit(address("10.0.0.1")).unwrap();
        let _second = admission.admit(address("10.0.0.2")).unwrap();
        for _ in 0..10 {
            assert_eq!(admission.admit(address("10.0.0.3")).err(), Some(Refusal::RouteConnectionLimit));
        }
        drop(first);
        assert!(admission.admit(address("10.0.0.3")).is_ok());
    }

    #[test]
    fn b11_the_clients_limit_holds_and_its_entry_goes_with_its_last_connection() {
        let admission = Admission { max_connections_per_ip: 1, ..Admission::default() };
        let slot = admission.admit(address("10.0.0.1")).unwrap();
        assert_eq!(admission.admit(address("::ffff:10.0.0.1")).err(), Some(Refusal::ClientConnectionLimit));
        assert!(admission.admit(address("10.0.0.2")).is_ok());
        assert_eq!(admission.load.addresses(), 1);
        drop(slot);
        assert_eq!((admission.load.addresses(), admission.load.live()), (0, 0));
    }

    #[test]
    fn a_client_that_has_enough_is_told_so_by_a_full_route_too_and_a_full_route_counts_no_address() {
        let admission = Admission { max_connections: 1, max_connections_per_ip: 1, ..Admission::default() };
        let slot = admission.admit(address("10.0.0.1")).unwrap();
        // The client's own limit is asked first, so a client that has enough takes no place of the route on the way.
        assert_eq!(admission.admit(address("10.0.0.1")).err(), Some(Refusal::ClientConnectionLimit));
        assert_eq!(admission.admit(address("10.0.0.2")).err(), Some(Refusal::RouteConnectionLimit));
        assert_eq!((admission.load.addresses(), admission.load.live()), (1, 1));
        drop(slot);
        assert_eq!((admission.load.addresses(), admission.load.live()), (0, 0));
    }

    #[test]
    fn who_came_before_there_was_a_limit_is_counted_by_it() {
        let before = Admission::default();
        let slots: Vec<_> = (0..2).map(|_| before.admit(address("10.0.0.1")).unwrap()).collect();
        let after = Admission { max_connections_per_ip: 2, load: Arc::clone(&before.load), ..Admission::default() };
        assert_eq!(after.admit(address("10.0.0.1")).err(), Some(Refusal::ClientConnectionLimit));
        drop(slots);
        assert!(after.admit(address("10.0.0.1")).is_ok());
        assert_eq!((after.load.addresses(), after.load.live()), (0, 0));
    }

    #[test]
    fn an_empty_allow_list_that_was_written_lets_nobody_in() {
        let admission = Admission { allow: Some(AddressSet::default()), ..Admission::default() };
        assert_eq!(admission.admit(address("10.0.0.1")).err(), Some(Refusal::Blocked));
        let admission = Admission { block: networks("0.0.0.0/0"), ..Admission::default() };
        assert_eq!(admission.admit(address("10.0.0.1")).err(), Some(Refusal::Blocked));
    }

    #[test]
    fn counts_are_right_after_many_threads_came_and_went() {
        let admission = Admission { max_connections: 8, max_connections_per_ip: 3, ..Admission::default() };
        std::thread::scope(|scope| {
            for thread in 0..8_u8 {
                let admission = &admission;
                scope.spawn(move || {
                    for round in 0..2_000_u16 {
                        let client = IpAddr::from([10, 0, 0, thread.wrapping_add(round as u8) % 4]);
                        let slot = admission.admit(client);
                        assert!(admission.load.live() <= 8);
                        drop(slot);
                    }
                });
            }
        });
        assert_eq!((admission.load.addresses(), admission.load.live()), (0, 0));
    }

    /// Runs the same on several threads at once, so that what one holds for a moment would show to another.
    fn at_once(run: impl Fn() + Sync) {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..20_000).for_each(|_| run()));
            }
        });
    }

    #[test]
    fn a_refusal_by_a_full_route_never_counts_against_the_clients_own_limit() {
        let admission = Admission { max_connections: 1, max_connections_per_ip: 1, ..Admission::default() };
        let _other = admission.admit(address("10.0.0.1")).unwrap();
        // Nobody of 10.0.0.2 is in, so nobody of it may be told that it has enough.
        at_once(|| {
            let refusal = admission.admit(address("10.0.0.2")).err();
            assert_eq!(refusal, Some(Refusal::RouteConnectionLimit));
        });
        assert_eq!((admission.load.addresses(), admission.load.live()), (1, 1));
    }

    #[test]
    fn a_refusal_by_the_clients_own_limit_never_holds_the_routes_place() {
        let admission = Admission { max_connections: 2, max_connections_per_ip: 1, ..Admission::default() };
        let _first = admission.admit(address("10.0.0.1")).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    drop(admission.admit(address("10.0.0.2")).unwrap());
                }
            });
            for _ in 0..20_000 {
                assert_eq!(admission.admit(address("10.0.0.1")).err(), Some(Refusal::ClientConnectionLimit));
            }
        });
    }

    #[test]
    fn who_only_asks_is_answered_as_who_comes_and_keeps_nobody_out() {
        let admission = Admission { max_connections: 1, max_connections_per_ip: 1, ..Admission::default() };
        assert_eq!(admission.has_room(address("10.0.0.1")), Ok(()));
        let slot = admission.admit(address("10.0.0.1")).unwrap();
        assert_eq!(admission.has_room(address("10.0.0.1")), Err(Refusal::ClientConnectionLimit));
        assert_eq!(admission.has_room(address("10.0.0.2")), Err(Refusal::RouteConnectionLimit));
        drop(slot);
        let blocking = Admission { block: networks("10.0.0.0/8"), ..Admission::default() };
        assert_eq!(blocking.has_room(address("10.0.0.1")), Err(Refusal::Blocked));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (0..20_000).for_each(|_| assert_ne!(admission.has_room(address("10.0.0.1")), Err(Refusal::Blocked)))
            });
            for _ in 0..20_000 {
                drop(admission.admit(address("10.0.0.1")).unwrap());
            }
        });
    }
}
