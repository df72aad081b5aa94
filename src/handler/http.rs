use std::fmt;
use std::sync::Arc;

use http::header::STRICT_TRANSPORT_SECURITY;
use http::{Method, StatusCode};

use super::choose::{Terms, choose};
use super::entry::enter;
use super::inquiry::ForwardAuth;
use super::route::{Action, Forward, Route};
use super::site::Site;
use crate::connection::{Connection, Registry, State};
use crate::head::{Headers, Request, Response};
use crate::http::{
    Asking, Body, Exchange, Forwarding, Incoming, Pool, Scheme, TlsNames, Version, answer, ask, forward, serve,
};
use crate::net::Transport;
use crate::outcome::{Cause, Outcome};
use crate::route::{ConnectionFacts, TlsFacts};
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
        if exchange.is_first_for_host()
            && self.inside.as_ref().is_none_or(|inside| inside.hello.server_name.is_none())
            && let Some(host) = exchange.host().as_str()
        {
            exchange.connection().set_host(host);
        }
        let site = (self.current.0)().unwrap_or_else(|| Arc::clone(&self.first));
        let route = match self.route(&site, &request, &exchange) {
            Ok(route) => route,
            Err(outcome) => {
                exchange.set_errors(&site.errors);
                return match outcome.cause {
                    // We make no tunnels that no route asks for (RFC 9110 section 9.1).
                    Cause::NoRoute if *request.method() == Method::CONNECT => {
                        answer::failure_with(StatusCode::NOT_IMPLEMENTED, outcome, exchange)
                    }
                    _ => answer::failure(outcome, exchange),
                };
            }
        };
        exchange.set_route(&route.meter);
        exchange.set_errors(&route.http.errors);
        let mut response = self.routed(request, exchange, route).await;
        if let Some(hsts) = &route.http.hsts {
            response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
        response
    }

    async fn routed(&self, mut request: Request<Incoming>, mut exchange: Exchange, route: &Route) -> Response<Body> {
        if let Err(refusal) = enter(route, exchange.connection()) {
            return answer::failure(refusal.outcome(), exchange);
        }
        // What few requests go through is boxed: all would carry the room for it.
        if let Some(basic) = &route.http.basic_auth {
            exchange = match Box::pin(basic.admit(request.headers(), exchange)).await {
                Ok(exchange) => exchange,
                Err(response) => return response,
            };
        }
        let mut vouched = Headers::new();
        if let Some(asked) = &route.http.forward_auth {
            (exchange, vouched) = match Box::pin(self.ask(&mut request, exchange, route, asked)).await {
                Ok(vouched) => vouched,
                Err(response) => return response,
            };
        }
        match &route.action {
            Action::Forward(way) => self.forward(request, exchange, route, way, &vouched).await,
            Action::Redirect(redirect) => redirect.answer(exchange, self.tls_names(), &route.http.headers.response),
            Action::Respond(respond) => respond.answer(exchange, self.tls_names(), &route.http.headers.response),
        }
    }

    /// What TLS with the client has come to.
    fn tls_names(&self) -> TlsNames<'_> {
        self.inside.as_ref().map_or_else(TlsNames::default, |inside| TlsNames {
            version: Some(inside.session.agreed.version.as_str()),
            sni: inside.hello.server_name.as_ref(),
        })
    }

    /// The route of one request.
    fn route<'a, B>(
        &self,
        site: &'a Site,
        request: &Request<B>,
        exchange: &Exchange,
    ) -> Result<&'a Arc<Route>, Outcome> {
        let tls = self.inside.as_ref().map(|inside| TlsFacts {
            server_name: inside.hello.server_name.as_ref(),
            alpn: &inside.hello.alpn,
            versions: inside.hello.tls_versions,
        });
        let facts = ConnectionFacts { client: exchange.connection().client().ip(), tls, speaks_http: true };
        let terms = self
            .inside
            .as_ref()
            .map(|inside| Terms { certificate: &inside.session.certificate, policy: &inside.session.policy });
        choose(site, &facts, terms, exchange.host(), request)
    }

    async fn forward(
        &self,
        request: Request<Incoming>,
        exchange: Exchange,
        route: &Route,
        way: &Forward,
        vouched: &Headers,
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
            scheme: self.scheme(),
            tls: self.tls_names(),
            rewrite: way.rewrite.as_ref(),
            preserve_host: way.preserve_host,
            vouched,
            request_headers: &route.http.headers.request,
            response_headers: &route.http.headers.response,
            max_request_body: route.http.max_request_body,
            min_rate: route.http.connection.min_rate,
        };
        forward(request, exchange, &forwarding).await
    }

    /// Asks another server whether a request may go on; gives what it says of it.
    async fn ask(
        &self,
        request: &mut Request<Incoming>,
        exchange: Exchange,
        route: &Route,
        asked: &ForwardAuth,
    ) -> Result<(Exchange, Headers), Response<Body>> {
        let connection = Arc::clone(exchange.connection());
        let plan = Plan {
            targets: &asked.targets,
            client: connection.client(),
            listener: connection.listener(),
            tls: asked.tls.as_deref(),
            proxy_header: None,
            timeouts: &asked.timeouts,
            meter: &route.meter,
            connection: &connection,
        };
        let forwarding = Forwarding {
            plan,
            protocol: ForwardAuth::PROTOCOL,
            policy: asked.pool_class.0,
            pool: &self.pool,
            timeouts: &route.http.timeouts,
            forwarded: &route.http.forwarded,
            scheme: self.scheme(),
            tls: self.tls_names(),
            rewrite: None,
            preserve_host: false,
            vouched: &Headers::new(),
            request_headers: &asked.unchanged,
            response_headers: &asked.unchanged,
            max_request_body: None,
            // The question has no body.
            min_rate: None,
        };
        ask(request, exchange, Asking { forwarding, path: &asked.path, copied: &asked.copied }).await
    }

    /// What the client's side of the connection is.
    fn scheme(&self) -> Scheme {
        if self.inside.is_some() { Scheme::Https } else { Scheme::Http }
    }
}
