//! What is asked of a peer, and how what it costs is counted.

mod connect;
mod http1;
mod http2;
mod idle;
mod paced;
mod reload;
mod stream;
mod traffic;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

pub(crate) use self::paced::RATE;
use crate::column::Unit;
use crate::measure::Sample;
use crate::peer::{Purpose, Running, Service};
use crate::world::{Group, Resumption, World};

/// A kind of load.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// Bytes one way, as fast as they go.
    Bulk { service: Service, streams: usize },
    /// 64 bytes there and back, over and over.
    PingPong { connections: usize },
    /// A connection, 64 bytes there and back, and the end.
    Connect,
    /// The same with a ClientHello, which is passed through by its name.
    Passthrough,
    /// The same inside of TLS.
    Handshake { group: Group, resumption: Resumption },
    /// Requests one after the other.
    Http1 { service: Service, large: bool },
    /// Requests side by side.
    Http2 { large: bool },
    /// Connections on which nothing happens.
    Idle { service: Service },
    /// Operations at a fixed rate.
    Paced { service: Service },
    /// A configuration that is read anew.
    Reload,
}

/// What the load has done so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    done: AtomicU64,
    failed: AtomicU64,
}

impl Tally {
    fn add(&self, count: u64) {
        self.done.fetch_add(count, Ordering::Relaxed);
    }

    /// Records what went wrong, if anything did.
    fn note<T>(&self, result: std::io::Result<T>) {
        if result.is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Has one load run on one peer, and says what that cost.
pub(crate) fn measure(
    work: Work,
    unit: Unit,
    peer: &Running<'_>,
    world: &World,
    purpose: Purpose,
) -> Result<Sample, String> {
    match work {
        Work::Bulk { service, streams } => {
            let up = matches!(service, Service::Sink | Service::TlsSink);
            flow(unit, peer, world, |tally| traffic::bulk(stream::Dial::new(peer, service, world), up, streams, tally))
        }
        Work::PingPong { connections } => {
            flow(unit, peer, world, |tally| traffic::ping_pong(peer.address(Service::Echo), connections, tally))
        }
        Work::Connect => flow(unit, peer, world, |tally| connect::plain(peer.address(Service::Echo), tally)),
        Work::Passthrough => {
            let hellos = connect::hellos(world, purpose.routes);
            flow(unit, peer, world, |tally| connect::named(peer.address(Service::Passthrough), hellos, tally))
        }
        Work::Handshake { group, resumption } => {
            let tls = world.tls(group, resumption, &[]);
            flow(unit, peer, world, |tally| connect::secure(peer.address(Service::TlsEcho), tls, resumption, tally))
        }
        Work::Http1 { service, large } => {
            flow(unit, peer, world, |tally| http1::requests(stream::Dial::new(peer, service, world), large, tally))
        }
        Work::Http2 { large } => {
            let dial = stream::Dial::http2(peer, world);
            flow(unit, peer, world, |tally| http2::requests(dial, large, tally))
        }
        Work::Idle { service } => idle::measure(peer, service, world),
        Work::Paced { service } => paced::measure(peer, service, world),
        Work::Reload => reload::measure(peer, world, purpose),
    }
}

/// What a peer has to have used for its clock to say how much, in seconds: three ticks.
const LEAST_CPU: f64 = 0.03;

/// A load that goes on for as long as it is let: what it costs is looked at twice, and what lies between is counted.
///
/// It runs on the thread of the backends, and that never sleeps: on one machine who sends pays for waking who receives, so
/// that a peer which has both wait for it would pay for that too, unlike across a network.
fn flow<F: Future<Output = ()> + Send + 'static>(
    unit: Unit,
    peer: &Running<'_>,
    world: &World,
    work: impl FnOnce(Arc<Tally>) -> F,
) -> Result<Sample, String> {
    let tally = Arc::new(Tally::default());
    let runtime = &world.backends.runtime;
    let load = runtime.spawn(work(Arc::clone(&tally)));
    let awake = runtime.spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
    let look = || (Instant::now(), peer.usage(), tally.done.load(Ordering::Relaxed));
    std::thread::sleep(world.pace.warm_up);
    let begun = look();
    std::thread::sleep(world.pace.measured);
    let ended = look();
    for task in [load, awake] {
        task.abort();
        if let Err(error) = runtime.block_on(task)
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
    let failed = tally.failed.load(Ordering::Relaxed);
    let (seconds, done) = ((ended.0 - begun.0).as_secs_f64(), (ended.2 - begun.2) as f64);
    if failed > 0 || done == 0.0 {
        return Err(format!("{failed} operations have failed, and {done} not"));
    }
    let cpu = ended.1.cpu - begun.1.cpu;
    if cpu < LEAST_CPU {
        return Err(format!("{cpu} s of CPU time is too little for a clock of 10 ms: measure for longer"));
    }
    let scale = if unit == Unit::SecondsPerGigabyte { 1e9 } else { 1e6 };
    Ok(Sample {
        cost: cpu / done * scale,
        rate: Some(done / seconds),
        latency: None,
        memory: Some(ended.1.memory / 1024.0 / 1024.0),
    })
}
