//! Which targets a connection is tried at, and in which order.

mod chance;
mod group;
mod hash;

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::Arc;

use self::group::{Group, Turn};
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

    /// All of them, backups last.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.primaries.targets().chain(self.backups.targets())
    }

    /// The targets in the order in which one connection of `client` tries them: each once, backups last.
    ///
    /// Taking the first one of it is what counts as a turn; a backup is chosen only when it is asked for.
    #[must_use]
    pub fn order(&self, client: IpAddr) -> Order<'_> {
        Order { targets: self, client, primary: Turn::Next, backup: Turn::Next }
    }
}

/// See [`Targets::order`].
#[derive(Debug)]
pub struct Order<'a> {
    targets: &'a Targets,
    client: IpAddr,
    primary: Turn,
    backup: Turn,
}

impl<'a> Iterator for Order<'a> {
    type Item = &'a Arc<Target>;

    fn next(&mut self) -> Option<Self::Item> {
        let Targets { algorithm, primaries, backups } = self.targets;
        primaries
            .take(*algorithm, self.client, &mut self.primary)
            .or_else(|| backups.take(*algorithm, self.client, &mut self.backup))
    }
}

#[cfg(test)]
mod tests;
