use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use super::route::Checked;
use super::{Context, policy};
use crate::config::file::{ListenerTable, MatchSection, Root, listed};
use crate::config::place::{Located, Place};
use crate::config::report::Report;
use crate::config::resolved::{Listener, ProxyProtocol};
use crate::config::value::{Key, PortSpec};
use crate::net::ListenAddress;

/// The addresses of one route, each with its place.
pub(super) fn addresses(wanted: &MatchSection, report: &mut Report) -> Option<Vec<(ListenAddress, Place)>> {
    let ports = wanted.ports.value()?;
    let mut seen = HashSet::new();
    let mut addresses = Vec::new();
    for spec in ports {
        let mut twice = None;
        for address in spec.value.addresses() {
            if seen.insert(address) {
                addresses.push((address, spec.place));
            } else {
                twice = Some(address);
            }
        }
        if let Some(address) = twice {
            report.fault(spec.place, format!("{address} is there twice"));
        }
    }
    Some(addresses)
}

/// Every address that a route wants, with what `[[listeners]]` says about it.
pub(super) fn listeners(root: &Root, routes: &[Checked], context: &Context<'_>, report: &mut Report) -> Vec<Listener> {
    let mut wanted: BTreeMap<ListenAddress, Place> = BTreeMap::new();
    for checked in routes {
        for (address, place) in checked.route.addresses.iter().zip(&checked.ports) {
            wanted.entry(*address).or_insert(*place);
        }
    }
    // Whether an address is unused cannot be said while a route is missing.
    let complete = routes.len() == listed(&root.routes).iter().filter(|table| table.value.enabled()).count();
    let mut settings: HashMap<ListenAddress, (Place, Option<ProxyProtocol>)> = HashMap::new();
    for table in listed(&root.listeners) {
        let Some(address) = address(&table.value, report) else { continue };
        if let Some((first, _)) = settings.get(&address.value) {
            let help = format!("line {} has it", context.line(*first));
            report.fault_with_help(address.place, format!("{} is there twice", address.value), help);
        } else if complete && !wanted.contains_key(&address.value) {
            unused(address, &wanted, report);
        }
        settings.insert(address.value, (address.place, proxy_protocol(&table.value, report)));
    }
    let listener = |(address, place)| {
        let proxy_protocol = settings.get(&address).and_then(|(_, setting)| setting.clone());
        Listener { address: Located::new(address, place), proxy_protocol }
    };
    wanted.into_iter().map(listener).collect()
}

/// Reports the address of the operator's pages where a route has it too: whichever comes second could not be bound.
pub(super) fn admin(listen: &Located<SocketAddr>, routes: &[Checked], context: &Context<'_>, report: &mut Report) {
    let own = ListenAddress::new(listen.value);
    if own.port() == 0 {
        return;
    }
    let is_taken = |address: &ListenAddress| {
        let (a, b) = (address.ip(), own.ip());
        // The widest address is IPv6 and takes IPv4 too.
        let covers = |wide: IpAddr, other: IpAddr| wide.is_unspecified() && (wide.is_ipv6() || other.is_ipv4());
        address.port() == own.port() && (a == b || covers(a, b) || covers(b, a))
    };
    let taken = |checked: &Checked| checked.route.addresses.iter().copied().find(is_taken);
    if let Some((checked, address)) = routes.iter().find_map(|checked| Some((checked, taken(checked)?))) {
        let message = format!("{own} cannot be listened on: route `{}` has {address}", checked.route.rule.name);
        let help =
            format!("give one of the two another port; the route is in line {}", context.line(checked.route.place));
        report.fault_with_help(listen.place, message, help);
    }
}

fn address(table: &ListenerTable, report: &mut Report) -> Option<Located<ListenAddress>> {
    let written = table.address.located()?;
    match &written.value {
        PortSpec::Port(_) | PortSpec::Address(_) => {
            written.value.addresses().next().map(|address| Located::new(address, written.place))
        }
        PortSpec::Range(_) => {
            report.fault(written.place, "a listener is one address, not a range");
            None
        }
    }
}

fn unused(address: Located<ListenAddress>, wanted: &BTreeMap<ListenAddress, Place>, report: &mut Report) {
    let message = format!("no route listens on {}", address.value);
    match wanted.keys().find(|other| other.port() == address.value.port()) {
        Some(other) => report.fault_with_help(address.place, message, format!("did you mean \"{other}\"?")),
        None => report.fault(address.place, message),
    }
}

fn proxy_protocol(table: &ListenerTable, report: &mut Report) -> Option<ProxyProtocol> {
    let section = match &table.proxy_protocol {
        Key::Absent | Key::Faulty(_) => return None,
        Key::Given(_, section) => &section.value,
    };
    let trusted = section.trusted.located()?;
    if trusted.value.is_empty() {
        report.fault(trusted.place, "with no trusted peer, no PROXY header is believed");
    }
    Some(ProxyProtocol { trusted: policy::set(&trusted.value), required: section.required() })
}
