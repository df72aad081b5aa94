use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::hash::Score;
use super::{Algorithm, Member, chance};
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
}

#[derive(Debug)]
struct Share {
    target: Arc<Target>,
    weight: NonZeroU16,
    /// Where its part of the circle of weights ends.
    end: u64,
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
            Share { target: member.target, weight, end: total }
        };
        let members: Box<[Share]> = members.into_iter().map(share).collect();
        let equal = members.iter().all(|share| share.weight == NonZeroU16::MIN);
        let stride = if equal { 1 } else { spread(total) };
        Self { members, total, stride, turns: AtomicU64::new(0) }
    }

    pub(super) fn targets(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.members.iter().map(|share| &share.target)
    }

    /// The next target to try.
    pub(super) fn take(&self, algorithm: Algorithm, client: IpAddr, turn: &mut Turn) -> Option<&Arc<Target>> {
        let index = match *turn {
            Turn::Next => match algorithm {
                Algorithm::IpHash => return self.take_by_hash(client, None, turn),
                Algorithm::RoundRobin => self.in_turn()?,
                Algorithm::Random => self.at(chance::below(self.total)?),
                Algorithm::LeastConnections => self.least_connections()?,
            },
            Turn::Below(score) => return self.take_by_hash(client, Some(score), turn),
            Turn::After { first, tried } => {
                if tried >= self.members.len() {
                    return None;
                }
                *turn = Turn::After { first, tried: tried.saturating_add(1) };
                let index = first.checked_add(tried)?.checked_rem(self.members.len())?;
                return self.members.get(index).map(|share| &share.target);
            }
        };
        *turn = Turn::After { first: index, tried: 1 };
        self.members.get(index).map(|share| &share.target)
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

    /// The target with the least connections for its weight, counting the one to be made; of equals the one whose turn it
    /// is, so that idle targets share what comes.
    fn least_connections(&self) -> Option<usize> {
        let start = self.in_turn()?;
        let load = |index: &usize| {
            let share = self.members.get(*index)?;
            Some((u64::from(share.target.in_flight()).saturating_add(1), u64::from(share.weight.get())))
        };
        let indices = (start..self.members.len()).chain(0..start);
        indices
            .filter_map(|index| load(&index).map(|load| (index, load)))
            // a/b < c/d without division; 2^33 times 2^16 fits.
            .min_by(|(_, a), (_, b)| a.0.saturating_mul(b.1).cmp(&b.0.saturating_mul(a.1)))
            .map(|(index, _)| index)
    }

    /// The target with the highest score for the client, of those below `bound`.
    fn take_by_hash(&self, client: IpAddr, bound: Option<Score>, turn: &mut Turn) -> Option<&Arc<Target>> {
        let scored = self
            .members
            .iter()
            .enumerate()
            .map(|(index, share)| (Score::new(client, share.target.key(), share.weight, index), &share.target));
        let (score, target) =
            scored.filter(|(score, _)| bound.is_none_or(|bound| *score < bound)).max_by_key(|(score, _)| *score)?;
        *turn = Turn::Below(score);
        Some(target)
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
