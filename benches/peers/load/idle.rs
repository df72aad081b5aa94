//! Connections that are open and on which nothing happens.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::stream::{Dial, Stream};
use super::traffic::MESSAGE;
use crate::measure::Sample;
use crate::peer::{Running, Service};
use crate::world::World;

/// Opened side by side.
const AT_ONCE: usize = 64;

/// Opened and closed first: what a peer has once and for all is not the connections'.
const WARM_UP: usize = 64;

/// For a peer to give back what it only needs for a moment.
const SETTLED_AFTER: Duration = Duration::from_millis(1500);

pub(super) fn measure(peer: &Running<'_>, service: Service, world: &World) -> Result<Sample, String> {
    let dial = Dial::new(peer, service, world);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        drop(open(&dial, WARM_UP).await?);
        tokio::time::sleep(SETTLED_AFTER).await;
        let before = peer.usage().memory;
        let held = open(&dial, world.pace.idle_connections).await?;
        tokio::time::sleep(SETTLED_AFTER).await;
        let after = peer.usage().memory;
        Ok(Sample {
            cost: (after - before) / held.len() as f64 / 1024.0,
            rate: None,
            latency: None,
            memory: Some(after / 1024.0 / 1024.0),
        })
    })
}

/// Each has been heard from through the peer, so that both of its sides are there.
async fn open(dial: &Dial, count: usize) -> Result<Vec<Box<dyn Stream>>, String> {
    let mut held = Vec::new();
    let mut tasks = JoinSet::new();
    while held.len() < count {
        while tasks.len() < AT_ONCE.min(count - held.len()) {
            let dial = dial.clone();
            tasks.spawn(async move {
                let mut stream = dial.open().await?;
                stream.write_all(&MESSAGE).await?;
                stream.flush().await?;
                stream.read_exact(&mut { MESSAGE }).await?;
                io::Result::Ok(stream)
            });
        }
        let opened = tasks.join_next().await.unwrap().unwrap();
        held.push(opened.map_err(|error| format!("after {} connections: {error}", held.len()))?);
    }
    Ok(held)
}
