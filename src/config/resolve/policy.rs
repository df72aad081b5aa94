use std::num::{NonZeroU32, NonZeroU64};

use super::{Context, authentication, count, errors, hsts};
use crate::config::file::{
    DefaultsSection, LimitsSection, PassiveHealthSection, RouteTable, SecuritySection, TimeoutsSection, or_empty,
    section::Section,
};
use crate::config::report::Report;
use crate::config::resolved::{Defaults, Limits, PassiveHealth, Security, Timeouts};
use crate::config::value::{List, Network};
use crate::net::AddressSet;

/// hyper refuses a smaller buffer for a head.
const HEAD_MIN: u64 = 8 * 1024;
/// Each connection may hold as much as this.
const HEAD_MAX: u64 = 1024 * 1024;

/// What `[defaults]` says, or is the default of the default.
pub(super) fn defaults(section: &DefaultsSection, context: &Context<'_>, report: &mut Report) -> Defaults {
    hsts::check_defaults(section, report);
    Defaults {
        trusted_proxies: set(&section.trusted_proxies()),
        via: via(&section.via().0),
        errors: errors::of_defaults(section, context, report),
        security: Security {
            forward_auth: authentication::forward(&or_empty(&section.security).forward_auth, context, report),
            ..security(or_empty(&section.security), context, report)
        },
        limits: limits(or_empty(&section.limits), report),
        timeouts: timeouts(or_empty(&section.timeouts)),
        passive_health: passive_health(or_empty(&section.passive_health)),
    }
}

/// What a route says, key by key, or else the defaults.
pub(super) fn of_route(table: &RouteTable, context: &Context<'_>, report: &mut Report) -> Defaults {
    let base = context.defaults;
    // Where the route says nothing, a fault of the defaults is reported there, once.
    let mut known = Report::default();
    let trusted = table.trusted_proxies.or(&base.trusted_proxies);
    let own = or_empty::<SecuritySection>(&table.security);
    let merged = own.over(or_empty(&base.security));
    let asking = if own.forward_auth.written().is_some() { &mut *report } else { &mut known };
    let forward_auth = authentication::forward(&merged.forward_auth, context, asking);
    let allowing = if own.allow.written().is_some() { &mut *report } else { &mut known };
    let merged_security = Security {
        forward_auth,
        allow_is_own: own.allow.written().is_some(),
        block_is_own: own.block.written().is_some(),
        ..security(&merged, context, allowing)
    };
    let own = or_empty::<LimitsSection>(&table.limits);
    let merged = own.over(or_empty(&base.limits));
    let merged_limits = limits(&merged, if own.max_request_head.written().is_some() { report } else { &mut known });
    let merged_timeouts = or_empty::<TimeoutsSection>(&table.timeouts).over(or_empty(&base.timeouts));
    let merged_health = or_empty::<PassiveHealthSection>(&table.passive_health).over(or_empty(&base.passive_health));
    Defaults {
        trusted_proxies: trusted.value().map(set).unwrap_or_default(),
        via: via(&table.via.value().map_or_else(|| base.via().0, |name| name.0.clone())),
        errors: errors::of_route(table, context, report),
        security: merged_security,
        limits: merged_limits,
        timeouts: timeouts(&merged_timeouts),
        passive_health: passive_health(&merged_health),
    }
}

fn via(name: &str) -> Option<Box<str>> {
    if name.is_empty() { None } else { Some(name.into()) }
}

pub(super) fn set(list: &List<Network>) -> AddressSet {
    AddressSet::new(list.iter().map(|network| network.value.0))
}

/// All but whom to ask first.
fn security(section: &SecuritySection, context: &Context<'_>, report: &mut Report) -> Security {
    if let Some(allow) = section.allow.located()
        && allow.value.is_empty()
    {
        report.fault_with_help(allow.place, "an empty list lets no one in", "leave `allow` out to let everyone in");
    }
    Security {
        allow: section.allow.value().map(set),
        block: set(&section.block()),
        allow_is_own: false,
        block_is_own: false,
        basic_auth: authentication::basic(&section.basic_auth, context),
        forward_auth: None,
    }
}

fn limits(section: &LimitsSection, report: &mut Report) -> Limits {
    let head = section.max_request_head().0;
    if let Some(written) = section.max_request_head.located()
        && !(HEAD_MIN..=HEAD_MAX).contains(&head)
    {
        report.fault(written.place, "a request's head is limited to a size from \"8KiB\" to \"1MiB\"");
    }
    Limits {
        max_connections: count(section.max_connections().0),
        max_connections_per_ip: count(section.max_connections_per_ip().0),
        max_request_body: NonZeroU64::new(section.max_request_body().0),
        max_request_head: usize::try_from(head).unwrap_or(usize::MAX),
        min_rate: NonZeroU64::new(section.min_rate().0),
    }
}

fn timeouts(section: &TimeoutsSection) -> Timeouts {
    Timeouts {
        sniff: section.sniff().0,
        tls_handshake: section.tls_handshake().0,
        connect: section.connect().0,
        connect_total: section.connect_total().0,
        idle: section.idle().0,
        half_closed: section.half_closed().0,
        linger: section.linger().0,
        max_lifetime: section.max_lifetime().0,
        request_head: section.request_head().0,
        keep_alive: section.keep_alive().0,
        response_head: section.response_head().0,
        body: section.body().0,
        tunnel: section.tunnel().0,
        upstream_keep_alive: section.upstream_keep_alive().0,
    }
}

fn passive_health(section: &PassiveHealthSection) -> Option<PassiveHealth> {
    let failures = NonZeroU32::new(section.failures().0)?;
    Some(PassiveHealth { failures, set_aside: section.set_aside().0 })
}
