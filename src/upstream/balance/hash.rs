use std::cmp::Reverse;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Score {
    /// The bits of a double that is never negative: in their order.
    weighted: u64,
    /// Between equal scores, the one written first.
    place: Reverse<usize>,
}

impl Score {
    pub(super) fn new(client: IpAddr, target: &TargetKey, weight: NonZeroU16, place: usize) -> Self {
        let mut hash = Fnv(OFFSET);
        match canonical(client) {
            IpAddr::V4(address) => hash.write(&address.octets()),
            IpAddr::V6(address) => hash.write(&address.octets()),
        }
        target.hash(&mut hash);
        // Uniform, and neither 0 nor 1: a double holds 53 bits, and the last is the half step.
        #[expect(clippy::cast_precision_loss, reason = "52 bits fit")]
        let uniform = ((mix(hash.0) >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
        // Exponential with the weight as its rate: the chance to be the smallest is the share of the weight.
        let weighted = f64::from(weight.get()) / -uniform.ln();
        Self { weighted: weighted.to_bits(), place: Reverse(place) }
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
