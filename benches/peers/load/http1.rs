//! HTTP/1.1 over connections that are kept alive.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::Tally;
use super::stream::{Dial, Stream};
use crate::backend::{LARGE, SMALL};
use crate::world::NAME;

/// Clients side by side that ask for something small.
const SMALL_CLIENTS: usize = 32;

/// And for something large.
const LARGE_CLIENTS: usize = 4;

/// The longest head of an answer: peers add a few fields.
const HEAD_MAX: usize = 4096;

/// Counts answers, or the bytes of bodies where these are large.
pub(super) async fn requests(dial: Dial, large: bool, tally: Arc<Tally>) {
    let mut tasks = JoinSet::new();
    for _ in 0..if large { LARGE_CLIENTS } else { SMALL_CLIENTS } {
        let (dial, tally) = (dial.clone(), Arc::clone(&tally));
        tasks.spawn(async move { tally.note(one(&dial, large, &tally).await) });
    }
    tasks.join_all().await;
}

async fn one(dial: &Dial, large: bool, tally: &Tally) -> io::Result<()> {
    let mut client = Client::new(dial.open().await?, large);
    loop {
        client.ask().await?;
        tally.add(if large { LARGE as u64 } else { 1 });
    }
}

/// One connection.
pub(super) struct Client {
    stream: Box<dyn Stream>,
    request: Vec<u8>,
    body: usize,
    buffer: Vec<u8>,
}

impl Client {
    pub(super) fn new(stream: Box<dyn Stream>, large: bool) -> Self {
        let path = if large { "/large" } else { "/small" };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\nUser-Agent: peers\r\nAccept: */*\r\n\r\n");
        let body = if large { LARGE } else { SMALL };
        let buffer = vec![0; if large { 256 * 1024 } else { HEAD_MAX + SMALL }];
        Self { stream, request: request.into_bytes(), body, buffer }
    }

    /// One request and its whole answer.
    pub(super) async fn ask(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.request).await?;
        let mut filled = 0;
        let head = loop {
            match self.stream.read(&mut self.buffer[filled..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => filled += count,
            }
            let seen = &self.buffer[..filled.min(HEAD_MAX)];
            if let Some(end) = seen.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
        };
        if !self.buffer.starts_with(b"HTTP/1.1 200") {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // All bodies have the length that was asked for, and all peers pass it on as it is.
        let mut missing = self.body.checked_sub(filled - head).ok_or(io::ErrorKind::InvalidData)?;
        while missing > 0 {
            match self.stream.read(&mut self.buffer).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => missing = missing.checked_sub(count).ok_or(io::ErrorKind::InvalidData)?,
            }
        }
        Ok(())
    }
}
