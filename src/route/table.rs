use std::collections::HashSet;
use std::sync::Arc;

use super::index::{HostIndex, Rank};
use super::specificity::ranked;
use super::{
    ConnectionFacts, Decision, Listening, Protocol, RequestFacts, RouteId, Rule, TlsFacts, TlsHandling, predicate,
};
use crate::name::HostName;

/// The routes of one listen address, ready to be asked.
///
/// Of the rules that hold, the one with the higher `priority` goes first; then the one with the more specific host, path
/// and other predicates; then the one that comes first in the file. Looking one up costs hash look-ups by the labels of the
/// host, and then one comparison for each rule of that host that goes before the one that holds; it allocates nothing.
#[derive(Debug)]
pub struct Table {
    /// By rank: each rule under each of its host patterns.
    entries: Box<[Arc<Rule>]>,
    /// Rules that take TLS connections, by SNI.
    tls: HostIndex,
    /// HTTP rules inside TLS, by host.
    terminated: HostIndex,
    /// HTTP rules on plain connections, by host.
    plain: HostIndex,
    /// Which HTTP rule leads a plain connection: the first one whose clients hold.
    plain_http: Box<[Rank]>,
    /// Which rule takes a plain connection's bytes: the first one whose clients hold.
    plain_tcp: Box<[Rank]>,
    opening: Listening,
}

impl Table {
    /// Orders and indexes the rules of one listen address.
    #[must_use]
    pub fn new(rules: impl IntoIterator<Item = Arc<Rule>>) -> Self {
        let rules: Vec<Arc<Rule>> = rules.into_iter().collect();
        let ranked = ranked(rules.iter().map(|rule| &**rule));
        let index = |wanted: fn(&Rule) -> bool| {
            let entries = ranked.iter().enumerate().filter(|(_, entry)| wanted(entry.rule));
            HostIndex::new(entries.map(|(rank, entry)| (rank, entry.host)))
        };
        let is_plain = |rule: &Rule, protocol| rule.tls == TlsHandling::Plain && rule.protocol == protocol;
        // No plain connection has ALPN or a TLS version, so a rule that asks for one is none of these.
        let asks_tls = |rule: &Rule| !rule.alpn.is_empty() || !rule.tls_versions.is_empty();
        let entries = || ranked.iter().map(|entry| entry.rule).enumerate().filter(|(_, rule)| !asks_tls(rule));
        let mut http: Vec<_> = entries().filter(|(_, rule)| is_plain(rule, Protocol::Http)).collect();
        // The host is not known yet: of one priority, a rule that asks for none is the one that is sure to hold.
        http.sort_by_key(|(_, rule)| (std::cmp::Reverse(rule.priority), !rule.domains.is_empty()));
        let tcp = entries().filter(|(_, rule)| is_plain(rule, Protocol::Tcp) && rule.domains.is_empty());
        let at_accept = rules.iter().all(|rule| is_plain(rule, Protocol::Tcp) && rule.domains.is_empty());
        Self {
            tls: index(|rule| rule.tls != TlsHandling::Plain),
            terminated: index(|rule| rule.tls == TlsHandling::Terminate && rule.protocol == Protocol::Http),
            plain: index(|rule| rule.tls == TlsHandling::Plain && rule.protocol == Protocol::Http),
            plain_http: first_of_clients(http.into_iter()),
            plain_tcp: first_of_clients(tcp),
            opening: if at_accept { Listening::AtAccept } else { Listening::Sniff },
            entries: ranked.iter().filter_map(|entry| rules.get(entry.place).cloned()).collect(),
        }
    }

    /// Whether a connection can be routed at accept: if all rules are plain `tcp` without a host, which no byte could change.
    #[must_use]
    pub fn opening(&self) -> Listening {
        self.opening
    }

    /// What becomes of a connection.
    ///
    /// A TLS connection belongs to the first rule with TLS whose host (by SNI), client addresses, ALPN and TLS versions
    /// hold: what a rule asks of requests is not known yet, and not looked at. If that rule speaks HTTP inside, every
    /// HTTP rule of the address may take a request later, and the TLS settings are not that rule's but those of
    /// the HTTP rule with the most specific host: a nameless rule that goes first for its priority, or for a path, must
    /// not serve its certificate, or its weaker client authentication, in place of those of the name that was asked for.
    ///
    /// A plain connection that begins like HTTP belongs to the HTTP rules if one of them admits the client, unless a `tcp` rule
    /// that does has a higher priority; any other belongs to the `tcp` rules. A request that then meets no HTTP rule has
    /// no route; it never falls to a `tcp` rule.
    #[must_use]
    pub fn connection(&self, facts: &ConnectionFacts<'_>) -> Decision {
        let Some(TlsFacts { server_name, .. }) = facts.tls else { return self.plain_connection(facts) };
        let holds = |rule: &Rule| predicate::connection(rule, facts).is_ok();
        let Some(first) = self.first(&self.tls, server_name, holds) else { return Decision::NoRoute };
        match (first.tls, first.protocol) {
            (TlsHandling::Passthrough, _) => Decision::Passthrough(first.id),
            (TlsHandling::Terminate, protocol @ Protocol::Tcp) => Decision::Terminate { leading: first.id, protocol },
            (TlsHandling::Terminate, protocol @ Protocol::Http) => {
                let mut lists = self.terminated.lists(server_name);
                let leading = lists.find_map(|list| self.rules(list).find(|(_, rule)| holds(rule)));
                Decision::Terminate { leading: leading.map_or(first.id, |(_, rule)| rule.id), protocol }
            }
            // Not in the index.
            (TlsHandling::Plain, _) => Decision::NoRoute,
        }
    }

    /// Which route takes a request: of the HTTP rules with TLS on a TLS connection, of those without on a plain one, the first
    /// whose predicates all hold. The host is the request's, not the SNI.
    #[must_use]
    pub fn request(&self, connection: &ConnectionFacts<'_>, request: &RequestFacts<'_>) -> Option<RouteId> {
        let index = if connection.tls.is_some() { &self.terminated } else { &self.plain };
        let holds =
            |rule: &Rule| predicate::request(rule, request).is_ok() && predicate::connection(rule, connection).is_ok();
        self.first(index, request.host, holds).map(|rule| rule.id)
    }

    /// The HTTP routes that the requests of a TLS connection may take, as far as is known before the first: by its SNI,
    /// client, ALPN and TLS versions. A route with several hosts may come several times. Empty for a plain connection.
    pub fn candidates<'a>(&'a self, facts: &'a ConnectionFacts<'a>) -> impl Iterator<Item = RouteId> + 'a {
        let lists = facts.tls.map(|tls| self.terminated.lists(tls.server_name)).into_iter().flatten();
        let rules = lists.flat_map(|list| self.rules(list)).map(|(_, rule)| rule);
        rules.filter(|rule| predicate::connection(rule, facts).is_ok()).map(|rule| rule.id)
    }

    /// Every rule once, the one that goes first in front.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &Rule> {
        let mut seen = HashSet::new();
        self.entries.iter().map(|rule| &**rule).filter(move |rule| seen.insert(rule.id))
    }

    fn plain_connection(&self, facts: &ConnectionFacts<'_>) -> Decision {
        let admitting =
            |list| self.rules(list).map(|(_, rule)| rule).find(|rule| predicate::client(rule, facts.client).is_ok());
        let http = admitting(&self.plain_http).filter(|_| facts.speaks_http);
        let tcp = admitting(&self.plain_tcp);
        let leading = match (http, tcp) {
            (Some(http), Some(tcp)) if tcp.priority > http.priority => Some(tcp),
            (Some(http), _) => Some(http),
            (None, tcp) => tcp,
        };
        leading.map_or(Decision::NoRoute, |rule| Decision::Plain { leading: rule.id, protocol: rule.protocol })
    }

    /// The first rule of an index that meets the host and holds.
    fn first(&self, index: &HostIndex, host: Option<&HostName>, holds: impl Fn(&Rule) -> bool) -> Option<&Rule> {
        let mut first: Option<(Rank, &Rule)> = None;
        for list in index.lists(host) {
            let before = |rank: Rank| first.is_none_or(|(first, _)| rank < first);
            // Each list is in order, so it is left where it can no longer win.
            let found = self.rules(list).take_while(|(rank, _)| before(*rank)).find(|(_, rule)| holds(rule));
            first = found.or(first);
        }
        first.map(|(_, rule)| rule)
    }

    fn rules(&self, ranks: &[Rank]) -> impl Iterator<Item = (Rank, &Rule)> {
        ranks.iter().filter_map(|rank| Some((*rank, &**self.entries.get(*rank)?)))
    }
}

/// Of rules in order, those that can be the first whose clients hold: one for each set of clients, up to the one for all.
fn first_of_clients<'a>(rules: impl Iterator<Item = (Rank, &'a Rule)>) -> Box<[Rank]> {
    let mut ranks = Vec::new();
    let mut seen = HashSet::new();
    for (rank, rule) in rules {
        if seen.insert(rule.client_ips.as_ref()) {
            ranks.push(rank);
        }
        if rule.client_ips.is_none() {
            break;
        }
    }
    ranks.into()
}
