//! Which targets a connection is tried at, and in which order.

mod chance;
mod group;
mod hash;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::Arc;

use self::group::{Group, Share, Turn};
use super::health::{Health, Probe, Verdict};
use super::target::Target;

/// How the first target of a connection is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// In turn, by weight.
    RoundRobin,
    /// By chance, by weight.
    Random,
    /// The one with the fewest connections for its weight.
    LeastConnections,
    /// The same one for the same client address.
    IpHash,
}

/// One target of a route.
#[derive(Clone, Debug)]
pub struct Member {
    /// The target, which other routes may have too.
    pub target: Arc<Target>,
    /// Its share against the other members' weights.
    pub weight: NonZeroU16,
    /// Whether it is only tried when every member that is no backup has failed.
    pub backup: bool,
    /// What is known of it on this route; `None` is not to be known.
    pub health: Option<Arc<Health>>,
}

/// The targets of a route, and whose turn it is.
#[derive(Debug)]
pub struct Targets {
    algorithm: Algorithm,
    primaries: Group,
    backups: Group,
}

impl Targets {
    /// The targets in the order in which they are written.
    #[must_use]
    pub fn new(members: Vec<Member>, algorithm: Algorithm) -> Self {
        let (backups, primaries) = members.into_iter().partition(|member| member.backup);
        Self { algorithm, primaries: Group::new(primaries), backups: Group::new(backups) }
    }

    /// How the first one is chosen.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// All of them with what is known of their health, backups last.
    pub fn all(&self) -> impl Iterator<Item = (&Arc<Target>, Option<&Arc<Health>>)> {
        let shares = self.primaries.shares().chain(self.backups.shares());
        shares.map(|share| (&share.target, share.health.as_ref()))
    }

    /// All of them as they are written, backups last: each with its weight against the others of its kind, and whether it is
    /// a backup.
    pub fn standings(&self) -> impl Iterator<Item = (&Arc<Target>, NonZeroU16, bool)> {
        let primaries = self.primaries.shares().map(|share| (&share.target, share.weight(), false));
        primaries.chain(self.backups.shares().map(|share| (&share.target, share.weight(), true)))
    }

    /// The targets in the order in which one connection of `client` tries them: each once, backups after the others, and
    /// those that are set aside last of all.
    ///
    /// Taking the first one of it is what counts as a turn; a backup is chosen only when it is asked for. One that is set
    /// aside and whose time is over keeps its place for the one connection that probes it.
    #[must_use]
    pub fn order(&self, client: IpAddr) -> Order<'_> {
        let group = Some(&self.primaries);
        Order { targets: self, client, group, turn: Turn::Next, seen: None, waiting: VecDeque::new() }
    }
}

/// See [`Targets::order`].
#[derive(Debug)]
pub struct Order<'a> {
    targets: &'a Targets,
    client: IpAddr,
    /// The group that it has come to; `None` after the last.
    group: Option<&'a Group>,
    /// How far it has come there.
    turn: Turn,
    /// Looked at, and not taken yet.
    seen: Option<Choice<'a>>,
    /// Passed over, since they are set aside.
    waiting: VecDeque<&'a Share>,
}

impl<'a> Order<'a> {
    /// The next one, without taking it.
    pub fn peek(&mut self) -> Option<&Choice<'a>> {
        self.seen = self.next();
        self.seen.as_ref()
    }
}

impl<'a> Iterator for Order<'a> {
    type Item = Choice<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(choice) = self.seen.take() {
            return Some(choice);
        }
        while let Some(group) = self.group {
            let Some(share) = group.take(self.targets.algorithm, self.client, &mut self.turn) else {
                let backups = &self.targets.backups;
                self.group = (!std::ptr::eq(group, backups)).then_some(backups);
                self.turn = Turn::Next;
                continue;
            };
            match share.health.as_deref().map_or(Verdict::Use, Health::ask) {
                Verdict::Use => return Some(Choice { share, probe: None }),
                Verdict::Probe(probe) => return Some(Choice { share, probe: Some(probe) }),
                Verdict::Wait => self.waiting.push_back(share),
            }
        }
        self.waiting.pop_front().map(|share| Choice { share, probe: None })
    }
}

/// A target that is to be tried, and who hears what comes of it.
#[derive(Debug)]
pub struct Choice<'a> {
    share: &'a Share,
    probe: Option<Probe<'a>>,
}

impl<'a> Choice<'a> {
    /// The target.
    #[must_use]
    pub fn target(&self) -> &'a Arc<Target> {
        &self.share.target
    }

    /// Whether this is the one connection that finds out whether the target is back.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.probe.is_some()
    }

    /// What is known of the target.
    pub(super) fn health(&self) -> Option<&'a Health> {
        self.share.health.as_deref()
    }
}

#[cfg(test)]
mod tests;
