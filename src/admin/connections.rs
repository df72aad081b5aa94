use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame};
use serde::Serialize;

use super::answer::{Answer, json, json_of, text};
use super::wanted::Wanted;
use crate::connection::{Connection, ConnectionId, Registry, SHARDS, Snapshot};
use crate::drain::Order;
use crate::server::Control;
use crate::telemetry::NO_ROUTE;

/// How many rows are written at once; the next ones are when the reader has taken these.
const ROWS_AT_ONCE: usize = 256;

/// A row's length, by a wide measure: most have no host.
const ROW_LENGTH: usize = 512;

/// The live connections that somebody has asked for, in order.
#[derive(Debug)]
pub struct Listing {
    /// How many there are, of which these may be the first.
    matched: usize,
    rows: Vec<Snapshot>,
}

/// A filter by a route that is not there.
#[derive(Serialize)]
pub(super) struct UnknownRoute {
    error: String,
    routes: Vec<String>,
}

/// What a kill has come to.
#[derive(Serialize)]
struct Killed<'a> {
    killed: usize,
    dry_run: bool,
    /// Their numbers.
    connections: Vec<u64>,
    /// Those that were named and do not live, or are not what else was asked for.
    not_found: Vec<&'a u64>,
}

/// The live connections that the query names.
pub(super) async fn list(control: &Control, query: &str) -> Answer {
    let wanted = match Wanted::parse(query) {
        Ok(wanted) => wanted,
        Err(problem) => return text(StatusCode::BAD_REQUEST, problem + "\n"),
    };
    match lacking(wanted.route.as_deref(), control) {
        Some(unknown) => json(StatusCode::BAD_REQUEST, &unknown),
        None => json_of(Listing::of(control.registry(), &wanted).await.into_body()),
    }
}

/// Ends the live connections that the query names. It has to name some: all of them is what a drain is for.
pub(super) async fn kill(control: &Control, query: &str) -> Answer {
    let wanted = match Wanted::parse(query) {
        Ok(wanted) => wanted,
        Err(problem) => return text(StatusCode::BAD_REQUEST, problem + "\n"),
    };
    if wanted.is_any() {
        return text(StatusCode::BAD_REQUEST, "say which connections, by id or by another filter\n");
    }
    if let Some(unknown) = lacking(wanted.route.as_deref(), control) {
        return json(StatusCode::BAD_REQUEST, &unknown);
    }
    let mut killed = Vec::new();
    for connection in candidates(control.registry(), &wanted).await {
        if wanted.takes(&connection.snapshot()) {
            if !wanted.dry_run {
                connection.order(Order::Kill);
            }
            killed.push(connection.id().0);
        }
    }
    killed.sort_unstable();
    if !wanted.dry_run {
        tracing::info!(killed = killed.len(), "an operator has ended connections");
    }
    let not_found = wanted.ids.iter().filter(|id| killed.binary_search(id).is_err()).collect();
    json(StatusCode::OK, &Killed { killed: killed.len(), dry_run: wanted.dry_run, connections: killed, not_found })
}

/// Ends one live connection.
pub(super) fn kill_one(control: &Control, id: &str) -> Answer {
    match id.parse().ok().and_then(|id| control.registry().find(ConnectionId(id))) {
        Some(connection) => {
            connection.order(Order::Kill);
            text(StatusCode::OK, "killed\n")
        }
        None => text(StatusCode::NOT_FOUND, "no live connection has that number\n"),
    }
}

/// Says which routes there are, if the wanted one is none of them. One that a reload has removed may still have connections.
pub(super) fn lacking(route: Option<&str>, control: &Control) -> Option<UnknownRoute> {
    let route = route?;
    let generation = control.current().load();
    let names = || generation.routes.iter().map(|route| route.meter.name());
    let lives = || control.registry().connections().iter().any(|connection| &*connection.route_name() == route);
    let known = route == NO_ROUTE || names().any(|name| &**name == route) || lives();
    let error = || "the daemon has no such route".into();
    (!known).then(|| UnknownRoute { error: error(), routes: names().map(ToString::to_string).collect() })
}

/// Those that may be wanted.
async fn candidates(registry: &Registry, wanted: &Wanted) -> Vec<Arc<Connection>> {
    if !wanted.ids.is_empty() {
        return wanted.ids.iter().filter_map(|id| registry.find(ConnectionId(*id))).collect();
    }
    let mut all = Vec::with_capacity(registry.live());
    for shard in 0..SHARDS {
        all.extend(registry.connections_in(shard));
        tokio::task::yield_now().await;
    }
    all
}

impl Listing {
    /// Looks at the live connections, a shard at a time: whoever opens or ends one waits for no more than a copy of the
    /// shard's handles, and the control plane's other work goes on in between.
    pub async fn of(registry: &Registry, wanted: &Wanted) -> Self {
        let mut rows = Vec::new();
        let candidates = candidates(registry, wanted).await;
        for some in candidates.chunks(candidates.len().div_ceil(SHARDS).max(1)) {
            rows.extend(some.iter().map(|connection| connection.snapshot()).filter(|row| wanted.takes(row)));
            tokio::task::yield_now().await;
        }
        wanted.order(&mut rows);
        let matched = rows.len();
        rows.truncate(wanted.limit.unwrap_or(matched));
        Self { matched, rows }
    }

    /// The answer, which is written as it is read.
    #[must_use]
    pub fn into_body(self) -> impl Body<Data = Bytes, Error = Infallible> + Send + 'static {
        let head = format!("{{\"matched\":{},\"connections\":[", self.matched);
        Rows { head: Some(head), rows: Some(self.rows.into_iter()) }
    }
}

/// The text of a [`Listing`], a few rows at a time.
struct Rows {
    /// What comes before the first row.
    head: Option<String>,
    /// None when the end has been written.
    rows: Option<std::vec::IntoIter<Snapshot>>,
}

impl Body for Rows {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let Some(rows) = &mut this.rows else { return Poll::Ready(None) };
        let mut piece = Vec::with_capacity(ROW_LENGTH * ROWS_AT_ONCE.min(rows.len() + 1));
        let mut first = false;
        if let Some(head) = this.head.take() {
            piece.extend_from_slice(head.as_bytes());
            first = true;
        }
        for row in rows.by_ref().take(ROWS_AT_ONCE) {
            if !std::mem::take(&mut first) {
                piece.push(b',');
            }
            // Writing numbers and texts into memory cannot fail.
            let _ = serde_json::to_writer(&mut piece, &row);
        }
        if rows.len() == 0 {
            piece.extend_from_slice(b"]}");
            this.rows = None;
        }
        Poll::Ready(Some(Ok(Frame::data(piece.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.rows.is_none()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::connection::{ConnectionGuard, Gate};
    use crate::net::{ClientAddress, ListenAddress};
    use crate::telemetry::{AccessLog, Meters};

    #[tokio::test]
    async fn every_row_is_written_whatever_their_number() {
        let registry = Arc::new(Registry::new(Arc::new(Meters::new()), AccessLog::off()));
        let gate = Arc::new(Gate::new(2_000));
        let listener = ListenAddress::new("127.0.0.1:443".parse().unwrap());
        let client = ClientAddress::new("127.0.0.1:50000".parse().unwrap());
        let mut guards = Vec::new();
        for number in [0, 1, ROWS_AT_ONCE - 1, ROWS_AT_ONCE, ROWS_AT_ONCE + 1, 2 * ROWS_AT_ONCE] {
            while guards.len() < number {
                guards.push(ConnectionGuard::open(&registry, gate.enter().await, listener, client));
            }
            for (query, shown) in [("", number), ("limit=7", number.min(7)), ("limit=0", 0)] {
                let listing = Listing::of(&registry, &Wanted::parse(query).unwrap()).await;
                let body = listing.into_body().collect().await.unwrap().to_bytes();
                let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
                let rows = value["connections"].as_array().unwrap();
                assert_eq!((rows.len(), value["matched"].as_u64()), (shown, Some(number as u64)), "{query}");
                assert!(rows.iter().map(|row| row["id"].as_u64().unwrap()).is_sorted());
            }
        }
    }
}
