use std::sync::Arc;
use std::time::Duration;

use http::header::EXPECT;
use http::{StatusCode, Version};

use super::body::Body;
use super::calling::Calling;
use super::edits::HeaderEdits;
use super::exchange::Exchange;
use super::facts::TlsNames;
use super::incoming::Incoming;
use super::pool::Pool;
use super::rate::MinRate;
use super::request::Refusal;
use super::request_body::RequestBody;
use super::send::{Failed, send};
use super::tunnel::Tunnel;
use super::two::StreamTunnel;
use super::via::Via;
use super::websocket::{Extended, Handshake};
use super::{answer, hop, request, response};
use crate::head::{Headers, Request, Response, ResponseParts};
use crate::name::PathRewrite;
use crate::net::AddressSet;
use crate::outcome::{Cause, Outcome, Party, Phase};
use crate::relay;
use crate::upstream::Plan;

/// How long a forwarded request waits. All measure time without progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the request's last byte to the head of the answer.
    pub response_head: Duration,
    /// A body, either way.
    pub body: Duration,
    /// An upgraded connection without a byte in either direction.
    pub tunnel: Duration,
    /// One of which one side has finished, and the other moves no byte.
    pub half_closed: Duration,
    /// Our last bytes reaching a peer that has stopped reading.
    pub linger: Duration,
    /// A pooled connection to a target.
    pub upstream_keep_alive: Duration,
}

/// Who is believed about the client before it.
#[derive(Clone, Debug, Default)]
pub struct ForwardedPolicy {
    /// Peers whose `X-Forwarded-*`, `Forwarded` and `X-Request-Id` are kept.
    pub trusted: AddressSet,
    /// How we are named in `Via`; `None` is not at all.
    pub via: Option<Via>,
}

/// What the client's side of the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain.
    Http,
    /// TLS.
    Https,
}

/// What is spoken with targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, agreed on inside TLS or known to be spoken without it.
    Http2,
    /// HTTP/2 if the target agrees to it inside TLS, or else HTTP/1.1.
    Agreed,
}

/// How a request is forwarded.
#[derive(Clone, Copy, Debug)]
pub struct Forwarding<'a> {
    /// The targets, and how to connect to them.
    pub plan: Plan<'a>,
    /// What is spoken with them.
    pub protocol: TargetProtocol,
    /// What tells connections apart that may not be mixed, beside the target: the same number, the same TLS policy
    /// towards the target. It must not be used again for another policy while the process lives.
    pub policy: u64,
    /// The worker's connections to targets.
    pub pool: &'a Arc<Pool>,
    /// How long it waits.
    pub timeouts: &'a Timeouts,
    /// Who is believed.
    pub forwarded: &'a ForwardedPolicy,
    /// What the client came by.
    pub scheme: Scheme,
    /// What TLS with the client has come to.
    pub tls: TlsNames<'a>,
    /// How the path is changed.
    pub rewrite: Option<&'a PathRewrite>,
    /// Whether the target gets the client's Host, rather than its own name.
    pub preserve_host: bool,
    /// What a server that was asked first says of the request.
    pub vouched: &'a Headers,
    /// What is changed in the request's head.
    pub request_headers: &'a HeaderEdits,
    /// What is changed in the answer's head.
    pub response_headers: &'a HeaderEdits,
    /// The longest request body in bytes; `None` is no limit.
    pub max_request_body: Option<u64>,
    /// What a client has to send of a request's body on average; `None` is anything.
    pub min_rate: Option<MinRate>,
}

/// Sends a request to a target and gives its answer, streaming both ways.
///
/// Never fails: what fails becomes an answer that says so, and the exchange's outcome. A request that met a pooled
/// connection which the target had given up is sent once more on a new one, if nothing of it was sent, or if it is
/// idempotent, without a body, and nothing came back.
///
/// # Cancel safety
/// Dropping the future ends the exchange and the target's connection.
pub async fn forward(
    request: Request<Incoming>,
    mut exchange: Exchange,
    forwarding: &Forwarding<'_>,
) -> Response<Body> {
    let (mut parts, mut incoming) = request.into_parts();
    incoming.forbid_trailers(forwarding.request_headers.naming_user());
    let handshake = Handshake::begin(&mut parts);
    let empty = http_body::Body::is_end_stream(&incoming);
    let connect = handshake.is_connect();
    // Behind a body there is no telling where the tunnel would begin, if the target answers before its end.
    let may_upgrade = empty && !connect && parts.version == Version::HTTP_11;
    let upgrade = if may_upgrade { hop::upgrade(&parts.headers) } else { None };
    let upgrades = upgrade.is_some();
    let prepared = if connect && !empty {
        Err(Refusal::ConnectBody)
    } else {
        request::prepare(&mut parts, upgrade, &mut exchange, forwarding)
    };
    if let Err(refusal) = prepared {
        tracing::debug!(%refusal, "a request is refused");
        exchange.set_error(&refusal.to_string());
        let (party, cause) = match refusal {
            Refusal::TooLarge => (Party::Client, Cause::RequestBodyTooLarge),
            Refusal::Looped => (Party::Client, Cause::Looped),
            Refusal::Length | Refusal::Path(_) | Refusal::ConnectBody => (Party::Client, Cause::RequestMalformed),
        };
        return answer::failure(serving(party, cause), exchange);
    }
    if empty {
        parts.headers.remove(EXPECT);
        request::say_empty(&mut parts);
    }
    let body = RequestBody::new(incoming, exchange.progress(), forwarding.timeouts.body, forwarding.max_request_body)
        .with_least(forwarding.min_rate);
    match send(Request::from_parts(parts, Box::new(body)), &mut exchange, forwarding).await {
        Ok((parts, calling)) => answered(parts, calling, (upgrades, handshake), exchange, forwarding),
        Err(failed) => failure(failed, exchange),
    }
}

/// Hands a target's answer on; with whether an upgrade was asked for, and how.
fn answered(
    mut parts: ResponseParts,
    calling: Calling,
    (upgrade, handshake): (bool, Handshake),
    mut exchange: Exchange,
    forwarding: &Forwarding<'_>,
) -> Response<Body> {
    exchange.set_first_byte(calling.target());
    if let Err(refused) = response::prepare(&mut parts, upgrade && calling.can_switch(), &exchange, forwarding) {
        tracing::debug!(%refused, target = %calling.target().label(), "a target's answer is refused");
        exchange.set_error(&refused.to_string());
        return failure(Failed::of(Party::Target, Cause::ResponseMalformed), exchange);
    }
    exchange.set_status(parts.status);
    let opens = calling.is_extended() || handshake.is_connect();
    let extended = if opens && parts.status.is_success() {
        handshake.connected(&mut parts)
    } else if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        match handshake.switched(&mut parts) {
            Ok(extended) => extended,
            Err(wrong) => {
                exchange.set_error(&wrong.to_string());
                return failure(Failed::of(Party::Target, Cause::ResponseMalformed), exchange);
            }
        }
    } else {
        // The reason phrase goes with the head's extensions, as the target's.
        let body = Body::streamed(calling, forwarding.timeouts.body, exchange);
        return Response::from_parts(parts, body);
    };
    exchange.set_status(parts.status);
    let Some(far) = calling.into_far(exchange.connection().id()) else {
        return failure(Failed::of(Party::Target, Cause::ResponseMalformed), exchange);
    };
    match extended {
        Some(Extended(ties)) => {
            ties.set_tunnel(StreamTunnel { far, limits: tunnel_limits(forwarding.timeouts), exchange });
        }
        None => {
            let activity = Arc::clone(exchange.activity());
            activity.set_tunnel(Tunnel { far, limits: tunnel_limits(forwarding.timeouts), exchange });
        }
    }
    Response::from_parts(parts, Body::upgraded())
}

/// What the client gets of a request that has failed.
fn failure(failed: Failed, exchange: Exchange) -> Response<Body> {
    match exchange.progress().fault() {
        // The client's body was at fault, whatever the target made of it.
        Some(outcome) if outcome.cause == Cause::BodyTimeout => {
            answer::failure_with(StatusCode::REQUEST_TIMEOUT, outcome, exchange)
        }
        Some(outcome) => answer::failure(outcome, exchange),
        None => answer::failure(failed.outcome, exchange),
    }
}

fn tunnel_limits(timeouts: &Timeouts) -> relay::Limits {
    let Timeouts { tunnel, half_closed, linger, .. } = *timeouts;
    // The lifetime is the connection's, and set by the one who serves it.
    relay::Limits { idle: tunnel, half_closed, linger, max_lifetime: None }
}

const fn serving(party: Party, cause: Cause) -> Outcome {
    Outcome::new(Phase::Serve, party, cause)
}
