//! Bytes over connections that stay.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Tally;
use super::stream::Dial;

/// What is read or written at once.
const CHUNK: usize = 256 * 1024;

/// What is sent there and back.
pub(super) const MESSAGE: [u8; 64] = [b'm'; 64];

/// Counts bytes.
pub(super) async fn bulk(dial: Dial, up: bool, streams: usize, tally: Arc<Tally>) {
    let mut tasks = JoinSet::new();
    for _ in 0..streams {
        let (dial, tally) = (dial.clone(), Arc::clone(&tally));
        tasks.spawn(async move { tally.note(one_bulk(&dial, up, &tally).await) });
    }
    tasks.join_all().await;
}

async fn one_bulk(dial: &Dial, up: bool, tally: &Tally) -> io::Result<()> {
    let mut stream = dial.open().await?;
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = if up { stream.write(&buffer).await? } else { stream.read(&mut buffer).await? };
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        tally.add(count as u64);
    }
}

/// Counts messages that have come back.
pub(super) async fn ping_pong(address: SocketAddr, connections: usize, tally: Arc<Tally>) {
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let tally = Arc::clone(&tally);
        tasks.spawn(async move { tally.note(one_ping_pong(address, &tally).await) });
    }
    tasks.join_all().await;
}

async fn one_ping_pong(address: SocketAddr, tally: &Tally) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut answer = MESSAGE;
    loop {
        stream.write_all(&MESSAGE).await?;
        stream.read_exact(&mut answer).await?;
        tally.add(1);
    }
}
