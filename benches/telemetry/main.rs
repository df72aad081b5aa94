//! What looking costs: the list of connections and the metrics over a filled registry, the leak detector's view of the
//! kernel, and what an operator who looks all the time takes from the throughput.

#![expect(clippy::unwrap_used, reason = "a benchmark writes its own input")]

mod daemon;
mod pairs;

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use divan::Bencher;
use rustix::time::{ClockId, clock_gettime};
use smartproxy::connection::{ConnectionGuard, Gate, Registry, State};
use smartproxy::net::{ClientAddress, ListenAddress};
use smartproxy::outcome::{Cause, Outcome, Party, Phase};
use smartproxy::telemetry::{AccessLog, ConnectResult, Meters, RouteMeter, StatusClass};

use crate::pairs::{Pairs, Turn};

const LIVE: usize = 50_000;
const ROUTES: usize = 100;

fn main() {
    divan::main();
    // What one of them was asked for by name, it is that one only.
    if std::env::args().skip(1).all(|argument| argument.starts_with("--")) {
        daemon::books_after_churn();
        daemon::throughput_while_looked_at();
        registry_while_looked_at();
    }
}

/// A registry with connections on many routes, each with what a list shows of it.
struct Filled {
    registry: Arc<Registry>,
    routes: Vec<Arc<RouteMeter>>,
    _guards: Vec<ConnectionGuard>,
}

fn filled() -> &'static Filled {
    static FILLED: OnceLock<Filled> = OnceLock::new();
    FILLED.get_or_init(|| {
        let registry = Arc::new(Registry::new(Arc::new(Meters::new()), AccessLog::off()));
        let routes: Vec<_> = (0..ROUTES).map(|number| registry.meters().route(&format!("route-{number}"))).collect();
        for route in &routes {
            route.show_traffic();
            route.show_connects();
            route.show_requests();
        }
        let gate = Arc::new(Gate::new(LIVE));
        let target: Arc<str> = "10.0.0.1:8443".into();
        let guards = (0..LIVE)
            .map(|number| {
                let guard = open(&registry, &gate, number);
                let connection = guard.connection();
                connection.set_route(&routes[number % ROUTES]);
                connection.set_host(&format!("h{number}.shop.example.com"));
                connection.set_target(&target);
                connection.set_protocol("tls");
                connection.enter(State::Relaying);
                connection.traffic().add_in(number as u64);
                guard
            })
            .collect();
        Filled { registry, routes, _guards: guards }
    })
}

fn open(registry: &Arc<Registry>, gate: &Arc<Gate>, number: usize) -> ConnectionGuard {
    let listener = ListenAddress::new("192.0.2.1:443".parse().unwrap());
    let [_, _, b, a] = u32::try_from(number).unwrap().to_be_bytes();
    let client: SocketAddr = format!("198.51.{b}.{a}:50000").parse().unwrap();
    ConnectionGuard::open(registry, gate.try_enter().unwrap(), listener, ClientAddress::new(client))
}

/// `/connections`: 50,000 live ones, as JSON.
#[divan::bench(sample_count = 20)]
fn list_50_000(bencher: Bencher) {
    let registry = &filled().registry;
    bencher.bench(|| {
        let rows: Vec<_> = registry.connections().iter().map(|connection| connection.snapshot()).collect();
        serde_json::to_vec(&rows).unwrap().len()
    });
}

/// `/metrics` with as many live and 100 routes.
#[divan::bench(sample_count = 20)]
fn scrape_50_000(bencher: Bencher) {
    let registry = &filled().registry;
    bencher.bench(|| {
        black_box(registry.settle());
        registry.meters().text().len()
    });
}

/// What a request costs in metrics.
#[divan::bench(sample_size = 1000)]
fn count_a_request(bencher: Bencher) {
    let route = &filled().routes[0];
    let took = Duration::from_millis(3);
    bencher.bench(|| {
        route.answered(took);
        route.request(StatusClass::Success, took);
    });
}

/// What every event of a connection costs while nobody traces: the question whether anybody does.
#[divan::bench(sample_size = 1000)]
fn tell_nobody(bencher: Bencher) {
    let tracers = filled().registry.tracers();
    bencher.bench(|| black_box(tracers).is_watching());
}

/// What an attempt to connect and the end of its connection cost in metrics.
#[divan::bench(sample_size = 1000)]
fn count_a_connection(bencher: Bencher) {
    let route = &filled().routes[0];
    let took = Duration::from_millis(3);
    let outcome = Outcome::new(Phase::Relay, Party::Client, Cause::Finished);
    bencher.bench(|| {
        route.connect(ConnectResult::Connected);
        route.connected(took);
        route.closed(outcome, true, took);
    });
}

/// What the leak detector asks the kernel in a pass, at most: its list of descriptors, and what each of them is; of as many as
/// the limit allows up to 20,000.
#[divan::bench(sample_count = 20)]
fn descriptors_of_20_000(bencher: Bencher) {
    smartproxy::net::sys::raise_descriptor_limit().unwrap();
    let files: Vec<_> = (0..19_000).map_while(|_| std::fs::File::open("/dev/null").ok()).collect();
    bencher.bench(|| {
        let open = smartproxy::net::open_descriptors().unwrap();
        open.into_iter().filter_map(smartproxy::net::sys::socket_inode).count()
    });
    drop(files);
}

/// Connections that one thread opens, routes, moves bytes on and closes beside 50,000 live ones: alone, and while another thread
/// scrapes the metrics and lists all connections once.
fn registry_while_looked_at() {
    let filled = filled();
    let gate = Arc::new(Gate::new(64));
    let (looking, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let pairs = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Acquire) {
                if looking.swap(false, Ordering::AcqRel) {
                    black_box(filled.registry.settle());
                    black_box(filled.registry.meters().text());
                    black_box(filled.registry.connections().iter().map(|one| one.snapshot()).collect::<Vec<_>>());
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        let pairs = Pairs::measure(|is_looked_at| {
            looking.store(is_looked_at, Ordering::Release);
            let (begun, used) = (Instant::now(), processor_time());
            let mut operations = 0;
            while processor_time() - used < pairs::TURN {
                for number in 0..100 {
                    let guard = open(&filled.registry, &gate, number);
                    guard.connection().set_route(&filled.routes[number]);
                    guard.connection().enter(State::Relaying);
                    guard.connection().traffic().add_out(1);
                    guard.close(Outcome::new(Phase::Relay, Party::Client, Cause::Finished));
                }
                operations += 100;
            }
            Turn { operations, elapsed: begun.elapsed(), processor: processor_time() - used }
        });
        over.store(true, Ordering::Release);
        pairs
    });
    pairs.tell(&format!("connections opened and closed beside {LIVE} live ones, by one thread"));
}

/// What this thread has used so far.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}
