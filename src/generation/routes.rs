use std::num::{NonZeroU16, NonZeroU64, NonZeroUsize};
use std::sync::Arc;

use super::Source;
use super::certificates::Tls;
use crate::config;
use crate::connection::{Admission, RouteLoad};
use crate::handler::{Action, Forward, HeaderRules, HttpSettings, PoolClass, Redirect, RedirectPiece, Respond, Route};
use crate::http::{ForwardedPolicy, HeaderEdits, Settings, TargetProtocol, Timeouts};
use crate::relay;
use crate::sniff::ProxyVersion;
use crate::upstream::{self, Algorithm, Member, Target, TargetHost, TargetKey, TargetPort, Targets};

/// Builds the routes of one generation out of the configuration and what is known from those before.
pub(super) struct Routes<'a> {
    source: &'a Source,
}

impl<'a> Routes<'a> {
    pub(super) fn new(source: &'a Source) -> Self {
        Self { source }
    }

    /// Builds one route; faults in its TLS are kept in `tls`.
    pub(super) fn build(&self, route: &config::Route, tls: &mut Tls<'_>) -> Route {
        let timeouts = &route.timeouts;
        Route {
            rule: Arc::new(route.rule.clone()),
            meter: self.source.meters.route(&route.rule.name),
            admission: self.admission(route),
            tls: tls.server(route),
            handshake: timeouts.tls_handshake,
            relay: relay::Limits {
                idle: timeouts.idle,
                half_closed: timeouts.half_closed,
                linger: timeouts.linger,
                max_lifetime: timeouts.max_lifetime,
            },
            http: http_settings(route),
            action: self.action(route, tls),
        }
    }

    fn admission(&self, route: &config::Route) -> Admission {
        let load = self.source.loads.find_or_make(&route.rule.name, |_| RouteLoad::default());
        Admission {
            allow: route.security.allow.clone(),
            block: route.security.block.clone(),
            max_connections: limit(route.limits.max_connections),
            max_connections_per_ip: limit(route.limits.max_connections_per_ip),
            load,
        }
    }

    fn action(&self, route: &config::Route, tls: &mut Tls<'_>) -> Action {
        match &route.action {
            config::Action::Forward(forward) => Action::Forward(self.forward(route, forward, tls)),
            config::Action::Redirect(redirect) => Action::Redirect(Redirect {
                to: redirect.to.iter().map(redirect_piece).collect(),
                status: redirect.status,
            }),
            config::Action::Respond(respond) => Action::Respond(Respond {
                status: respond.status,
                body: respond.body.clone(),
                headers: respond.headers.clone(),
            }),
        }
    }

    fn forward(&self, route: &config::Route, forward: &config::Forward, tls: &mut Tls<'_>) -> Forward {
        let targets = forward.targets.iter().map(|target| self.member(&target.value)).collect();
        let algorithm = match forward.load_balancing {
            config::LoadBalancing::RoundRobin => Algorithm::RoundRobin,
            config::LoadBalancing::Random => Algorithm::Random,
            config::LoadBalancing::LeastConnections => Algorithm::LeastConnections,
            config::LoadBalancing::IpHash => Algorithm::IpHash,
        };
        let protocol = match forward.upstream_protocol {
            config::UpstreamProtocol::Http1 => TargetProtocol::Http1,
            config::UpstreamProtocol::Http2 | config::UpstreamProtocol::H2c => TargetProtocol::Http2,
            config::UpstreamProtocol::Auto => TargetProtocol::Agreed,
        };
        let (tls, pool_class) = tls.client(route).map_or((None, PoolClass::PLAIN), |(tls, class)| (Some(tls), class));
        Forward {
            targets: Targets::new(targets, algorithm),
            protocol,
            tls,
            pool_class,
            proxy_header: forward.send_proxy_protocol.map(|version| match version {
                config::ProxyVersion::V1 => ProxyVersion::V1,
                config::ProxyVersion::V2 => ProxyVersion::V2,
            }),
            timeouts: upstream::Timeouts {
                connect: route.timeouts.connect,
                connect_total: route.timeouts.connect_total,
                tls_handshake: route.timeouts.tls_handshake,
            },
            preserve_host: forward.preserve_host,
        }
    }

    fn member(&self, target: &config::Target) -> Member {
        // The configuration lets 1 to 256 through.
        let weight = NonZeroU16::new(target.weight).unwrap_or(NonZeroU16::MIN);
        Member { target: self.target(target), weight, backup: target.backup }
    }

    /// The target that a generation before, or another route of this one, already has; or a new one.
    fn target(&self, target: &config::Target) -> Arc<Target> {
        let host = match &target.host {
            config::Host::Name(name) => TargetHost::Name(name.clone()),
            config::Host::Address(address) => TargetHost::Address(*address),
        };
        let port = match target.port {
            config::TargetPort::Fixed(port) => TargetPort::Fixed(port.get()),
            config::TargetPort::Preserve => TargetPort::Preserve,
        };
        let key = TargetKey { host, port };
        self.source.targets.find_or_make(&key, |key| Target::new(key.host.clone(), key.port))
    }
}

fn http_settings(route: &config::Route) -> HttpSettings {
    let timeouts = &route.timeouts;
    HttpSettings {
        connection: Settings {
            request_head: timeouts.request_head,
            keep_alive: timeouts.keep_alive,
            linger: timeouts.linger,
            body: timeouts.body,
            max_lifetime: timeouts.max_lifetime,
            max_request_head: route.limits.max_request_head,
        },
        timeouts: Timeouts {
            response_head: timeouts.response_head,
            body: timeouts.body,
            tunnel: timeouts.tunnel,
            linger: timeouts.linger,
            upstream_keep_alive: timeouts.upstream_keep_alive,
        },
        max_request_body: route.limits.max_request_body.map(NonZeroU64::get),
        forwarded: ForwardedPolicy { trusted: route.trusted_proxies.clone() },
        headers: HeaderRules { request: edits(&route.headers.request), response: edits(&route.headers.response) },
    }
}

fn edits(edits: &config::HeaderEdits) -> HeaderEdits {
    HeaderEdits { set: edits.set.clone(), add: edits.add.clone(), remove: edits.remove.clone() }
}

fn redirect_piece(piece: &config::RedirectPiece) -> RedirectPiece {
    match piece {
        config::RedirectPiece::Literal(text) => RedirectPiece::Literal(text.clone()),
        config::RedirectPiece::Host => RedirectPiece::Host,
        config::RedirectPiece::Path => RedirectPiece::Path,
        config::RedirectPiece::PathAndQuery => RedirectPiece::PathAndQuery,
    }
}

/// A limit as a count; 0 is none. More than the counter holds is as good as none.
fn limit(limit: Option<NonZeroUsize>) -> u32 {
    limit.map_or(0, |limit| u32::try_from(limit.get()).unwrap_or(u32::MAX))
}
