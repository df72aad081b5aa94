use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::hash::Score;
use super::{Algorithm, Member, chance};
use crate::upstream::health::Health;
use crate::upstream::target::Target;

/// Targets of equal standing.
#[derive(Debug)]
pub(super) struct Group {
    members: Box<[Share]>,
    /// The sum of all weights.
    total: u64,
    /// How far each turn goes round the circle of weights.
    stride: u64,
    turns: AtomicU64,
    /// The turns of targets that are set aside, which the others share.
    detours: AtomicU64,
}

#[derive(Debug)]
pub(super) struct Share {
    pub(super) target: Arc<Target>,
    pub(super) health: Option<Arc<Health>>,
    weight: NonZeroU16,
    /// Where its part of the circle of weights ends.
    end: u64,
}

impl Share {
    pub(super) fn weight(&self) -> NonZeroU16 {
        self.weight
    }

    /// Whether it is set aside, and not to be probed now either.
    fn waits(&self) -> bool {
        self.health.as_ref().is_some_and(|health| health.waits())
    }
}

/// How far one connection has come in a group.
#[derive(Clone, Copy, Debug)]
pub(super) enum Turn {
    /// None tried yet.
    Next,
    /// `tried` targets from the one at `first` on, in the order of writing.
    After { first: usize, tried: usize },
    /// Those with a higher score, and this one.
    Below(Score),
}

impl Group {
    pub(super) fn new(members: Vec<Member>) -> Self {
        let divisor = members.iter().map(|member| member.weight).reduce(common).unwrap_or(NonZeroU16::MIN);
        let mut total = 0_u64;
        let share = |member: Member| {
            let weight = NonZeroU16::new(member.weight.get() / divisor).unwrap_or(NonZeroU16::MIN);
            total = total.saturating_add(u64::from(weight.get()));
            Share { target: member.target, health: member.health, weight, end: total }
        };
        let members: Box<[Share]> = members.into_iter().map(share).collect();
        let equal = members.iter().all(|share| share.weight == NonZeroU16::MIN);
        let stride = if equal { 1 } else { spread(total) };
        Self { members, total, stride, turns: AtomicU64::new(0), detours: AtomicU64::new(0) }
    }

    pub(super) fn shares(&self) -> impl Iterator<Item = &Share> {
        self.members.iter()
    }

    /// The next target, each of the group once. A target that is set aside does not come first if there is another; else
    /// it comes in its place, and the caller has to see to it.
    pub(super) fn take(&self, algorithm: Algorithm, client: IpAddr, turn: &mut Turn) -> Option<&Share> {
        let index = match *turn {
            Turn::Next => match algorithm {
                Algorithm::IpHash => return self.take_by_hash(client, None, turn),
                Algorithm::RoundRobin => {
                    let index = self.in_turn()?;
                    self.instead_of(index, |total| self.detours.fetch_add(1, Ordering::Relaxed).checked_rem(total))
                }
                Algorithm::Random => self.instead_of(self.at(chance::below(self.total)?), chance::below),
                Algorithm::LeastConnections => self.least_connections()?,
            },
            Turn::Below(score) => return self.take_by_hash(client, Some(score), turn),
            Turn::After { first, tried } => {
                if tried >= self.members.len() {
                    return None;
                }
                *turn = Turn::After { first, tried: tried.saturating_add(1) };
                let index = first.checked_add(tried)?.checked_rem(self.members.len())?;
                return self.members.get(index);
            }
        };
        *turn = Turn::After { first: index, tried: 1 };
        self.members.get(index)
    }

    /// The target at `index`, or, if it is set aside, one of those that are not, by their weights: the one at the point
    /// of their smaller circle that `choose` gives. Only then is there more to do than to look at one target.
    fn instead_of(&self, index: usize, choose: impl FnOnce(u64) -> Option<u64>) -> usize {
        if self.members.get(index).is_none_or(|share| !share.waits()) {
            return index;
        }
        // Asked once of each: another worker may change the answer meanwhile.
        let ready: Vec<(usize, u64)> = (0..)
            .zip(&self.members)
            .filter(|(_, share)| !share.waits())
            .scan(0_u64, |end, (index, share)| {
                *end = end.saturating_add(u64::from(share.weight.get()));
                Some((index, *end))
            })
            .collect();
        let chosen = ready.last().and_then(|(_, total)| choose(*total)).and_then(|point| {
            let place = ready.partition_point(|(_, end)| *end <= point);
            ready.get(place).map(|(index, _)| *index)
        });
        chosen.unwrap_or(index)
    }

    /// Weighted round-robin without a table and without a lock: each turn goes a fixed step round the circle of weights.
    ///
    /// The step has no divisor in common with the circle, so a cycle visits every point once and gives each target exactly
    /// its weight; and it is near the golden section, which spreads a target's visits evenly over the cycle.
    fn in_turn(&self) -> Option<usize> {
        if self.members.len() == 1 {
            return Some(0);
        }
        let turn = self.turns.fetch_add(1, Ordering::Relaxed).checked_rem(self.total)?;
        let point = u128::from(turn).checked_mul(u128::from(self.stride))?.checked_rem(u128::from(self.total))?;
        Some(self.at(u64::try_from(point).ok()?))
    }

    /// The target whose part of the circle holds the point.
    fn at(&self, point: u64) -> usize {
        self.members.partition_point(|share| share.end <= point)
    }

    /// The target with the least connections for its weight, counting the one to be made, of those that are not set aside
    /// if there are any; of equals the one whose turn it is, so that idle targets share what comes.
    fn least_connections(&self) -> Option<usize> {
        let start = self.in_turn()?;
        let load = |index: usize| {
            let share = self.members.get(index)?;
            let connections = u64::from(share.target.in_flight()).saturating_add(1);
            Some((index, share.waits(), connections, u64::from(share.weight.get())))
        };
        let indices = (start..self.members.len()).chain(0..start);
        indices
            .filter_map(load)
            .min_by(|(_, a_waits, a, a_weight), (_, b_waits, b, b_weight)| {
                // a/b < c/d without division; 2^33 times 2^16 fits.
                let fuller = a.saturating_mul(*b_weight).cmp(&b.saturating_mul(*a_weight));
                a_waits.cmp(b_waits).then(fuller)
            })
            .map(|(index, ..)| index)
    }

    /// The target with the highest score for the client, of those below `bound`.
    fn take_by_hash(&self, client: IpAddr, bound: Option<Score>, turn: &mut Turn) -> Option<&Share> {
        let scored = self
            .members
            .iter()
            .enumerate()
            .map(|(index, share)| (Score::new(client, share.target.key(), share.weight, index), share));
        let (score, share) =
            scored.filter(|(score, _)| bound.is_none_or(|bound| *score < bound)).max_by_key(|(score, _)| *score)?;
        *turn = Turn::Below(score);
        Some(share)
    }
}

/// The number next to `total` divided by the golden ratio that has no divisor in common with `total`.
fn spread(total: u64) -> u64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_8;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "any step would do; totals are far below 2^52 and not negative"
    )]
    let near = (total as f64 * GOLDEN) as u64;
    let candidates = (0..=near).flat_map(|distance| [near.saturating_add(distance), near.saturating_sub(distance)]);
    candidates.into_iter().find(|step| divisor(*step, total) == 1).unwrap_or(1)
}

fn common(a: NonZeroU16, b: NonZeroU16) -> NonZeroU16 {
    let divisor = divisor(u64::from(a.get()), u64::from(b.get()));
    u16::try_from(divisor).ok().and_then(NonZeroU16::new).unwrap_or(NonZeroU16::MIN)
}

/// The greatest common divisor (Euclid).
fn divisor(mut a: u64, mut b: u64) -> u64 {
    while let Some(rest) = a.checked_rem(b) {
        (a, b) = (b, rest);
    }
    a
}
