//! Connections that come, say one thing, and go.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{ClientConfig, HandshakeKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::traffic::MESSAGE;
use super::{Tally, stream};
use crate::peer::host;
use crate::world::{Group, NAME, Resumption, World, hello};

/// Clients side by side: enough that the peer never waits for one.
const CLIENTS: usize = 16;

/// Different names that are asked for, where there are many.
const NAMES: usize = 1024;

pub(super) async fn plain(address: SocketAddr, tally: Arc<Tally>) {
    repeat(tally, move |_turn| async move {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&MESSAGE).await?;
        stream.read_exact(&mut { MESSAGE }).await?;
        Ok(true)
    })
    .await;
}

/// What clients that ask for the one name, or for many of many, begin with.
pub(super) fn hellos(world: &World, routes: usize) -> Arc<Vec<Vec<u8>>> {
    let tls = world.tls(Group::X25519, Resumption::Never, &[]);
    let names: Vec<String> = match routes {
        0 => vec![NAME.to_owned()],
        // A stride that is prime to it scatters them.
        routes => (0..NAMES).map(|turn| host(turn * 7919 % routes)).collect(),
    };
    Arc::new(names.iter().map(|name| hello(&tls, name)).collect())
}

pub(super) async fn named(address: SocketAddr, hellos: Arc<Vec<Vec<u8>>>, tally: Arc<Tally>) {
    repeat(tally, move |turn| {
        let hellos = Arc::clone(&hellos);
        async move {
            let hello = &hellos[turn % hellos.len()];
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(hello).await?;
            stream.read_exact(&mut vec![0; hello.len()]).await?;
            Ok(true)
        }
    })
    .await;
}

/// The first handshakes of clients that come back are whole ones, and do not count.
pub(super) async fn secure(address: SocketAddr, tls: Arc<ClientConfig>, resumption: Resumption, tally: Arc<Tally>) {
    let wanted = match resumption {
        Resumption::Never => HandshakeKind::Full,
        Resumption::Always => HandshakeKind::Resumed,
    };
    repeat(tally, move |_turn| {
        let tls = Arc::clone(&tls);
        async move {
            let mut stream = stream::secure(TcpStream::connect(address).await?, tls).await?;
            let kind = stream.get_ref().1.handshake_kind();
            stream.write_all(&MESSAGE).await?;
            stream.read_exact(&mut { MESSAGE }).await?;
            stream.shutdown().await?;
            Ok(kind == Some(wanted))
        }
    })
    .await;
}

async fn repeat<F: Future<Output = io::Result<bool>> + Send + 'static>(
    tally: Arc<Tally>,
    work: impl Fn(usize) -> F + Send + Sync + 'static,
) {
    let mut tasks = JoinSet::new();
    let work = Arc::new(work);
    for client in 0..CLIENTS {
        let (tally, work) = (Arc::clone(&tally), Arc::clone(&work));
        tasks.spawn(async move {
            for turn in 0.. {
                let done = work(turn * CLIENTS + client).await;
                tally.add(u64::from(*done.as_ref().unwrap_or(&false)));
                tally.note(done);
            }
        });
    }
    tasks.join_all().await;
}
