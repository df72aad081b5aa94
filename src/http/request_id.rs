use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

use http::HeaderValue;

/// The name of one request, in the access log, in error answers and at the target: 128 bits in hex, or what a trusted
/// proxy before us has called it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

/// The longest name that is taken over from a trusted proxy.
pub(super) const LENGTH_MAX: usize = 128;

impl RequestId {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        let number = random();
        let mut text = [0; 32];
        for (digits, shift) in text.as_chunks_mut::<8>().0.iter_mut().zip([96, 64, 32, 0]) {
            *digits = hex((number >> shift) as u32);
        }
        Self(HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("0")))
    }

    /// What a trusted proxy calls the request, if that is printable, has no space and is no longer than 128 characters.
    #[must_use]
    pub fn adopt(value: &HeaderValue) -> Option<Self> {
        let bytes = value.as_bytes();
        let sound = !bytes.is_empty() && bytes.len() <= LENGTH_MAX && bytes.iter().all(u8::is_ascii_graphic);
        sound.then(|| Self(value.clone()))
    }

    /// The name as a header's value.
    #[must_use]
    pub fn header(&self) -> &HeaderValue {
        &self.0
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// 128 bits that are unlikely to come twice: no secret, so a generator per thread that is seeded once is enough.
pub(super) fn random() -> u128 {
    thread_local! {
        static STATE: Cell<u128> = {
            // The standard library's hash keys are the system's random bytes, and differ for each `RandomState`.
            let (high, low) = (RandomState::new().hash_one(0_u8), RandomState::new().hash_one(1_u8));
            Cell::new((u128::from(high) << 64) | u128::from(low))
        };
    }
    STATE.with(|state| {
        // A linear congruential step on 128 bits, each half then mixed by the finaliser of SplitMix64.
        let next =
            state.get().wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645).wrapping_add(0x5851_F42D_4C95_7F2D);
        state.set(next);
        (u128::from(mixed((next >> 64) as u64)) << 64) | u128::from(mixed((next >> 32) as u64))
    })
}

/// The number's eight digits, made side by side.
const fn hex(number: u32) -> [u8; 8] {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let number = number as u64;
    let halves = ((number << 16) | number) & 0x0000_FFFF_0000_FFFF;
    let bytes = ((halves << 8) | halves) & 0x00FF_00FF_00FF_00FF;
    let digits = ((bytes << 4) | bytes) & (ONES * 0x0F);
    // Six above a digit that is a letter is 16 or more.
    let letters = ((digits + ONES * 6) >> 4) & ONES;
    (digits + ONES * b'0' as u64 + letters * (b'a' - b'0' - 10) as u64).to_be_bytes()
}

const fn mixed(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_32_hex_digits_and_differ() {
        let ids: HashSet<String> = (0..10_000).map(|_| RequestId::random().to_string()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit())));
    }

    #[test]
    fn digits_are_those_of_the_number() {
        for number in
            (0..32).map(|shift| 0x9ABC_DEF0_u32.rotate_left(shift)).chain([0, 9, 10, 15, 16, u32::MAX, 0x1234_5678])
        {
            assert_eq!(hex(number), format!("{number:08x}").as_bytes());
        }
    }

    #[test]
    fn an_id_is_taken_over_up_to_the_longest_and_only_if_it_is_one_word() {
        let adopt = |text: &str| RequestId::adopt(&HeaderValue::from_str(text).unwrap());
        assert_eq!(adopt("abc-1").unwrap().as_str(), "abc-1");
        assert!(adopt(&"a".repeat(LENGTH_MAX)).is_some());
        assert!(adopt(&"a".repeat(LENGTH_MAX + 1)).is_none());
        assert!(adopt("").is_none());
        assert!(adopt("a b").is_none());
        assert!(RequestId::adopt(&HeaderValue::from_bytes(b"\xff").unwrap()).is_none());
    }
}
