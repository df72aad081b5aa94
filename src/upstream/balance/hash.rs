use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::num::NonZeroU16;

use super::chance::mix;
use crate::net::canonical;
use crate::upstream::target::TargetKey;

/// How much a client belongs to a target: of a client's targets the one with the highest score is the first.
///
/// This is rendezvous hashing: a target's score does not depend on the other targets, so one that is added or removed
/// moves only its own clients. It is the same in every process, and so after a restart.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(super) struct Score {
    weighted: f64,
    /// Between equal scores, the one written first.
    place: std::cmp::Reverse<usize>,
}

impl Score {
    pub(super) fn new(client: IpAddr, target: &TargetKey, weight: NonZeroU16, place: usize) -> Self {
        let mut hash = Fnv(OFFSET);
        match canonical(client) {
            IpAddr::V4(address) => hash.write(&address.octets()),
            IpAddr::V6(address) => hash.write(&address.octets()),
        }
        target.hash(&mut hash);
        // Uniform in (0, 1): 53 bits are what a double holds, and half a step keeps it from zero.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let uniform = ((mix(hash.0) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        // Exponential with the weight as its rate: the chance to be the smallest is the share of the weight.
        Self { weighted: -f64::from(weight.get()) / uniform.ln(), place: std::cmp::Reverse(place) }
    }
}

impl Eq for Score {}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.weighted.total_cmp(&other.weighted).then(self.place.cmp(&other.place))
    }
}

/// FNV-1a, 64 bits (RFC 9923): small, and the same in every process, unlike the standard library's.
struct Fnv(u64);

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }
}
