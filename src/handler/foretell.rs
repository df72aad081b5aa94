use std::sync::Arc;

use http::{StatusCode, Uri};

use super::choose::{Terms, admits_any, choose};
use super::route::{Action, Route};
use super::site::Site;
use crate::connection::Refusal;
use crate::head::Request;
use crate::http::{Host, answer, foretell_target};
use crate::outcome::{Cause, Outcome, Party, Phase};
use crate::route::{ConnectionFacts, Decision, Protocol, RouteId};
use crate::tls::ServerPolicy;

/// A client that would not be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnedDown {
    /// How its connection or request would end.
    pub outcome: Outcome,
    /// What it would get.
    pub gets: Gets,
}

/// What a client gets that is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gets {
    /// An HTTP answer.
    Status(StatusCode),
    /// The TLS alert `unrecognized_name`.
    UnknownName,
    /// Nothing: the connection is closed.
    Close,
}

/// Tells what would become of a connection, and of a request on it, at an address where nothing else is going on: the route
/// that serves it. What the daemon decides by, this decides by; only the order of the steps is told again.
///
/// # Errors
/// How the client would be turned down.
pub fn foretell<'a>(
    site: &'a Site,
    facts: &ConnectionFacts<'_>,
    request: Option<&Request<()>>,
) -> Result<&'a Arc<Route>, TurnedDown> {
    let server_name = facts.tls.and_then(|tls| tls.server_name);
    match site.table.connection(facts) {
        Decision::Passthrough(id) | Decision::Plain { leading: id, protocol: Protocol::Tcp } => {
            admitted(site, id, facts)
        }
        Decision::Terminate { leading, protocol: Protocol::Tcp } => {
            let route = admitted(site, leading, facts)?;
            terms(route, server_name)?;
            Ok(route)
        }
        Decision::Terminate { leading, protocol: Protocol::Http } => {
            admits_any(site, leading, facts).map_err(|refusal| TurnedDown::new(refusal.outcome(), Gets::Close))?;
            let route = route_of(site, leading)?;
            let terms = terms(route, server_name)?;
            request.map_or(Ok(route), |request| requested(site, facts, Some(terms), request))
        }
        Decision::Plain { leading, protocol: Protocol::Http } => {
            admits_any(site, leading, facts).map_err(|refusal| TurnedDown::answered(refusal.outcome()))?;
            request.map_or(route_of(site, leading), |request| requested(site, facts, None, request))
        }
        Decision::NoRoute => Err(match (facts.tls, request) {
            (Some(_), _) => TurnedDown::new(NO_ROUTE, Gets::UnknownName),
            (None, Some(_)) if site.table.is_tls_only() => TurnedDown::answered(TLS_EXPECTED),
            (None, Some(_)) => TurnedDown::answered(NO_ROUTE),
            (None, None) => TurnedDown::new(NO_ROUTE, Gets::Close),
        }),
    }
}

const NO_ROUTE: Outcome = Outcome::new(Phase::Route, Party::Proxy, Cause::NoRoute);

const MALFORMED: Outcome = Outcome::new(Phase::Route, Party::Client, Cause::RequestMalformed);

const UNREWRITABLE: Outcome = Outcome::new(Phase::Serve, Party::Client, Cause::RequestMalformed);

const TLS_EXPECTED: Outcome = Outcome::new(Phase::Route, Party::Client, Cause::TlsExpected);

impl TurnedDown {
    const fn new(outcome: Outcome, gets: Gets) -> Self {
        Self { outcome, gets }
    }

    /// With the status that belongs to the cause.
    const fn answered(outcome: Outcome) -> Self {
        Self::new(outcome, Gets::Status(answer::status_of(outcome.cause)))
    }
}

fn route_of(site: &Site, id: RouteId) -> Result<&Arc<Route>, TurnedDown> {
    // The table's own numbers are those of the site's routes.
    site.route(id).ok_or(TurnedDown::new(NO_ROUTE, Gets::Close))
}

fn admitted<'a>(site: &'a Site, id: RouteId, facts: &ConnectionFacts<'_>) -> Result<&'a Arc<Route>, TurnedDown> {
    let route = route_of(site, id)?;
    let refused = |refusal: Refusal| TurnedDown::new(refusal.outcome(), Gets::Close);
    route.admission.admit(facts.client).map(drop).map_err(refused)?;
    Ok(route)
}

/// What a handshake under the route's settings would be made with.
fn terms<'a>(route: &'a Route, server_name: Option<&crate::name::HostName>) -> Result<Terms<'a>, TurnedDown> {
    let policy: Option<&ServerPolicy> = route.tls.as_deref();
    let found =
        policy.and_then(|policy| Some(Terms { certificate: policy.certificate(server_name)?, policy: policy.id() }));
    let outcome = Outcome::new(Phase::Handshake, Party::Proxy, Cause::NoCertificate);
    found.ok_or(TurnedDown::new(outcome, Gets::UnknownName))
}

fn requested<'a>(
    site: &'a Site,
    facts: &ConnectionFacts<'_>,
    terms: Option<Terms<'_>>,
    request: &Request<()>,
) -> Result<&'a Arc<Route>, TurnedDown> {
    let host = Host::of(request).map_err(|_invalid| TurnedDown::answered(MALFORMED))?;
    let route = choose(site, facts, terms, &host, request).map_err(TurnedDown::answered)?;
    let refused = |refusal: Refusal| TurnedDown::answered(refusal.outcome());
    route.admission.admit(facts.client).map(drop).map_err(refused)?;
    Ok(route)
}

/// What the target would get in place of the request's path and query, where the route rewrites them.
///
/// # Errors
/// How the request would be turned down, if its path is not written so that it can be rewritten.
pub fn foretell_path(route: &Route, request: &Request<()>) -> Result<Option<Uri>, TurnedDown> {
    let rewrite = match &route.action {
        Action::Forward(forward) => forward.rewrite.as_ref(),
        Action::Redirect(_) | Action::Respond(_) => None,
    };
    let Some(rewrite) = rewrite else { return Ok(None) };
    let host = Host::of(request).map_err(|_invalid| TurnedDown::answered(MALFORMED))?;
    let path = foretell_target(request, &host, route.meter.name(), rewrite);
    path.map_err(|_unrewritable| TurnedDown::answered(UNREWRITABLE))
}
