use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::learn::learn;
use super::worker::Worker;
use crate::connection::{Connection, ConnectionGuard, Refusal, State, TlsLabel};
use crate::handler::{self, CurrentSite, Inside, Requests, Route, Site, TurnedAway};
use crate::http::Version;
use crate::net::Prefixed;
use crate::outcome::{Cause, Outcome, Party, Phase};
use crate::route::{ConnectionFacts, Decision, Protocol, RouteId, TlsFacts};
use crate::sniff::{ClientHello, Opening};
use crate::telemetry::Speaker;
use crate::tls::ClientTls;

/// Serves one accepted client from its first byte to its last. Never fails: every ending is recorded.
pub(super) async fn serve(worker: Arc<Worker>, site: Arc<Site>, stream: TcpStream, guard: ConnectionGuard) {
    let speaker = Speaker::of(guard.connection().id().0);
    let outcome = {
        let mut story = pin!(story(&worker, &site, stream, guard.connection()));
        poll_fn(|context| speaker.during(|| story.as_mut().poll(context))).await
    };
    guard.close(outcome);
}

/// The story of one connection. Each stage takes the stream and gives it back with what it has learned.
///
/// A task has room for the largest of its stages as long as it lives, and is copied several times as it is started and ends: TLS
/// and HTTP, each larger than all of a relay, are on the heap.
async fn story(worker: &Arc<Worker>, site: &Arc<Site>, stream: TcpStream, connection: &Arc<Connection>) -> Outcome {
    let learned = tokio::select! {
        biased;
        learned = learn(site, stream, connection) => learned,
        order = connection.leash().end() => Err(handler::ended(connection.phase(), order)),
    };
    let (opening, stream) = match learned {
        Ok(learned) => learned,
        Err(outcome) => return outcome,
    };
    connection.enter(State::Routing);
    match opening {
        Opening::Tls(hello) => encrypted(worker, site, stream, hello, connection).await,
        opening @ (Opening::Http1 | Opening::Http2 | Opening::Other) => {
            plain(worker, site, stream, opening, connection).await
        }
    }
}

/// A connection that begins with a ClientHello.
async fn encrypted(
    worker: &Arc<Worker>,
    site: &Arc<Site>,
    stream: Prefixed<TcpStream>,
    hello: ClientHello,
    connection: &Arc<Connection>,
) -> Outcome {
    connection.set_protocol("tls");
    if let Some(name) = &hello.server_name {
        connection.set_host(name.as_str());
    }
    if let Some(best) = hello.tls_versions.iter().max() {
        connection.set_tls(TlsLabel { version: best.as_str(), group: None });
    }
    let server_name = hello.server_name.as_ref();
    let facts = TlsFacts { server_name, alpn: &hello.alpn, versions: hello.tls_versions };
    let facts = ConnectionFacts { client: connection.client().ip(), tls: Some(facts), speaks_http: false };
    match site.table.connection(&facts) {
        Decision::Passthrough(id) => match admitted(site, id, connection) {
            Ok(route) => handler::passthrough(stream, route, connection).await,
            Err(outcome) => outcome,
        },
        Decision::Terminate { leading, protocol } => {
            let route = match protocol {
                Protocol::Tcp => admitted(site, leading, connection),
                Protocol::Http => let_in(site, leading, &facts, connection).map_err(Refusal::outcome),
            };
            let route = match route {
                Ok(route) => route,
                Err(outcome) => return outcome,
            };
            match Box::pin(handler::terminate(stream, server_name, route, connection)).await {
                Ok(stream) => Box::pin(decrypted(worker, site, stream, route, protocol, hello, connection)).await,
                Err(outcome) => outcome,
            }
        }
        // A plain route never takes a TLS connection.
        Decision::Plain { .. } | Decision::NoRoute => {
            let refusing = Box::pin(handler::refuse_unknown_name(stream, Instant::now() + site.linger));
            unless_ended(connection, refusing).await
        }
    }
}

/// What is inside of TLS that ended here.
async fn decrypted(
    worker: &Arc<Worker>,
    site: &Arc<Site>,
    stream: ClientTls<Prefixed<TcpStream>>,
    route: &Arc<Route>,
    protocol: Protocol,
    hello: ClientHello,
    connection: &Arc<Connection>,
) -> Outcome {
    match protocol {
        Protocol::Tcp => handler::tcp(stream, route, connection).await,
        Protocol::Http => {
            let session = Arc::clone(stream.session());
            let version = match session.agreed.alpn.as_deref() {
                Some(b"h2") => Version::Http2,
                Some(_) | None => Version::Http1,
            };
            let inside = Inside { hello: Arc::new(hello), session };
            Box::pin(handler::http(stream, version, route, requests(worker, site, Some(inside)), connection)).await
        }
    }
}

/// What the requests of a connection are routed by.
fn requests(worker: &Arc<Worker>, site: &Arc<Site>, inside: Option<Inside>) -> Requests {
    let (current, address) = (Arc::clone(worker.current()), site.address);
    Requests {
        current: CurrentSite(Arc::new(move || current.site(address))),
        first: Arc::clone(site),
        inside,
        pool: Arc::clone(worker.pool()),
        registry: Arc::clone(worker.registry()),
    }
}

/// A connection without TLS.
async fn plain(
    worker: &Arc<Worker>,
    site: &Arc<Site>,
    stream: Prefixed<TcpStream>,
    opening: Opening,
    connection: &Arc<Connection>,
) -> Outcome {
    let speaks_http = !matches!(opening, Opening::Other);
    let mut facts = ConnectionFacts { client: connection.client().ip(), tls: None, speaks_http };
    let mut decision = site.table.connection(&facts);
    if decision == Decision::NoRoute && !speaks_http {
        // Where only HTTP is served, bytes that are not HTTP get HTTP's answer to them: 400.
        facts.speaks_http = true;
        decision = site.table.connection(&facts);
    }
    match decision {
        Decision::Plain { leading, protocol: Protocol::Tcp } => match admitted(site, leading, connection) {
            Ok(route) => {
                connection.set_protocol("tcp");
                handler::tcp(stream, route, connection).await
            }
            Err(outcome) => outcome,
        },
        Decision::Plain { leading, protocol: Protocol::Http } => {
            let version = if opening == Opening::Http2 { Version::Http2 } else { Version::Http1 };
            match let_in(site, leading, &facts, connection) {
                Ok(route) => {
                    Box::pin(handler::http(stream, version, route, requests(worker, site, None), connection)).await
                }
                Err(refusal) => {
                    let why = TurnedAway::Refused(refusal);
                    unless_ended(
                        connection,
                        Box::pin(handler::turn_away(stream, version, why, site.linger, connection)),
                    )
                    .await
                }
            }
        }
        Decision::Passthrough(_) | Decision::Terminate { .. } | Decision::NoRoute => {
            let why = if site.table.is_tls_only() { TurnedAway::TlsExpected } else { TurnedAway::NoRoute };
            match opening {
                Opening::Http1 => {
                    unless_ended(
                        connection,
                        Box::pin(handler::turn_away(stream, Version::Http1, why, site.linger, connection)),
                    )
                    .await
                }
                Opening::Http2 if why == TurnedAway::TlsExpected => {
                    unless_ended(
                        connection,
                        Box::pin(handler::turn_away(stream, Version::Http2, why, site.linger, connection)),
                    )
                    .await
                }
                Opening::Http2 | Opening::Tls(_) | Opening::Other => {
                    Outcome::new(Phase::Route, Party::Proxy, Cause::NoRoute)
                }
            }
        }
    }
}

/// Tells a client why it is turned away, and lingers until it has heard, or until somebody ends the connection.
async fn unless_ended(connection: &Connection, telling: impl Future<Output = Outcome>) -> Outcome {
    tokio::select! {
        biased;
        outcome = telling => outcome,
        order = connection.leash().end() => handler::ended(connection.phase(), order),
    }
}

/// The route, once it has admitted the client.
fn admitted<'a>(site: &'a Site, id: RouteId, connection: &Connection) -> Result<&'a Arc<Route>, Outcome> {
    let route = site.route(id).ok_or(Outcome::new(Phase::Route, Party::Proxy, Cause::NoRoute))?;
    handler::enter(route, connection).map_err(Refusal::outcome)?;
    Ok(route)
}

/// The route that leads for a connection of HTTP requests, if any of the routes that its requests may take lets it in.
fn let_in<'a>(
    site: &'a Site,
    leading: RouteId,
    facts: &ConnectionFacts<'_>,
    connection: &Connection,
) -> Result<&'a Arc<Route>, Refusal> {
    // The table's own numbers are those of the site's routes.
    let route = site.route(leading).ok_or(Refusal::Blocked)?;
    if site.table.candidates(facts).all(|id| id == leading) {
        handler::enter(route, connection)?;
        return Ok(route);
    }
    handler::admits_any(site, leading, facts).inspect_err(|_refusal| connection.set_route(&route.meter))?;
    Ok(route)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a connection that is relayed has room for: its share of the 4 KiB that an idle one may take.
    const LARGEST: usize = 1792;

    fn size<F: Future>(_serve: impl FnOnce(Arc<Worker>, Arc<Site>, TcpStream, ConnectionGuard) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_task_of_a_connection_is_small() {
        let size = size(serve);
        assert!(size <= LARGEST, "{size} bytes");
    }
}
