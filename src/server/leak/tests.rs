//! A leak of each kind, made on purpose, is named; and what only looks like one is not.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::*;
use crate::connection::{Connection, ConnectionGuard, Gate, Place, Registry, State};
use crate::drain::Order;
use crate::net::{BoundListener, Claim, ClientAddress, Listener, Owner, Sharing};
use crate::telemetry::{AccessLog, Meters, RouteMeter};

const LONG: Duration = Duration::from_secs(3600);

/// A daemon's books, and a detector that looks at them.
struct World {
    registry: Arc<Registry>,
    gate: Arc<Gate>,
    route: Arc<RouteMeter>,
    listener: Listener,
    allowances: HashMap<ListenAddress, Allowance>,
    detector: Detector,
    start: Instant,
    pool: (u64, u64),
    tasks: (u64, u64),
    /// Sockets of the test's own, which it owns.
    own: RefCell<Vec<Claim>>,
}

impl World {
    fn new() -> Self {
        let meters = Arc::new(Meters::new());
        let registry = Arc::new(Registry::new(meters, AccessLog::off()));
        let route = registry.meters().route("shop");
        let bound = BoundListener::bind("127.0.0.1:0".parse().unwrap(), Sharing::Exclusive).unwrap();
        let listener = bound.into_listener().unwrap();
        let seconds = Duration::from_secs;
        let allowance = Allowance::for_test(seconds(5), seconds(15), seconds(60), Some(seconds(7200)));
        Self {
            registry,
            gate: Arc::new(Gate::new(100)),
            route,
            allowances: HashMap::from([(listener.local_address(), allowance)]),
            listener,
            detector: Detector::new(Arc::new(sockets::unclaimed().unwrap())),
            start: Instant::now(),
            pool: (0, 0),
            tasks: (0, 0),
            own: RefCell::default(),
        }
    }

    fn place(&self) -> Place {
        self.gate.try_enter().unwrap()
    }

    /// A client that has been accepted and counted: its end, ours, and the guard of it.
    async fn client(&self) -> (TcpStream, TcpStream, ConnectionGuard) {
        let near = TcpStream::connect(self.listener.local_address().socket()).await.unwrap();
        let (far, client) = self.listener.accept().await.unwrap();
        // A test's own client is nobody's socket as far as the detector knows.
        self.own(&near);
        let claim = Claim::new(&far, Owner::Waiting);
        let guard = ConnectionGuard::open(&self.registry, self.place(), self.listener.local_address(), client);
        (near, far, guard.holding(claim))
    }

    /// Takes a socket out of what is looked at for as long as the test runs.
    fn own(&self, socket: &TcpStream) {
        self.own.borrow_mut().push(Claim::new(socket, Owner::Operator));
    }

    /// What a pass finds at a time after the start.
    fn look(&mut self, after: Duration) -> Vec<Finding> {
        let (pool, tasks) = (self.pool, self.tasks);
        let books = Books {
            registry: &self.registry,
            gate: &self.gate,
            routes: vec![Arc::clone(&self.route), Arc::clone(self.registry.unrouted())],
            pool: &|| pool,
            tasks: &|| tasks,
        };
        self.detector.look(&books, &self.allowances, self.start + after)
    }

    /// What is told of the connection after so many passes, ten seconds apart.
    fn told(&mut self, passes: u64, of: impl Fn(&LeakSuspect) -> bool) -> Vec<LeakSuspect> {
        let mut told = Vec::new();
        for pass in 0..passes {
            let after = Duration::from_secs(10 * pass);
            let found = self.look(after);
            told = self.detector.note(found, self.start + after);
        }
        // Other tests of this process have sockets of their own, which are not this one's business.
        told.retain(|suspect| of(suspect));
        told
    }
}

fn named<'a>(connection: &Connection) -> impl Fn(&LeakSuspect) -> bool + use<'a> {
    let client = format!(" of {} to ", connection.client());
    move |suspect| suspect.what.contains(&client)
}

fn of_count(suspect: &LeakSuspect) -> bool {
    matches!(suspect.kind, LeakKind::Gauge | LeakKind::Task)
}

#[tokio::test]
async fn a_socket_that_nobody_owns_is_named_in_the_second_pass_and_withdrawn_when_it_is_closed() {
    let mut world = World::new();
    let leaked = TcpStream::connect(world.listener.local_address().socket()).await.unwrap();
    let (peer, _) = world.listener.accept().await.unwrap();
    world.own(&peer);
    let ends = format!("{} -> {}", leaked.local_addr().unwrap(), leaked.peer_addr().unwrap());
    let of = |suspect: &LeakSuspect| suspect.what.contains(&ends);
    assert!(world.told(1, of).is_empty());
    let told = world.told(2, of);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].kind, LeakKind::Socket);
    assert!(told[0].what.contains("is owned by nobody"), "{told:?}");
    drop(leaked);
    assert!(world.told(1, of).is_empty());
}

#[tokio::test]
async fn a_socket_that_was_there_before_the_daemon_is_not_suspected() {
    let before = World::new();
    let inherited = TcpStream::connect(before.listener.local_address().socket()).await.unwrap();
    let mut world = World::new();
    let ends = format!("{} -> {}", inherited.local_addr().unwrap(), inherited.peer_addr().unwrap());
    assert!(world.told(3, |suspect| suspect.what.contains(&ends)).is_empty());
}

#[tokio::test]
async fn sockets_that_outlive_their_connection_are_named_on_both_sides() {
    let mut world = World::new();
    let (_near, far, guard) = world.client().await;
    let target = TcpStream::connect(world.listener.local_address().socket()).await.unwrap();
    let (target_peer, _) = world.listener.accept().await.unwrap();
    world.own(&target_peer);
    let id = guard.connection().id().0;
    let claim = Claim::new(&target, Owner::Target(id));
    let target_end = target.local_addr().unwrap().to_string();
    let client_end = format!("-> {}", far.peer_addr().unwrap());
    let of = |suspect: &LeakSuspect| suspect.what.contains(&target_end) || suspect.what.contains(&client_end);
    assert!(world.told(3, of).is_empty(), "all that is there has an owner");
    // Whoever kept the streams has forgotten to close them.
    drop(guard);
    let told = world.told(2, of);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|suspect| suspect.kind == LeakKind::Socket));
    let ended = format!("is the target's side of connection {id}, which has ended");
    assert!(told.iter().any(|suspect| suspect.what.contains(&ended)), "{told:?}");
    assert!(told.iter().any(|suspect| suspect.what.contains("is owned by nobody")), "{told:?}");
    drop((far, target));
    drop(claim);
    assert!(world.told(1, of).is_empty());
}

#[tokio::test]
async fn a_guard_whose_socket_is_gone_is_named_also_when_another_file_has_its_descriptor() {
    let mut world = World::new();
    let (_near, far, guard) = world.client().await;
    let of = named(guard.connection());
    assert!(world.told(3, &of).is_empty());
    drop(far);
    // The lowest descriptor that is free is given out next (open(2)): most likely the one that has just been closed.
    let _file = std::fs::File::open("/dev/null").unwrap();
    let told = world.told(2, &of);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].kind, LeakKind::Guard);
    assert!(told[0].what.contains("its socket is gone"), "{told:?}");
    drop(guard);
    assert!(world.told(1, &of).is_empty());
}

#[tokio::test]
async fn a_state_that_is_kept_for_longer_than_its_timeout_is_named() {
    for (state, limit) in [
        (State::Accepted, 5 + 1),
        (State::Sniffing, 5 + 1),
        (State::Handshaking, 5 + 1),
        (State::Connecting, 15),
        (State::Relaying, 60 + 1),
        (State::Serving, 60 + 1),
        (State::HalfClosed, 5 + 1),
    ] {
        let mut world = World::new();
        let (_near, _far, guard) = world.client().await;
        guard.connection().enter(state);
        let of = named(guard.connection());
        // Ten seconds late is still the machine's fault; in the first look nothing is known of what has moved before.
        world.look(Duration::ZERO);
        let at = |seconds| Duration::from_secs(seconds);
        let of_this = |found: Vec<Finding>| {
            let suspects = found.into_iter().map(|found| LeakSuspect {
                kind: found.kind,
                what: found.what,
                since: Instant::now(),
            });
            suspects.filter(|suspect| of(suspect)).collect::<Vec<_>>()
        };
        let early = of_this(world.look(at(limit + 9)));
        assert!(early.is_empty(), "{state:?}: {early:?}");
        let late = of_this(world.look(at(limit + 12)));
        assert_eq!(late.len(), 1, "{state:?}: {late:?}");
        assert_eq!(late[0].kind, LeakKind::State);
        assert!(late[0].what.contains(&format!("is {} ", state.as_str())), "{late:?}");
    }
}

#[tokio::test]
async fn a_connection_that_moves_bytes_may_relay_for_as_long_as_it_may_live_and_no_longer() {
    let mut world = World::new();
    let (_near, _far, guard) = world.client().await;
    guard.connection().enter(State::Relaying);
    let of = named(guard.connection());
    for minute in 0..119 {
        guard.connection().traffic().add_in(1);
        let found = world.look(Duration::from_secs(60 * minute));
        assert!(found.iter().all(|found| found.kind != LeakKind::State), "{found:?}");
    }
    let found = world.look(LONG * 2 + Duration::from_secs(12));
    let told = world.detector.note(found, world.start);
    assert!(told.is_empty(), "one pass is not enough");
    let found = world.look(LONG * 2 + Duration::from_secs(22));
    let mut told = world.detector.note(found, world.start);
    told.retain(&of);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].what.contains("timeouts.max_lifetime"), "{told:?}");
}

#[tokio::test]
async fn a_connection_that_does_not_end_when_it_is_told_to_is_named() {
    let mut world = World::new();
    let (_near, _far, guard) = world.client().await;
    guard.connection().enter(State::Relaying);
    let of = named(guard.connection());
    // Who drains may take its time.
    guard.connection().order(Order::Drain);
    assert!(world.told(5, &of).is_empty());
    guard.connection().order(Order::Kill);
    let told = world.told(5, &of);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].what.contains("was told to end at once, and is still relaying"), "{told:?}");
}

#[tokio::test]
async fn counts_that_differ_from_what_they_count_are_named_with_by_how_much() {
    let mut world = World::new();
    let (_near, _far, guard) = world.client().await;
    guard.connection().set_route(&world.route);
    assert_eq!(world.told(3, of_count), [], "everything adds up");
    let leaked_place = world.place();
    let leaked_gauge = [world.route.hold(), world.route.hold()];
    world.pool = (3, 1);
    world.tasks = (9, 4);
    let mut told: Vec<_> = world.told(2, of_count).into_iter().map(|suspect| (suspect.kind, suspect.what)).collect();
    told.sort_unstable();
    let expected = [
        (LeakKind::Gauge, "smartproxy_connections_active of route shop is +2 off its live connections"),
        (LeakKind::Gauge, "the count of pooled connections to targets is +2 off their sockets"),
        (LeakKind::Gauge, "the places taken under server.max_connections are +1 off the live connections"),
        // One connection explains two tasks, and four are there without one.
        (LeakKind::Task, "3 tasks more live on the workers than connections, listeners and pools explain"),
    ];
    assert_eq!(told, expected.map(|(kind, what)| (kind, what.to_owned())));
    drop((leaked_place, leaked_gauge));
    (world.pool, world.tasks) = ((3, 3), (6, 4));
    assert_eq!(world.told(1, of_count), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_come_and_go_while_it_looks_are_not_suspected() {
    let mut world = World::new();
    let (registry, gate, route) = (Arc::clone(&world.registry), Arc::clone(&world.gate), Arc::clone(&world.route));
    let address = world.listener.local_address();
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let churn = std::thread::spawn({
        let (stop, count) = (Arc::clone(&stop), Arc::clone(&count));
        move || {
            while !stop.load(Ordering::Acquire) {
                let client = ClientAddress::new("127.0.0.1:50000".parse().unwrap());
                let guards: Vec<_> = (0..8)
                    .filter_map(|_| Some(ConnectionGuard::open(&registry, gate.try_enter()?, address, client)))
                    .collect();
                guards.iter().for_each(|guard| guard.connection().set_route(&route));
                count.fetch_add(guards.len(), Ordering::Release);
            }
        }
    });
    let (mut told, mut passes) = (Vec::new(), 0);
    let deadline = Instant::now() + Duration::from_secs(20);
    while (passes < 20 || count.load(Ordering::Acquire) < 10_000) && Instant::now() < deadline {
        told.extend(world.told(2, of_count));
        passes += 2;
    }
    stop.store(true, Ordering::Release);
    churn.join().unwrap();
    assert!(count.load(Ordering::Acquire) > 0);
    assert_eq!(told, []);
    assert_eq!(world.told(3, of_count), []);
}
