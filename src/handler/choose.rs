use std::borrow::Cow;
use std::sync::Arc;

use http::Method;

use super::route::Route;
use super::site::Site;
use crate::connection::Refusal;
use crate::head::Request;
use crate::http::Host;
use crate::name::normalize_path;
use crate::outcome::{Cause, Outcome, Party, Phase};
use crate::route::{ConnectionFacts, RequestFacts, RouteId};
use crate::tls::{Certificate, PolicyId};

/// How many routes are asked at most whether they would admit a client, before it is left to each request.
const CANDIDATES_ASKED_MAX: usize = 64;

/// What a TLS connection was made with, as far as its requests are judged by it.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The certificate that the client was shown.
    pub certificate: &'a Certificate,
    /// The settings that it was accepted under.
    pub policy: &'a PolicyId,
}

/// Whether any of the routes that the requests of an HTTP connection may take would admit its client; if not, why the
/// leading one does not.
///
/// Which one they take is known at each request only, and asked again there; but nobody whom they all refuse gets as far as
/// a TLS handshake or a request.
///
/// # Errors
/// The leading route's refusal.
pub fn admits_any(site: &Site, leading: RouteId, facts: &ConnectionFacts<'_>) -> Result<(), Refusal> {
    let client = facts.client;
    let refusal = |id| match site.route(id) {
        Some(route) => route.admission.has_room(client),
        // The table's own numbers are those of the site's routes.
        None => Err(Refusal::Blocked),
    };
    let mut candidates = site.table.candidates(facts);
    let all_refuse = candidates.by_ref().take(CANDIDATES_ASKED_MAX).all(|id| refusal(id).is_err());
    // Those beyond them were not asked, and may admit it.
    if all_refuse && candidates.next().is_none() { refusal(leading) } else { Ok(()) }
}

/// The route of one request; `terms` are those of the TLS that it is inside of, if any.
///
/// # Errors
/// How the request ends instead.
pub fn choose<'a, B>(
    site: &'a Site,
    facts: &ConnectionFacts<'_>,
    terms: Option<Terms<'_>>,
    host: &Host,
    request: &Request<B>,
) -> Result<&'a Arc<Route>, Outcome> {
    let refused = |party, cause| Outcome::new(Phase::Route, party, cause);
    let path = match request.uri().path() {
        // `OPTIONS *` asks of the server, not of a path (RFC 9110 section 9.3.7): an empty one meets no pattern.
        // Nor does `CONNECT` ask of one.
        "*" | "" => Cow::Borrowed(""),
        path => normalize_path(path).map_err(|_fault| refused(Party::Client, Cause::RequestMalformed))?,
    };
    let request_facts =
        RequestFacts { host: host.name(), path: &path, method: request.method(), headers: request.headers() };
    // `CONNECT` names where its tunnel is to lead, and not who is asked (RFC 9110 section 9.3.6).
    if let Some(terms) = &terms
        && request.method() != Method::CONNECT
        && !covers(terms.certificate, host)
    {
        return Err(refused(Party::Client, Cause::Misdirected));
    }
    let id = site.table.request(facts, &request_facts).ok_or(refused(Party::Proxy, Cause::NoRoute))?;
    let route = site.route(id).ok_or(refused(Party::Proxy, Cause::NoRoute))?;
    match (&terms, &route.tls) {
        // The connection may lack what the route asks of its clients: a certificate, a version.
        (Some(terms), Some(policy)) if *terms.policy != *policy.id() => Err(refused(Party::Client, Cause::Misdirected)),
        (Some(_), Some(_)) | (None, None) => Ok(route),
        (Some(_), None) | (None, Some(_)) => Err(refused(Party::Proxy, Cause::NoRoute)),
    }
}

/// Whether the certificate that the client was shown is one for the host that it asks.
fn covers(certificate: &Certificate, host: &Host) -> bool {
    match (host.name(), host.as_str()) {
        (Some(name), _) => certificate.covers(name),
        (None, Some(address)) => {
            let bare = address.trim_start_matches('[').trim_end_matches(']');
            bare.parse().is_ok_and(|address| certificate.covers_address(address))
        }
        // HTTP/1.0 without a host asks for none in particular.
        (None, None) => true,
    }
}
