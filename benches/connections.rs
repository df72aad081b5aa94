//! 50,000 live connections: listing them, and marking what they have moved, which is done once a second.

#![expect(clippy::unwrap_used, reason = "a benchmark writes its own input")]

use std::sync::Arc;
use std::time::Duration;

use divan::{Bencher, black_box};
use http_body_util::BodyExt;
use rustix::time::{ClockId, clock_gettime};
use smartproxy::admin::{Listing, Wanted};
use smartproxy::connection::{ConnectionGuard, Gate, Registry, SHARDS, TlsLabel};
use smartproxy::net::{ClientAddress, ListenAddress};
use smartproxy::telemetry::{AccessLog, Meters};

const LIVE: u32 = 50_000;

/// The longest that a list may take: an operator waits for it, and it is done between what else the control plane does.
const LONGEST: Duration = Duration::from_millis(500);

fn main() {
    divan::main();
}

/// A registry with so many connections, as if each were being served.
fn filled() -> (Arc<Registry>, Vec<ConnectionGuard>) {
    let registry = Arc::new(Registry::new(Arc::new(Meters::new()), AccessLog::off()));
    let gate = Arc::new(Gate::new(LIVE as usize));
    let listener = ListenAddress::new("203.0.113.1:443".parse().unwrap());
    let route = registry.meters().route("shop");
    let target: Arc<str> = "10.0.0.1:8080".into();
    let guards = (0..LIVE).map(|number| {
        let client = std::net::Ipv4Addr::from(0x0a00_0000 + number);
        let client = ClientAddress::new((client, 50_000).into());
        let guard = ConnectionGuard::open(&registry, gate.try_enter().unwrap(), listener, client);
        let connection = guard.connection();
        connection.set_route(&route);
        connection.set_host("shop.example.com");
        connection.set_target(&target);
        connection.set_protocol("h2");
        connection.set_tls(TlsLabel { version: "1.3", group: Some("X25519MLKEM768") });
        connection.traffic().add_in(u64::from(number));
        guard
    });
    let guards = guards.collect();
    (registry, guards)
}

/// Everything that `/connections` does: look, order, and write.
fn list(bencher: Bencher, query: &str) {
    let (registry, guards) = filled();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let wanted = Wanted::parse(query).unwrap();
    bencher.bench(|| {
        let begun = processor_time();
        let length = runtime.block_on(async {
            let body = Listing::of(&registry, black_box(&wanted)).await.into_body();
            body.collect().await.unwrap().to_bytes().len()
        });
        let took = processor_time() - begun;
        // What a debug build takes says nothing.
        assert!(cfg!(debug_assertions) || took < LONGEST, "{LIVE} connections took {took:?}");
        length
    });
    drop(guards);
}

/// What this thread has used so far: what else a machine does is not held against the list.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}

#[divan::bench(sample_count = 20)]
fn list_all(bencher: Bencher) {
    list(bencher, "");
}

#[divan::bench(sample_count = 20)]
fn list_the_twenty_largest(bencher: Bencher) {
    list(bencher, "sort=bytes&limit=20");
}

#[divan::bench(sample_count = 20)]
fn mark_paces(bencher: Bencher) {
    let (registry, guards) = filled();
    bencher.bench(|| (0..SHARDS).for_each(|shard| registry.mark_pace(shard)));
    drop(guards);
}
