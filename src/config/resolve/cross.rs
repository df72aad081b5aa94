use std::collections::{BTreeMap, HashMap};

use super::Context;
use super::route::Checked;
use crate::config::place::Place;
use crate::config::report::Report;
use crate::config::resolved::{Tls, TlsServer};
use crate::name::HostPattern;
use crate::net::ListenAddress;
use crate::route::{self, Rule, TlsHandling};

/// Checks what must hold between routes. Each step looks up by address and name, so the work grows with the file only.
pub(super) fn check(routes: &[Checked], context: &Context<'_>, report: &mut Report) {
    names(routes, context, report);
    unreachable(routes, context, report);
}

/// Before the handshake only the name is known: routes that share one must agree on what happens until its end.
fn names(routes: &[Checked], context: &Context<'_>, report: &mut Report) {
    // Most names have one route: addresses are only looked at where there are several.
    let mut by_name: HashMap<Option<&HostPattern>, Vec<(&Checked, Place)>> = HashMap::with_capacity(routes.len());
    for checked in routes.iter().filter(|checked| checked.route.rule.tls != TlsHandling::Plain) {
        let domains = &checked.route.rule.domains;
        for (name, place) in domains.iter().zip(&checked.route.domains) {
            by_name.entry(Some(name)).or_default().push((checked, *place));
        }
        if domains.is_empty() {
            by_name.entry(None).or_default().push((checked, checked.tls));
        }
    }
    for (name, routes) in by_name.iter().filter(|(_, routes)| routes.len() > 1) {
        one_name(*name, routes, context, report);
    }
}

/// Checks the routes of one name, or of none, in the order of the file.
fn one_name(name: Option<&HostPattern>, routes: &[(&Checked, Place)], context: &Context<'_>, report: &mut Report) {
    let mut claims: HashMap<(ListenAddress, TlsHandling), &Checked> = HashMap::new();
    for (checked, place) in routes {
        let tls = checked.route.rule.tls;
        // One fault for a name is enough, however many ports it is on.
        let mut clash = None;
        for address in &checked.route.addresses {
            let other = claims.get(&(*address, opposite(tls))).filter(|_| name.is_some());
            clash = clash.or(other.map(|other| (*address, *other, Clash::Mode)));
            let first = *claims.entry((*address, tls)).or_insert(checked);
            clash = clash.or_else(|| differ(first, checked).map(|clash| (*address, first, clash)));
        }
        if let Some((address, first, clash)) = clash {
            let name = name.map_or_else(|| "a connection without a name".into(), |name| format!("`{name}`"));
            let message = format!("{name} on {address} {}", clash.message());
            let place = if clash == Clash::Mode { *place } else { checked.tls };
            report.fault_with_help(place, message, clash.help(first, context));
        }
    }
}

fn opposite(tls: TlsHandling) -> TlsHandling {
    match tls {
        TlsHandling::Passthrough => TlsHandling::Terminate,
        TlsHandling::Terminate => TlsHandling::Passthrough,
        TlsHandling::Plain => TlsHandling::Plain,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Clash {
    Mode,
    Settings,
    Protocol,
}

impl Clash {
    fn message(self) -> &'static str {
        match self {
            Self::Mode => "is both passed through and terminated",
            Self::Settings => "has two TLS settings: certificate, min_version and client_auth must be the same",
            Self::Protocol => "is both \"http\" and \"tcp\"",
        }
    }

    fn help(self, first: &Checked, context: &Context<'_>) -> String {
        let name = &first.route.rule.name;
        format!("the other is route `{name}` in line {}", context.line(first.route.place))
    }
}

fn differ(first: &Checked, second: &Checked) -> Option<Clash> {
    let (a, b) = (terminated(&first.route.tls)?, terminated(&second.route.tls)?);
    if a != b {
        Some(Clash::Settings)
    } else if first.route.rule.protocol != second.route.rule.protocol {
        Some(Clash::Protocol)
    } else {
        None
    }
}

fn terminated(tls: &Tls) -> Option<&TlsServer> {
    match tls {
        Tls::Plain | Tls::Passthrough => None,
        Tls::Terminate(server) | Tls::TerminateAndReencrypt(server, _) => Some(server),
    }
}

/// Reports each route that another one shadows on every address that it listens on.
fn unreachable(routes: &[Checked], context: &Context<'_>, report: &mut Report) {
    let mut on_address: BTreeMap<ListenAddress, Vec<usize>> = BTreeMap::new();
    for (index, checked) in routes.iter().enumerate() {
        for address in &checked.route.addresses {
            on_address.entry(*address).or_default().push(index);
        }
    }
    // The ports of a range have the same routes: they are looked at once.
    let mut groups: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
    for (_, group) in on_address {
        let count = groups.entry(group).or_default();
        *count = count.saturating_add(1);
    }
    let mut shadowed: BTreeMap<u32, (usize, u32)> = BTreeMap::new();
    for (group, count) in groups {
        let rules: Vec<&Rule> = group.iter().filter_map(|index| routes.get(*index)).map(|c| &*c.route.rule).collect();
        for (route, by) in route::unreachable(&rules) {
            let entry = shadowed.entry(route.0).or_insert((0, by.0));
            entry.0 = entry.0.saturating_add(count);
        }
    }
    let at = |id: u32| usize::try_from(id).ok().and_then(|index| routes.get(index));
    for (id, (count, by)) in shadowed {
        if let (Some(route), Some(by)) = (at(id), at(by))
            && count >= route.route.addresses.len()
        {
            let place: Place = route.route.place;
            let (name, line) = (&by.route.rule.name, context.line(by.route.place));
            let message = format!("this route can never be reached: `{name}` takes everything first");
            let help = format!("make its `match` narrower than in line {line}, or its `priority` higher");
            report.fault_with_help(place, message, help);
        }
    }
}
