//! HTTP/2 over TLS: requests side by side on a few connections.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use tokio::task::JoinSet;

use super::Tally;
use super::stream::Dial;
use crate::backend::{LARGE, SMALL};
use crate::world::NAME;

const CONNECTIONS: usize = 4;

/// Streams of a connection that ask for something small, and for something large.
const SMALL_STREAMS: usize = 16;
const LARGE_STREAMS: usize = 1;

/// What a client lets come unasked: more than one large body.
const WINDOW: u32 = 4 * 1024 * 1024;

/// Counts answers, or the bytes of bodies where these are large.
pub(super) async fn requests(dial: Dial, large: bool, tally: Arc<Tally>) {
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (dial, tally) = (dial.clone(), Arc::clone(&tally));
        tasks.spawn(async move { tally.note(one(&dial, large, &tally).await) });
    }
    tasks.join_all().await;
}

async fn one(dial: &Dial, large: bool, tally: &Arc<Tally>) -> io::Result<()> {
    let stream = dial.open().await?;
    let handshake = h2::client::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .handshake::<_, Bytes>(stream);
    let (client, connection) = handshake.await.map_err(io::Error::other)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { connection.await.map_err(io::Error::other) });
    for _ in 0..if large { LARGE_STREAMS } else { SMALL_STREAMS } {
        let (mut client, tally) = (client.clone(), Arc::clone(tally));
        tasks.spawn(async move {
            loop {
                client = ask(client, large).await.map_err(io::Error::other)?;
                tally.add(if large { LARGE as u64 } else { 1 });
            }
        });
    }
    // None of them ends by itself.
    tasks.join_next().await.unwrap().unwrap()
}

async fn ask(client: SendRequest<Bytes>, large: bool) -> Result<SendRequest<Bytes>, h2::Error> {
    let path = if large { "/large" } else { "/small" };
    let request = Request::get(format!("https://{NAME}{path}")).body(()).unwrap();
    let mut client = client.ready().await?;
    let (answer, _) = client.send_request(request, true)?;
    let answer = answer.await?;
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    let mut seen = 0;
    while let Some(data) = body.data().await {
        let data = data?;
        seen += data.len();
        body.flow_control().release_capacity(data.len())?;
    }
    assert_eq!(seen, if large { LARGE } else { SMALL });
    Ok(client)
}
