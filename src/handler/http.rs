use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::{Request, Response};

use super::entry::enter;
use super::route::{Action, Forward, Route};
use super::site::Site;
use crate::connection::{Connection, Registry, State};
use crate::http::{Body, Exchange, Forwarding, Host, Incoming, Pool, Scheme, Version, answer, forward, serve};
use crate::name::normalize_path;
use crate::net::Transport;
use crate::outcome::{Cause, Outcome, Party, Phase};
use crate::route::{ConnectionFacts, RequestFacts, TlsFacts};
use crate::sniff::ClientHello;
use crate::tls::ClientSession;
use crate::upstream::Plan;

/// What the requests of one connection are routed by.
#[derive(Clone, Debug)]
pub struct Requests {
    /// What is served at the connection's address now, which a reload may have changed since it began.
    pub current: CurrentSite,
    /// What was served there when it began; holds on when the address has been taken away.
    pub first: Arc<Site>,
    /// The TLS that ended here, if any.
    pub inside: Option<Inside>,
    /// Idle connections to targets.
    pub pool: Arc<Pool>,
    /// Where requests are counted.
    pub registry: Arc<Registry>,
}

/// Asks for what is served at an address now.
#[derive(Clone)]
pub struct CurrentSite(pub Arc<dyn Fn() -> Option<Arc<Site>> + Send + Sync>);

impl fmt::Debug for CurrentSite {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CurrentSite")
    }
}

/// TLS that ended here, and requests are inside of.
#[derive(Clone, Debug)]
pub struct Inside {
    /// What the client offered.
    pub hello: Arc<ClientHello>,
    /// What was agreed on.
    pub session: Arc<ClientSession>,
}

/// Serves the HTTP requests of a plain or decrypted stream; each is routed by itself. `leading` gives the connection's own
/// limits and timeouts.
pub async fn http<S: Transport + 'static>(
    stream: S,
    version: Version,
    leading: &Route,
    requests: Requests,
    connection: &Arc<Connection>,
) -> Outcome {
    connection.enter(State::Serving);
    connection.set_protocol(match version {
        Version::Http1 => "http/1.1",
        Version::Http2 => "h2",
    });
    let registry = Arc::clone(&requests.registry);
    let requests = Arc::new(requests);
    let service = move |request: Request<Incoming>, exchange: Exchange| {
        let requests = Arc::clone(&requests);
        async move { requests.answer(request, exchange).await }
    };
    serve(stream, version, &leading.http.connection, &registry, connection, service).await
}

impl Requests {
    async fn answer(&self, request: Request<Incoming>, mut exchange: Exchange) -> Response<Body> {
        let site = (self.current.0)().unwrap_or_else(|| Arc::clone(&self.first));
        let route = match self.route(&site, &request, &exchange) {
            Ok(route) => Arc::clone(route),
            Err(outcome) => return answer::failure(outcome, exchange),
        };
        exchange.set_route(&route.meter);
        if let Err(refusal) = enter(&route, exchange.connection()) {
            return answer::failure(refusal.outcome(), exchange);
        }
        match &route.action {
            Action::Forward(way) => self.forward(request, exchange, &route, way).await,
            Action::Redirect(redirect) => redirect.answer(request.uri(), exchange),
            Action::Respond(respond) => respond.answer(exchange),
        }
    }

    /// The route of one request.
    fn route<'a, B>(
        &self,
        site: &'a Site,
        request: &Request<B>,
        exchange: &Exchange,
    ) -> Result<&'a Arc<Route>, Outcome> {
        let refused = |party, cause| Outcome::new(Phase::Route, party, cause);
        let connection = exchange.connection();
        let host = exchange.host();
        let tls = self.inside.as_ref().map(|inside| TlsFacts {
            server_name: inside.hello.server_name.as_ref(),
            alpn: &inside.hello.alpn,
            versions: inside.hello.tls_versions,
        });
        let facts = ConnectionFacts { client: connection.client().ip(), tls, speaks_http: true };
        let path = match request.uri().path() {
            // `OPTIONS *` asks of the server, not of a path (RFC 9110 section 9.3.7): an empty one meets no pattern.
            "*" => Cow::Borrowed(""),
            path => normalize_path(path).map_err(|_fault| refused(Party::Client, Cause::RequestMalformed))?,
        };
        let request_facts =
            RequestFacts { host: host.name(), path: &path, method: request.method(), headers: request.headers() };
        if let Some(inside) = &self.inside
            && !covers(inside, host)
        {
            return Err(refused(Party::Client, Cause::Misdirected));
        }
        let id = site.table.request(&facts, &request_facts).ok_or(refused(Party::Proxy, Cause::NoRoute))?;
        let route = site.route(id).ok_or(refused(Party::Proxy, Cause::NoRoute))?;
        match (&self.inside, &route.tls) {
            // The connection may lack what the route asks of its clients: a certificate, a version.
            (Some(inside), Some(policy)) if inside.session.policy != *policy.id() => {
                Err(refused(Party::Client, Cause::Misdirected))
            }
            (Some(_), Some(_)) | (None, None) => Ok(route),
            (Some(_), None) | (None, Some(_)) => Err(refused(Party::Proxy, Cause::NoRoute)),
        }
    }

    async fn forward(
        &self,
        request: Request<Incoming>,
        exchange: Exchange,
        route: &Route,
        way: &Forward,
    ) -> Response<Body> {
        let connection = Arc::clone(exchange.connection());
        let plan = Plan {
            targets: &way.targets,
            client: connection.client(),
            listener: connection.listener(),
            tls: way.tls.as_deref(),
            proxy_header: way.proxy_header,
            timeouts: &way.timeouts,
            meter: &route.meter,
            connection: &connection,
        };
        let forwarding = Forwarding {
            plan,
            protocol: way.protocol,
            policy: way.pool_class.0,
            pool: &self.pool,
            timeouts: &route.http.timeouts,
            forwarded: &route.http.forwarded,
            scheme: if self.inside.is_some() { Scheme::Https } else { Scheme::Http },
            preserve_host: way.preserve_host,
            request_headers: &route.http.headers.request,
            response_headers: &route.http.headers.response,
            max_request_body: route.http.max_request_body,
        };
        forward(request, exchange, forwarding).await
    }
}

/// Whether the certificate that the client was shown is one for the host that it asks.
fn covers(inside: &Inside, host: &Host) -> bool {
    let certificate = &inside.session.certificate;
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
