//! Operations at a fixed rate, and how long each takes.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::http1::Client;
use super::stream::{Dial, Stream};
use super::traffic::MESSAGE;
use crate::measure::{Sample, percentiles};
use crate::peer::{Running, Service};
use crate::world::World;

/// Operations in a second: about a tenth of what the slowest peer can do.
pub(crate) const RATE: u32 = 2000;

const CONNECTIONS: u32 = 40;

pub(super) fn measure(peer: &Running<'_>, service: Service, world: &World) -> Result<Sample, String> {
    let dial = Dial::new(peer, service, world);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        let interval = Duration::from_secs(1) / RATE * CONNECTIONS;
        let begin = Instant::now() + world.pace.warm_up;
        let end = begin + world.pace.measured;
        for turn in 0..CONNECTIONS {
            let dial = dial.clone();
            let first = begin + interval / CONNECTIONS * turn;
            tasks.spawn(async move { one(&dial, service, first, interval, end).await });
        }
        tokio::time::sleep_until(begin).await;
        let before = peer.usage();
        let mut times = Vec::new();
        for result in tasks.join_all().await {
            times.extend(result.map_err(|error| error.to_string())?);
        }
        let after = peer.usage();
        let count = times.len() as f64;
        Ok(Sample {
            cost: (after.cpu - before.cpu) / count * 1e6,
            rate: Some(count / world.pace.measured.as_secs_f64()),
            latency: percentiles(times),
            memory: Some(after.memory / 1024.0 / 1024.0),
        })
    })
}

async fn one(
    dial: &Dial,
    service: Service,
    first: Instant,
    interval: Duration,
    end: Instant,
) -> io::Result<Vec<Duration>> {
    let mut asked = Asked::open(dial, service).await?;
    asked.ask().await?;
    let mut times = Vec::new();
    let mut due = first;
    while due < end {
        // The timer is no finer than a millisecond, which is not the peer's fault; a wait for the answer before is.
        let late = Instant::now() > due;
        sleep_until(due).await;
        let begun = if late { due } else { Instant::now() };
        asked.ask().await?;
        times.push(begun.elapsed());
        due += interval;
    }
    Ok(times)
}

enum Asked {
    Echo(Box<dyn Stream>),
    Http(Box<Client>),
}

impl Asked {
    async fn open(dial: &Dial, service: Service) -> io::Result<Self> {
        let stream = dial.open().await?;
        Ok(match service {
            Service::Http | Service::Https => Self::Http(Box::new(Client::new(stream, false))),
            Service::Echo
            | Service::Source
            | Service::Sink
            | Service::TlsEcho
            | Service::TlsSource
            | Service::TlsSink
            | Service::Passthrough => Self::Echo(stream),
        })
    }

    async fn ask(&mut self) -> io::Result<()> {
        match self {
            Self::Echo(stream) => {
                stream.write_all(&MESSAGE).await?;
                stream.flush().await?;
                stream.read_exact(&mut { MESSAGE }).await?;
                Ok(())
            }
            Self::Http(client) => client.ask().await,
        }
    }
}
