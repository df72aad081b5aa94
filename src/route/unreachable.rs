use std::collections::BTreeMap;

use http::Method;

use super::index::{Entry, HostIndex};
use super::specificity::{Ranked, ranked};
use super::{Protocol, RouteId, Rule, TlsHandling, predicate};

/// The rules of one listen address that can never take anything, each with one that takes it all before, in file order.
///
/// A rule is listed only if it is certain: if under each of its hosts one rule that goes before it asks for no more
/// than it does. Two rules that leave nothing to a third only together are not found. A rule is compared with those
/// alone whose host patterns cover one of its own.
#[must_use]
pub fn unreachable<'a>(rules: &[&'a Rule]) -> Vec<(RouteId, RouteId)> {
    let ranked = ranked(rules.iter().copied());
    let entry = |(rank, entry): (_, &Ranked<'a>)| (Entry { rank, rule: entry.rule }, entry.host);
    let index = HostIndex::new(ranked.iter().enumerate().map(entry));
    let catch_alls = CatchAlls::new(&ranked);
    let mut shadowed: BTreeMap<RouteId, Option<RouteId>> = BTreeMap::new();
    for (rank, Ranked { rule, host, .. }) in ranked.iter().enumerate() {
        let before = |list: &'_ [Entry<&'a Rule>]| {
            let mut others =
                list.iter().take_while(|before| before.rank < rank).filter(|before| before.rule.id != rule.id);
            others.find(|before| leaves_nothing(before.rule, rule)).map(|before| before.rule.id)
        };
        let by = index.covering(*host).find_map(before).or_else(|| catch_alls.shadowing(rule));
        // One host that is left to it makes a rule reachable.
        shadowed.entry(rule.id).and_modify(|first| *first = first.filter(|_| by.is_some())).or_insert(by);
    }
    shadowed.into_iter().filter_map(|(id, by)| Some((id, by?))).collect()
}

/// Whether a rule that goes before another, under a host that covers the other's, leaves nothing to it.
fn leaves_nothing(before: &Rule, rule: &Rule) -> bool {
    covers_connection(before, rule)
        && match (rule.tls, rule.protocol) {
            (TlsHandling::Plain | TlsHandling::Terminate, Protocol::Http) => {
                before.tls == rule.tls && before.protocol == rule.protocol && covers_request(before, rule)
            }
            (TlsHandling::Plain, Protocol::Tcp) => before.tls == rule.tls && before.protocol == rule.protocol,
            // The connection is decided without a look at what the one before asks of requests.
            (TlsHandling::Passthrough, _) | (TlsHandling::Terminate, Protocol::Tcp) => before.tls != TlsHandling::Plain,
        }
}

/// Whether each connection that meets `inner` also meets `outer`, hosts apart.
fn covers_connection(outer: &Rule, inner: &Rule) -> bool {
    let clients = match (&outer.client_ips, &inner.client_ips) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(outer), Some(inner)) => outer.covers(inner),
    };
    clients && admits(&outer.tls_versions, &inner.tls_versions) && admits(&outer.alpn, &inner.alpn)
}

/// Whether each request that meets `inner` also meets `outer`, hosts apart.
fn covers_request(outer: &Rule, inner: &Rule) -> bool {
    let path = match (&outer.path, &inner.path) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(outer), Some(inner)) => outer.covers(inner),
    };
    let asked =
        |(name, value)| inner.headers.iter().any(|(inner, same)| inner == name && predicate::same_value(same, value));
    path && admits_methods(&outer.methods, &inner.methods)
        && outer.headers.iter().all(|(name, value)| asked((name, value)))
}

/// Whether whatever holds one of `inner` holds one of `outer`; an empty list asks for nothing.
fn admits<T: PartialEq>(outer: &[T], inner: &[T]) -> bool {
    outer.is_empty() || (!inner.is_empty() && inner.iter().all(|one| outer.contains(one)))
}

/// The same of methods, of which an empty list does not mean `CONNECT`.
fn admits_methods(outer: &[Method], inner: &[Method]) -> bool {
    admits(outer, inner) && (!outer.is_empty() || !inner.contains(&Method::CONNECT))
}

/// Rules without any condition that take every connection before an HTTP rule can see a request of it.
struct CatchAlls {
    tls: Option<RouteId>,
    plain: Option<RouteId>,
}

impl CatchAlls {
    fn new(ranked: &[Ranked<'_>]) -> Self {
        let rules = |plain: bool| {
            let rules = ranked.iter().map(|entry| entry.rule);
            rules.filter(move |rule| plain == (rule.tls == TlsHandling::Plain))
        };
        // Behind an HTTP rule, a catch-all leaves it connections, and those carry requests for the other HTTP rules
        // too.
        let tls = rules(false)
            .find(|rule| predicate::by_request(rule) || asks_nothing(rule))
            .filter(|rule| !predicate::by_request(rule));
        // Plain HTTP gives way to a higher priority only; the first rule has the highest.
        let highest = rules(true).find(|rule| predicate::by_request(rule)).map(|rule| rule.priority);
        let plain = rules(true)
            .find(|rule| !predicate::by_request(rule) && asks_nothing(rule) && Some(rule.priority) > highest);
        Self { tls: tls.map(|rule| rule.id), plain: plain.map(|rule| rule.id) }
    }

    fn shadowing(&self, rule: &Rule) -> Option<RouteId> {
        match (rule.tls, rule.protocol) {
            (TlsHandling::Terminate, Protocol::Http) => self.tls,
            (TlsHandling::Plain, Protocol::Http) => self.plain,
            (TlsHandling::Passthrough, _) | (_, Protocol::Tcp) => None,
        }
    }
}

/// Whether every connection meets a rule.
fn asks_nothing(rule: &Rule) -> bool {
    let lists = rule.domains.is_empty() && rule.alpn.is_empty() && rule.tls_versions.is_empty();
    lists && rule.client_ips.is_none()
}
