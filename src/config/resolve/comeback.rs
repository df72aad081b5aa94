use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Context;
use super::route::Checked;
use crate::config::place::Place;
use crate::config::report::Report;
use crate::config::resolved::{Action, Forward, Host, Listener, Target, TargetPort, Tls};
use crate::name::HostPattern;
use crate::net::{AddressSet, ListenAddress, canonical};
use crate::route::{Protocol, TlsHandling};

/// Routes that forward to each other's addresses and are followed from one to the next; of more, only those are found that
/// forward to themselves. Each is compared with each.
pub(in crate::config) const FOLLOWED_MAX: usize = 200;

const LOOPBACK: [IpAddr; 2] = [IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)];

/// Reports each target that leads back to its own route: what is forwarded there would go round until all descriptors are
/// taken.
///
/// That a target is an address of this file is no fault by itself: TLS may be told apart by one route and ended by another.
pub(super) fn check(routes: &[Checked], listeners: &[Listener], context: &Context<'_>, report: &mut Report) {
    let hops = hops(routes, listeners);
    let (own, others): (Vec<_>, Vec<_>) = hops.into_iter().partition(|hop| hop.takes_its_own());
    for hop in &own {
        let message = format!("the target {} is an address of this route itself", hop.target);
        report.fault_with_help(hop.place, message, "what is forwarded would come back for ever; name another server");
    }
    let others = circling(others);
    if others.len() > FOLLOWED_MAX {
        return;
    }
    for hop in &others {
        if let Some(next) = leads_back(hop, &others) {
            let name = &next.from.route.rule.name;
            let message = format!("the target {} leads back to this route", hop.target);
            let help = format!("route `{name}` in line {} takes it there", context.line(next.from.route.place));
            report.fault_with_help(hop.place, message, help);
        }
    }
}

/// One target of a route that is an address of this file.
struct Hop<'a> {
    from: &'a Checked,
    forward: &'a Forward,
    target: &'a Target,
    place: Place,
    /// The listeners that connections to the target may reach.
    to: Vec<ListenAddress>,
}

/// Where this file listens.
#[derive(Default)]
struct Own {
    by_port: HashMap<u16, Vec<ListenAddress>>,
    /// The addresses that are this machine's, since it listens on them.
    ips: HashSet<IpAddr>,
}

impl Own {
    fn new(listeners: &[Listener]) -> Self {
        let mut own = Self::default();
        for listener in listeners {
            let address = listener.address.value;
            // What port the system will choose is not known.
            if address.port() != 0 {
                own.by_port.entry(address.port()).or_default().push(address);
            }
            own.ips.insert(address.ip());
        }
        own
    }

    /// The listeners that connections to this host and port reach, as far as the text alone can tell.
    fn reached(&self, host: &Host, port: u16) -> impl Iterator<Item = ListenAddress> {
        let addresses: &[IpAddr] = match host {
            // To connect to the unspecified address is to connect to this machine (ip(7)).
            Host::Address(address) if address.is_unspecified() => &LOOPBACK,
            Host::Address(address) => std::slice::from_ref(address),
            // RFC 6761 section 6.3: the name and all below it are this machine.
            Host::Name(name) if name.as_str() == "localhost" || name.as_str().ends_with(".localhost") => &LOOPBACK,
            Host::Name(_) => &[],
        };
        let listeners = self.by_port.get(&port).map_or(&[][..], Vec::as_slice);
        addresses.iter().filter_map(|address| self.taker(canonical(*address), listeners))
    }

    /// Of several listeners the system takes the one whose address is the nearest.
    fn taker(&self, target: IpAddr, listeners: &[ListenAddress]) -> Option<ListenAddress> {
        let here = target.is_loopback() || self.ips.contains(&target);
        let rank = |listener: &ListenAddress| match listener.ip() {
            own if own == target => Some(0),
            any if here && any.is_unspecified() && any.is_ipv4() == target.is_ipv4() => Some(1),
            // The widest address is IPv6 and takes IPv4 too.
            any if here && any.is_unspecified() && any.is_ipv6() => Some(2),
            _ => None,
        };
        listeners.iter().filter_map(|listener| Some((rank(listener)?, *listener))).min().map(|(_, listener)| listener)
    }
}

fn hops<'a>(routes: &'a [Checked], listeners: &[Listener]) -> Vec<Hop<'a>> {
    let listening = Own::new(listeners);
    let mut hops = Vec::new();
    for from in routes {
        let Action::Forward(forward) = &from.route.action else { continue };
        for target in &forward.targets {
            let host = &target.value.host;
            let to: Vec<_> = match target.value.port {
                TargetPort::Fixed(port) => listening.reached(host, port.get()).collect(),
                TargetPort::Preserve => {
                    let ports = from.route.addresses.iter().map(ListenAddress::port);
                    ports.flat_map(|port| listening.reached(host, port)).collect()
                }
            };
            if !to.is_empty() {
                hops.push(Hop { from, forward, target: &target.value, place: target.place, to });
            }
        }
    }
    hops
}

impl Hop<'_> {
    fn takes_its_own(&self) -> bool {
        self.may_reach(self)
    }

    /// Whether something that is forwarded here may be taken by the other's route.
    fn may_reach(&self, other: &Self) -> bool {
        let (from, to) = (&self.from.route, &other.from.route);
        let sends_tls = match &from.tls {
            Tls::Plain | Tls::Terminate(_) => false,
            Tls::Passthrough | Tls::TerminateAndReencrypt(..) => true,
        };
        // Raw bytes may be anything, TLS too.
        let raw = from.rule.protocol == Protocol::Tcp && from.rule.tls != TlsHandling::Passthrough && !sends_tls;
        let takes_tls = to.rule.tls != TlsHandling::Plain;
        to.addresses.iter().any(|address| self.to.contains(address))
            && (raw || takes_tls == sends_tls)
            && self.shares_a_name(&to.rule.domains)
            // What comes out of this machine comes from one of its own addresses.
            && (self.forward.send_proxy_protocol.is_some()
                || to.rule.client_ips.as_ref().is_none_or(|clients| self.comes_from(clients)))
    }

    fn shares_a_name(&self, theirs: &[HostPattern]) -> bool {
        let rule = &self.from.route.rule;
        let kept = match rule.protocol {
            Protocol::Http => self.forward.preserve_host,
            Protocol::Tcp => rule.tls == TlsHandling::Passthrough,
        };
        if !kept || rule.domains.is_empty() || theirs.is_empty() {
            return true;
        }
        rule.domains.iter().any(|own| theirs.iter().any(|other| own.covers(other) || other.covers(own)))
    }

    fn comes_from(&self, clients: &AddressSet) -> bool {
        let own = match self.target.host {
            Host::Address(address) => Some(address),
            Host::Name(_) => None,
        };
        LOOPBACK.into_iter().chain(own).any(|address| clients.contains(address))
    }
}

/// Those of which the addresses can form a circle: what leads nowhere, or is led to by nothing, is left out, again and
/// again.
fn circling(mut hops: Vec<Hop<'_>>) -> Vec<Hop<'_>> {
    loop {
        let before = hops.len();
        let listening: HashSet<ListenAddress> =
            hops.iter().flat_map(|hop| &hop.from.route.addresses).copied().collect();
        hops.retain(|hop| hop.to.iter().any(|address| listening.contains(address)));
        let reached: HashSet<ListenAddress> = hops.iter().flat_map(|hop| &hop.to).copied().collect();
        hops.retain(|hop| hop.from.route.addresses.iter().any(|address| reached.contains(address)));
        if hops.len() == before {
            return hops;
        }
    }
}

/// The hop that takes what this one forwards, if it comes back by it.
fn leads_back<'a>(start: &Hop<'_>, hops: &'a [Hop<'a>]) -> Option<&'a Hop<'a>> {
    let own = start.from.route.rule.id;
    // Each hop that was reached, with the first step that has led to it.
    let mut first: BTreeMap<usize, usize> = BTreeMap::new();
    let mut ends: Vec<usize> = Vec::new();
    for (index, hop) in hops.iter().enumerate() {
        if hop.from.route.rule.id != own && start.may_reach(hop) {
            first.insert(index, index);
            ends.push(index);
        }
    }
    while let Some(end) = ends.pop() {
        let (here, step) = (hops.get(end)?, *first.get(&end)?);
        if here.may_reach(start) {
            return hops.get(step);
        }
        for (index, hop) in hops.iter().enumerate() {
            if !first.contains_key(&index) && here.may_reach(hop) {
                first.insert(index, step);
                ends.push(index);
            }
        }
    }
    None
}
