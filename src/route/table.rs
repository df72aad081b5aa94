use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use super::index::{Entry, HostIndex};
use super::specificity::ranked;
use super::{
    ConnectionFacts, Decision, Listening, Protocol, RequestFacts, RouteId, Rule, TlsFacts, TlsHandling, predicate,
};

/// The routes of one listen address, ready to be asked.
///
/// Of the rules that hold, the one with the higher `priority` goes first; then the one with the more specific host,
/// path and other predicates; then the one that comes first in the file. Looking one up costs hash look-ups by the
/// labels of the host, and then one comparison for each rule of that host that goes before the one that holds; it
/// allocates nothing.
#[derive(Debug)]
pub struct Table {
    /// Whether every rule takes TLS.
    tls_only: bool,
    /// Each rule once, the one that goes first in front.
    rules: Box<[Arc<Rule>]>,
    /// Rules with TLS.
    tls: HostIndex<Arc<Rule>>,
    /// HTTP rules without TLS.
    plain: HostIndex<Arc<Rule>>,
    /// Which HTTP rule leads a plain connection: the first one whose clients hold.
    plain_http: Box<[Arc<Rule>]>,
    /// Which rule takes a plain connection's bytes: the first one whose clients hold.
    plain_tcp: Box<[Arc<Rule>]>,
    opening: Listening,
}

impl Table {
    /// Orders and indexes the rules of one listen address.
    #[must_use]
    pub fn new(rules: impl IntoIterator<Item = Arc<Rule>>) -> Self {
        let rules: Vec<Arc<Rule>> = rules.into_iter().collect();
        let ranked = ranked(rules.iter().map(|rule| &**rule));
        let ranked: Vec<_> = ranked.iter().filter_map(|entry| Some((rules.get(entry.place)?, entry.host))).collect();
        let index = |wanted: fn(&Rule) -> bool| {
            let entries = ranked.iter().enumerate().filter(|(_, (rule, _))| wanted(rule));
            HostIndex::new(entries.map(|(rank, (rule, host))| (Entry { rank, rule: Arc::clone(rule) }, *host)))
        };
        let is_plain = |rule: &Rule, protocol| rule.tls == TlsHandling::Plain && rule.protocol == protocol;
        let is_nameless_tcp = |rule: &Rule| is_plain(rule, Protocol::Tcp) && rule.domains.is_empty();
        let at_accept = rules.iter().all(|rule| is_nameless_tcp(rule));
        // No plain connection has ALPN or a TLS version, so a rule that asks for one is none of these.
        let asks_tls = |rule: &Rule| !rule.alpn.is_empty() || !rule.tls_versions.is_empty();
        let knowable = || ranked.iter().map(|(rule, _)| *rule).filter(|rule| !asks_tls(rule));
        let mut http: Vec<_> = knowable().filter(|rule| is_plain(rule, Protocol::Http)).collect();
        // The host is not known yet: of one priority, a rule that asks for none is the one that is sure to hold.
        http.sort_by_key(|rule| (Reverse(rule.priority), !rule.domains.is_empty()));
        let mut seen = HashSet::new();
        Self {
            tls_only: !rules.is_empty() && rules.iter().all(|rule| rule.tls != TlsHandling::Plain),
            rules: ranked.iter().map(|(rule, _)| *rule).filter(|rule| seen.insert(rule.id)).cloned().collect(),
            tls: index(|rule| rule.tls != TlsHandling::Plain),
            plain: index(|rule| rule.tls == TlsHandling::Plain && rule.protocol == Protocol::Http),
            plain_http: first_of_clients(http.into_iter()),
            plain_tcp: first_of_clients(knowable().filter(|rule| is_nameless_tcp(rule))),
            opening: if at_accept { Listening::AtAccept } else { Listening::Sniff },
        }
    }

    /// Whether every rule takes TLS, so that no plain connection can find one.
    #[must_use]
    pub fn is_tls_only(&self) -> bool {
        self.tls_only
    }

    /// Whether a connection can be routed at accept: if all rules are plain `tcp` without a host, which no byte could
    /// change.
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
    /// not serve its certificate, or its weaker client authentication, in place of those of the name that was asked
    /// for.
    ///
    /// A plain connection that begins like HTTP belongs to the HTTP rules if one of them admits the client, unless a
    /// `tcp` rule that does has a higher priority; any other belongs to the `tcp` rules. A request that then meets no
    /// HTTP rule has no route; it never falls to a `tcp` rule.
    #[must_use]
    pub fn connection(&self, facts: &ConnectionFacts<'_>) -> Decision {
        let Some(TlsFacts { server_name, .. }) = facts.tls else { return self.plain_connection(facts) };
        let holds = |rule: &Rule| predicate::connection(rule, facts).is_ok();
        let (mut first, mut leading) = (None, None);
        for list in self.tls.lists(server_name) {
            first = earlier(first, list, holds);
            // The lists come from the most specific host to the least.
            leading = leading.or_else(|| {
                list.iter().map(|entry| &*entry.rule).find(|rule| predicate::by_request(rule) && holds(rule))
            });
        }
        let Some(Entry { rule: first, .. }) = first else { return Decision::NoRoute };
        match (first.tls, first.protocol) {
            (TlsHandling::Passthrough, _) => Decision::Passthrough(first.id),
            (TlsHandling::Terminate, protocol @ Protocol::Tcp) => Decision::Terminate { leading: first.id, protocol },
            (TlsHandling::Terminate, protocol @ Protocol::Http) => {
                Decision::Terminate { leading: leading.map_or(first.id, |rule| rule.id), protocol }
            }
            // Not in the index.
            (TlsHandling::Plain, _) => Decision::NoRoute,
        }
    }

    /// Which route takes a request: of the HTTP rules with TLS on a TLS connection, of those without on a plain one,
    /// the first whose predicates all hold. The host is the request's, not the SNI.
    #[must_use]
    pub fn request(&self, connection: &ConnectionFacts<'_>, request: &RequestFacts<'_>) -> Option<RouteId> {
        let index = if connection.tls.is_some() { &self.tls } else { &self.plain };
        let holds = |rule: &Rule| {
            predicate::by_request(rule)
                && predicate::request(rule, request).is_ok()
                && predicate::connection(rule, connection).is_ok()
        };
        let first = index.lists(request.host).fold(None, |first, list| earlier(first, list, holds));
        first.map(|entry| entry.rule.id)
    }

    /// The HTTP routes that a connection's requests may take, as far as is known before the first: by its SNI, client, ALPN
    /// and TLS versions. A route with several hosts may come several times.
    pub fn candidates<'a>(&'a self, facts: &'a ConnectionFacts<'a>) -> impl Iterator<Item = RouteId> + 'a {
        let lists = facts.tls.map(|tls| self.tls.lists(tls.server_name)).into_iter().flatten();
        let named = lists.flatten().map(|entry| &*entry.rule).filter(|rule| predicate::by_request(rule));
        let is_plain_http = |rule: &&Rule| rule.tls == TlsHandling::Plain && rule.protocol == Protocol::Http;
        let plain = self.in_order().filter(is_plain_http).filter(|_| facts.tls.is_none());
        named.chain(plain).filter(|rule| predicate::connection(rule, facts).is_ok()).map(|rule| rule.id)
    }

    /// Every rule once, the one that goes first in front.
    pub fn in_order(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(|rule| &**rule)
    }

    fn plain_connection(&self, facts: &ConnectionFacts<'_>) -> Decision {
        let admits = |rule: &&Arc<Rule>| predicate::client(rule, facts.client).is_ok();
        let http = self.plain_http.iter().find(admits).filter(|_| facts.speaks_http);
        let tcp = self.plain_tcp.iter().find(admits);
        let leading = match (http, tcp) {
            (Some(http), Some(tcp)) if tcp.priority > http.priority => Some(tcp),
            (Some(http), _) => Some(http),
            (None, tcp) => tcp,
        };
        leading.map_or(Decision::NoRoute, |rule| Decision::Plain { leading: rule.id, protocol: rule.protocol })
    }
}

/// The first entry of a list that holds, if it goes before the one that was found so far; else that one.
///
/// The list is in order, so it is left where it can no longer win.
fn earlier<'a>(
    first: Option<&'a Entry<Arc<Rule>>>,
    list: &'a [Entry<Arc<Rule>>],
    holds: impl Fn(&Rule) -> bool,
) -> Option<&'a Entry<Arc<Rule>>> {
    let mut before = list.iter().take_while(|entry| first.is_none_or(|first| entry.rank < first.rank));
    before.find(|entry| holds(&entry.rule)).or(first)
}

/// Of rules in order, those that can be the first whose clients hold: one for each set of clients, up to the one for
/// all.
fn first_of_clients<'a>(rules: impl Iterator<Item = &'a Arc<Rule>>) -> Box<[Arc<Rule>]> {
    let mut first = Vec::new();
    let mut seen = HashSet::new();
    for rule in rules {
        if seen.insert(rule.client_ips.as_ref()) {
            first.push(Arc::clone(rule));
        }
        if rule.client_ips.is_none() {
            break;
        }
    }
    first.into()
}
