//! Finding the entries whose host pattern meets a name, without looking at the others.

use std::collections::HashMap;
use std::iter;
use std::ops::{Deref, Range};

use super::Rule;
use crate::name::{HostName, HostPattern};

/// The place of an entry in the order of trying; 0 goes first.
pub(super) type Rank = usize;

/// A rule under one of its host patterns.
#[derive(Debug)]
pub(super) struct Entry<R> {
    pub(super) rank: Rank,
    pub(super) rule: R,
}

/// Entries by host pattern; `R` is how a rule is held.
///
/// A look-up is one hash look-up for the name, one for its parent and one for each name above that can have a `**`,
/// whatever the number of patterns, and allocates nothing. How many those are is up to the configuration, never to the
/// peer.
#[derive(Debug)]
pub(super) struct HostIndex<R> {
    names: HashMap<Box<str>, Lists>,
    nameless: Range<usize>,
    /// All lists, one behind the other, each in order.
    entries: Box<[Entry<R>]>,
    /// The most labels that the name of a `**` pattern has.
    any_labels_max: usize,
}

/// Where the entries of one name are.
#[derive(Debug, Default)]
struct Lists {
    exact: Range<usize>,
    one_label: Range<usize>,
    any_labels: Range<usize>,
}

impl<R: Deref<Target = Rule>> HostIndex<R> {
    /// Builds the index of entries, given in the order of their ranks.
    pub(super) fn new<'a>(entries: impl Iterator<Item = (Entry<R>, Option<&'a HostPattern>)>) -> Self {
        let mut entries: Vec<_> = entries.collect();
        // Stable, so each list stays in the order of ranks.
        entries.sort_by_key(|(_, host)| *host);
        let names = HashMap::with_capacity(entries.len());
        let mut index = Self { names, nameless: 0..0, entries: [].into(), any_labels_max: 0 };
        let mut start = 0_usize;
        for same in entries.chunk_by(|(_, host), (_, next)| host == next) {
            let end = start.saturating_add(same.len());
            match same.first().and_then(|(_, host)| *host) {
                None => index.nameless = start..end,
                Some(host) => index.insert(host, start..end),
            }
            start = end;
        }
        index.entries = entries.into_iter().map(|(entry, _)| entry).collect();
        index
    }

    fn insert(&mut self, host: &HostPattern, list: Range<usize>) {
        let name = host.name().as_str();
        let lists = self.names.entry(name.into()).or_default();
        match host {
            HostPattern::Exact(_) => lists.exact = list,
            HostPattern::OneLabel(_) => lists.one_label = list,
            HostPattern::AnyLabels(_) => {
                lists.any_labels = list;
                self.any_labels_max = self.any_labels_max.max(name.split('.').count());
            }
        }
    }

    /// The lists of the patterns that meet a host, the most specific pattern first; the nameless ones last.
    ///
    /// Without a host only the nameless ones: an unknown name meets no pattern.
    pub(super) fn lists<'n>(&'n self, host: Option<&'n HostName>) -> impl Iterator<Item = &'n [Entry<R>]> {
        self.upwards(host.map(HostName::as_str), host.and_then(HostName::parent), true)
    }

    /// The lists of the patterns that cover a pattern, itself included; the nameless ones last.
    pub(super) fn covering<'n>(&'n self, host: Option<&'n HostPattern>) -> impl Iterator<Item = &'n [Entry<R>]> {
        match host {
            None => self.upwards(None, None, false),
            Some(HostPattern::Exact(name)) => self.upwards(Some(name.as_str()), name.parent(), true),
            Some(HostPattern::OneLabel(name)) => self.upwards(None, Some(name.as_str()), true),
            Some(HostPattern::AnyLabels(name)) => self.upwards(None, Some(name.as_str()), false),
        }
    }

    /// The lists of a name, of the wildcards of its parent and of those above, and the nameless one.
    fn upwards<'n>(
        &'n self,
        name: Option<&str>,
        parent: Option<&'n str>,
        one_label: bool,
    ) -> impl Iterator<Item = &'n [Entry<R>]> + use<'n, R> {
        let exact = name.and_then(|name| self.names.get(name)).map(|lists| &lists.exact);
        let parents = parent.into_iter().flat_map(|parent| self.parents(parent));
        let wildcards = parents.flat_map(move |(nearest, name)| {
            let lists = self.names.get(name);
            let one_label = lists.filter(|_| nearest && one_label).map(|lists| &lists.one_label);
            one_label.into_iter().chain(lists.map(|lists| &lists.any_labels))
        });
        let ranges = exact.into_iter().chain(wildcards).chain(iter::once(&self.nameless));
        ranges.filter_map(|range| self.entries.get(range.clone()))
    }

    /// A name, which is said to be the nearest, and the names above it that can have a `**`.
    fn parents<'n>(&self, name: &'n str) -> impl Iterator<Item = (bool, &'n str)> + use<'n, R> {
        let above = iter::successors(Some(name), |name| name.split_once('.').map(|(_, parent)| parent)).skip(1);
        let labels_max = self.any_labels_max;
        let too_deep = if labels_max == 0 { usize::MAX } else { above.clone().count().saturating_sub(labels_max) };
        iter::once((true, name)).chain(above.skip(too_deep).map(|name| (false, name)))
    }
}
