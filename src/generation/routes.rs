use std::num::{NonZeroU16, NonZeroU64, NonZeroUsize};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};

use super::Source;
use super::certificates::Tls;
use super::logins::Logins;
use super::pages::Pages;
use crate::config;
use crate::connection::{Admission, RouteLoad};
use crate::handler::{
    Action, Content, Forward, ForwardAuth, HeaderRules, HttpSettings, PoolClass, Redirect, Respond, Route,
};
use crate::http::{ForwardedPolicy, HeaderEdits, MinRate, Settings, TargetProtocol, Timeouts, Via};
use crate::name::{FieldValue, Language};
use crate::relay;
use crate::sniff::ProxyVersion;
use crate::upstream::{
    self, Algorithm, Health, HealthPolicy, Member, Target, TargetHost, TargetKey, TargetPort, Targets,
};

/// Builds the routes of one generation out of the configuration and what is known from those before.
pub(super) struct Routes<'a> {
    source: &'a Source,
}

/// What has to stay for the health of a target to be kept over a reload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct HealthKey {
    route: Arc<str>,
    target: TargetKey,
    /// Two routes may verify a target's certificate differently.
    class: PoolClass,
    policy: HealthPolicy,
}

impl<'a> Routes<'a> {
    pub(super) fn new(source: &'a Source) -> Self {
        Self { source }
    }

    /// Builds one route; the faults of what it names are kept in `tls`, `pages` and `logins`.
    pub(super) fn build(
        &self,
        route: &config::Route,
        tls: &mut Tls<'_>,
        pages: &mut Pages<'_>,
        logins: &mut Logins<'_>,
    ) -> Route {
        let timeouts = &route.timeouts;
        Route {
            rule: Arc::clone(&route.rule),
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
            http: HttpSettings { forward_auth: self.forward_auth(route, tls), ..http_settings(route, pages, logins) },
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
            config::Action::Redirect(redirect) => {
                Action::Redirect(Redirect { to: redirect.to.clone(), status: redirect.status })
            }
            config::Action::Respond(respond) => Action::Respond(Respond {
                status: respond.status,
                body: content(respond),
                headers: respond.headers.clone(),
            }),
        }
    }

    fn forward(&self, route: &config::Route, forward: &config::Forward, tls: &mut Tls<'_>) -> Forward {
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
        let targets = forward.targets.iter().map(|target| self.member(&target.value, route, pool_class)).collect();
        Forward {
            targets: Targets::new(targets, algorithm),
            protocol,
            tls,
            pool_class,
            proxy_header: forward.send_proxy_protocol.map(|version| match version {
                config::ProxyVersion::V1 => ProxyVersion::V1,
                config::ProxyVersion::V2 => ProxyVersion::V2,
            }),
            timeouts: connecting(&route.timeouts),
            preserve_host: forward.preserve_host,
            rewrite: forward.rewrite.clone(),
        }
    }

    fn forward_auth(&self, route: &config::Route, tls: &mut Tls<'_>) -> Option<ForwardAuth> {
        let asked = route.security.forward_auth.as_ref()?;
        let (tls, pool_class) = tls.asked(route).map_or((None, PoolClass::PLAIN), |(tls, class)| (Some(tls), class));
        let targets = asked.targets.iter().map(|target| self.member(&target.value, route, pool_class)).collect();
        Some(ForwardAuth {
            targets: Targets::new(targets, Algorithm::RoundRobin),
            tls,
            pool_class,
            timeouts: connecting(&route.timeouts),
            path: asked.path.clone(),
            copied: asked.copy_headers.clone(),
            unchanged: HeaderEdits::default(),
        })
    }

    fn member(&self, written: &config::Target, route: &config::Route, class: PoolClass) -> Member {
        // The configuration lets 1 to 256 through.
        let weight = NonZeroU16::new(written.weight).unwrap_or(NonZeroU16::MIN);
        let target = self.target(written);
        let health = route.passive_health.map(|policy| {
            let policy = HealthPolicy { failures: policy.failures, set_aside: policy.set_aside };
            let (route, target) = (Arc::clone(&route.rule.name), target.key().clone());
            let key = HealthKey { route, target, class, policy };
            self.source.healths.find_or_make(&key, |key| Health::new(key.policy))
        });
        Member { target, weight, backup: written.backup, health }
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

fn connecting(timeouts: &config::Timeouts) -> upstream::Timeouts {
    let config::Timeouts { connect, connect_total, tls_handshake, .. } = *timeouts;
    upstream::Timeouts { connect, connect_total, tls_handshake }
}

/// All but whom to ask first.
fn http_settings(route: &config::Route, pages: &mut Pages<'_>, logins: &mut Logins<'_>) -> HttpSettings {
    let timeouts = &route.timeouts;
    HttpSettings {
        connection: Settings {
            request_head: timeouts.request_head,
            keep_alive: timeouts.keep_alive,
            linger: timeouts.linger,
            body: timeouts.body,
            max_lifetime: timeouts.max_lifetime,
            max_request_head: route.limits.max_request_head,
            min_rate: route.limits.min_rate.map(MinRate::new),
        },
        timeouts: Timeouts {
            response_head: timeouts.response_head,
            body: timeouts.body,
            tunnel: timeouts.tunnel,
            half_closed: timeouts.half_closed,
            linger: timeouts.linger,
            upstream_keep_alive: timeouts.upstream_keep_alive,
        },
        max_request_body: route.limits.max_request_body.map(NonZeroU64::get),
        forwarded: ForwardedPolicy {
            trusted: route.trusted_proxies.clone(),
            // The configuration lets names through that a header can hold.
            via: route.via.as_deref().and_then(|name| Via::new(name).ok()),
        },
        errors: pages.answers(&route.errors),
        hsts: route.hsts.and_then(|hsts| HeaderValue::try_from(strict_transport(hsts)).ok()),
        basic_auth: logins.basic(route),
        forward_auth: None,
        headers: HeaderRules { request: edits(&route.headers.request), response: edits(&route.headers.response) },
    }
}

fn strict_transport(hsts: config::Hsts) -> String {
    let mut text = format!("max-age={}", hsts.max_age.as_secs());
    if hsts.include_subdomains {
        text.push_str("; includeSubDomains");
    }
    if hsts.preload {
        text.push_str("; preload");
    }
    text
}

fn edits(edits: &config::HeaderEdits) -> HeaderEdits {
    HeaderEdits { set: edits.set.clone(), add: edits.add.clone(), remove: edits.remove.clone() }
}

/// The body of an answer, in the language that its `Content-Type` says.
fn content(respond: &config::Respond) -> Content {
    if let Some(text) = respond.body.fixed() {
        return Content::Fixed(Bytes::from(text.to_owned()));
    }
    let fixed = |value: &FieldValue| match value {
        FieldValue::Fixed(value) => value.to_str().ok().map(Language::of),
        FieldValue::Template { .. } => None,
    };
    let language = respond.headers.iter().find(|(name, _)| *name == CONTENT_TYPE).and_then(|(_, value)| fixed(value));
    Content::Template(respond.body.clone(), language.unwrap_or(Language::Plain))
}

/// A limit as a count; 0 is none. More than the counter holds is as good as none.
fn limit(limit: Option<NonZeroUsize>) -> u32 {
    limit.map_or(0, |limit| u32::try_from(limit.get()).unwrap_or(u32::MAX))
}
