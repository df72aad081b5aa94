use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

thread_local! {
    /// Seeded by the operating system, through the standard library's hash keys.
    static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0_u8));
}

/// A number below `limit`, each as likely as the others to within one part in 2^32 of what counts here; `None` if `limit`
/// is zero. Nobody may depend on it being hard to guess.
pub(super) fn below(limit: u64) -> Option<u64> {
    let number = STATE.with(|state| {
        let next = state.get().wrapping_add(WEYL);
        state.set(next);
        mix(next)
    });
    // The high half of the product (D. Lemire, "Fast Random Integer Generation in an Interval", 2019).
    let scaled = u128::from(number).checked_mul(u128::from(limit))? >> 64;
    u64::try_from(scaled).ok().filter(|number| *number < limit)
}

/// 2^64 divided by the golden ratio (G. Steele, D. Lea, C. Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
const WEYL: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads every bit of the number over all (SplitMix64's finalizer, same source, variant 13).
pub(super) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
