//! The order in which rules are tried.

use std::cmp::Reverse;

use super::{RouteId, Rule};
use crate::name::{HostPattern, PathSpecificity};

/// A rule under one of its host patterns, or under none if it names no host.
///
/// A rule with two patterns stands in the order twice, because each is as specific as it is: `shop.example.com` of one
/// rule goes before `*.example.com` of another, and that before `**.com` of the first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ranked<'a> {
    /// The rule's place among those that were given.
    pub(super) place: usize,
    pub(super) rule: &'a Rule,
    pub(super) host: Option<&'a HostPattern>,
}

/// The rules under each of their patterns, the one that goes first in front: an entry's place is its rank.
///
/// In this order, the next one deciding between equals:
/// 1. the higher `priority`;
/// 2. the host: an exact name, then `*.name`, then `**.name` with the longer name first, then none;
/// 3. the path: see [`PathSpecificity`], and none last;
/// 4. the number of the other predicates (methods, client addresses, ALPN, TLS versions, and each header is one);
/// 5. the smaller set of client addresses;
/// 6. the place in the file.
pub(super) fn ranked<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> Vec<Ranked<'a>> {
    let mut entries = Vec::new();
    for (place, rule) in rules.into_iter().enumerate() {
        entries.extend(rule.domains.iter().map(|host| Ranked { place, rule, host: Some(host) }));
        if rule.domains.is_empty() {
            entries.push(Ranked { place, rule, host: None });
        }
    }
    entries.sort_by_cached_key(|entry| Key::new(entry.rule, entry.host));
    entries
}

/// Compared field by field; the smaller goes first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    priority: Reverse<i32>,
    host: Reverse<HostSpecificity>,
    path: Reverse<Option<PathSpecificity>>,
    predicates: Reverse<usize>,
    clients: u128,
    id: RouteId,
}

impl Key {
    fn new(rule: &Rule, host: Option<&HostPattern>) -> Self {
        let lists =
            [!rule.methods.is_empty(), rule.client_ips.is_some(), !rule.alpn.is_empty(), !rule.tls_versions.is_empty()];
        let predicates = lists.into_iter().filter(|asked| *asked).count();
        Self {
            priority: Reverse(rule.priority),
            host: Reverse(HostSpecificity::new(host)),
            path: Reverse(rule.path.as_ref().map(|path| path.specificity())),
            predicates: Reverse(predicates.saturating_add(rule.headers.len())),
            clients: rule.client_ips.as_ref().map_or(u128::MAX, |clients| clients.size()),
            id: rule.id,
        }
    }
}

/// The greater is the more specific. Of the patterns of one kind that meet one host, only `**` can differ in length.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum HostSpecificity {
    Nameless,
    AnyLabels { length: usize },
    OneLabel,
    Exact,
}

impl HostSpecificity {
    fn new(host: Option<&HostPattern>) -> Self {
        match host {
            None => Self::Nameless,
            Some(HostPattern::AnyLabels(name)) => Self::AnyLabels { length: name.as_str().len() },
            Some(HostPattern::OneLabel(_)) => Self::OneLabel,
            Some(HostPattern::Exact(_)) => Self::Exact,
        }
    }
}
