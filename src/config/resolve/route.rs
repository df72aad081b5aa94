use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::contradiction::Shape;
use super::{Context, action, authentication, contradiction, headers, hsts, listen, policy, tls};
use crate::config::file::{MatchSection, Root, RouteTable, listed, or_empty};
use crate::config::place::{Located, Place};
use crate::config::report::Report;
use crate::config::resolved::{DisabledRoute, Route, Tls};
use crate::config::value::{Key, List, ProtocolWord, TlsMode, Version};
use crate::net::ListenAddress;
use crate::route::{Protocol, RouteId, Rule, TlsHandling, TlsVersion};

/// The longest name of a route: it is a label of every metric.
const NAME_LENGTH_MAX: usize = 64;

/// An enabled route and the places that checks across routes need.
pub(super) struct Checked {
    pub(super) route: Route,
    /// Where each of the route's addresses is written.
    pub(super) ports: Vec<Place>,
    /// Where `tls` is written.
    pub(super) tls: Place,
}

/// Every enabled route that could be resolved; disabled ones are checked and left out.
pub(super) fn routes(root: &Root, context: &Context<'_>, report: &mut Report) -> Vec<Checked> {
    let count = listed(&root.routes).len();
    let mut names: HashMap<&str, Place> = HashMap::with_capacity(count);
    let mut routes = Vec::with_capacity(count);
    for table in listed(&root.routes) {
        if let Some(name) = table.value.name.located() {
            check_name(&name.value.0, name.place, report);
            if let Some(first) = names.insert(&name.value.0, name.place) {
                let message = format!("the name `{}` is taken", name.value.0.escape_debug());
                report.fault_with_help(name.place, message, format!("line {} has it", context.line(first)));
            }
        }
        let id = RouteId(u32::try_from(routes.len()).unwrap_or(u32::MAX));
        let checked = route(table, id, context, report);
        if table.value.enabled() {
            routes.extend(checked);
        }
    }
    routes
}

/// The disabled ones, by what people are told of them.
pub(super) fn disabled(root: &Root) -> Vec<DisabledRoute> {
    let off = listed(&root.routes).iter().filter(|table| !table.value.enabled());
    let named = off.filter_map(|table| {
        let name = table.value.name.located()?.value.0.as_str().into();
        // Their faults have been told when they were checked.
        let wanted = listen::addresses(or_empty(&table.value.r#match), &mut Report::default()).unwrap_or_default();
        Some(DisabledRoute { name, addresses: wanted.into_iter().map(|(address, _place)| address).collect() })
    });
    named.collect()
}

/// Whether a route is missing because it has a fault, not because there is none.
pub(super) fn any_faulty(root: &Root) -> bool {
    let faulty = matches!(root.routes, Key::Faulty(_));
    faulty || listed(&root.routes).iter().any(|table| table.value.enabled())
}

fn check_name(name: &str, place: Place, report: &mut Report) {
    let allowed = |character: char| character.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&character);
    let first = name.chars().next().is_some_and(|first| first.is_ascii_alphanumeric());
    if !first || !name.chars().all(allowed) || name.len() > NAME_LENGTH_MAX {
        let help = "use letters, digits, `.`, `_` and `-`, beginning with a letter or digit";
        let message = format!("\"{}\" is not a name of 1 to {NAME_LENGTH_MAX} characters", name.escape_debug());
        report.fault_with_help(place, message, help);
    }
}

fn route(table: &Located<RouteTable>, id: RouteId, context: &Context<'_>, report: &mut Report) -> Option<Checked> {
    let written = &table.value;
    let wanted = or_empty::<MatchSection>(&written.r#match);
    if written.r#match.written().is_none() {
        report.fault(table.place, "`match.ports` is missing");
    }
    let shape = Shape::of(written);
    contradiction::check(written, wanted, &shape, report);
    authentication::check(written, &shape, context, report);
    empty_lists(wanted, report);
    // Each part is resolved before any is asked for, so that the faults of all are shown.
    let addresses = listen::addresses(wanted, report);
    let tls = tls::resolve(written, &shape, context, report);
    let action = action::resolve(table, report);
    let headers = headers::rules(written, report);
    let policy = policy::of_route(written, context, report);
    authentication::check_user(written, &headers, action.as_ref(), &policy.security, report);
    let hsts = hsts::of_route(written, &shape, context.defaults, report);
    let headers_wanted = wanted_headers(wanted, report);
    let name = written.name.located()?;
    let (addresses, ports): (Vec<ListenAddress>, Vec<Place>) = addresses?.into_iter().unzip();
    let tls = tls?;
    let rule = Rule {
        id,
        name: Arc::from(name.value.0.as_str()),
        priority: written.priority().0,
        domains: listed(&wanted.domains).iter().map(|domain| domain.value.clone()).collect(),
        client_ips: wanted.client_ips.value().map(policy::set),
        tls_versions: listed(&wanted.tls_versions).iter().map(|version| tls_version(version.value)).collect(),
        alpn: listed(&wanted.alpn).iter().map(|alpn| alpn.value.0.clone()).collect(),
        path: wanted.path.value().cloned(),
        methods: listed(&wanted.methods).iter().map(|method| method.value.0.clone()).collect(),
        headers: headers_wanted,
        tls: handling(&tls),
        protocol: protocol(shape.protocol?, &tls),
    };
    let route = Route {
        rule: Arc::new(rule),
        addresses,
        tls,
        action: action?,
        headers,
        trusted_proxies: policy.trusted_proxies,
        via: policy.via,
        errors: policy.errors,
        hsts,
        security: policy.security,
        limits: policy.limits,
        timeouts: policy.timeouts,
        domains: listed(&wanted.domains).iter().map(|domain| domain.place).collect(),
        passive_health: policy.passive_health,
        place: name.place,
    };
    Some(Checked { route, ports, tls: written.tls.written().unwrap_or(name.place) })
}

fn wanted_headers(wanted: &MatchSection, report: &mut Report) -> Vec<(HeaderName, HeaderValue)> {
    wanted.headers.value().map(|table| headers::literals(table, report)).unwrap_or_default()
}

/// A list in `match` that is written and empty could be read as everything or as nothing.
fn empty_lists(wanted: &MatchSection, report: &mut Report) {
    fn check<T>(key: &Key<List<T>>, name: &str, report: &mut Report) {
        if let Some(list) = key.located()
            && list.value.is_empty()
        {
            let message = format!("an empty `{name}` matches nothing");
            report.fault_with_help(list.place, message, format!("leave `{name}` out to match everything"));
        }
    }
    check(&wanted.domains, "domains", report);
    check(&wanted.client_ips, "client_ips", report);
    check(&wanted.tls_versions, "tls_versions", report);
    check(&wanted.alpn, "alpn", report);
    check(&wanted.methods, "methods", report);
    if let Some(ports) = wanted.ports.located()
        && ports.value.is_empty()
    {
        report.fault(ports.place, "a route needs a port");
    }
}

pub(super) fn tls_version(version: Version) -> TlsVersion {
    match version {
        Version::Tls12 => TlsVersion::Tls12,
        Version::Tls13 => TlsVersion::Tls13,
    }
}

fn handling(tls: &Tls) -> TlsHandling {
    match tls {
        Tls::Plain => TlsHandling::Plain,
        Tls::Passthrough => TlsHandling::Passthrough,
        Tls::Terminate(_) | Tls::TerminateAndReencrypt(..) => TlsHandling::Terminate,
    }
}

fn protocol(word: ProtocolWord, tls: &Tls) -> Protocol {
    match (tls, word) {
        // What is not read is bytes, whatever it is.
        (Tls::Passthrough, _) | (_, ProtocolWord::Tcp) => Protocol::Tcp,
        (Tls::Plain | Tls::Terminate(_) | Tls::TerminateAndReencrypt(..), ProtocolWord::Http) => Protocol::Http,
    }
}

/// What the mode of a route is called in a fault.
pub(super) fn mode_name(mode: TlsMode) -> &'static str {
    match mode {
        TlsMode::Passthrough => "passthrough",
        TlsMode::Terminate => "terminate",
        TlsMode::TerminateAndReencrypt => "terminate-and-reencrypt",
    }
}
