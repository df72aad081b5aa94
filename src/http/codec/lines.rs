use std::ops::Range;

use super::fault::HeadFault;
use super::fields::FIELDS_MAX;

/// The length of the CRLF that ends a line.
pub(super) const LINE_END: usize = 2;

/// Finds the end of a head or of a trailer section while its bytes arrive, and looks at each of them once.
///
/// What no line may hold is reported where it stands, so the answer is the same however the bytes were split.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// How many bytes have been looked at.
    seen: usize,
    /// Where the line begins that has not ended.
    line: usize,
    /// How many lines have ended, a first line among them.
    ended: usize,
}

impl Lines {
    /// Of fields without a first line: a trailer section.
    pub(super) const fn of_trailers() -> Self {
        Self { seen: 0, line: 0, ended: 1 }
    }

    pub(super) const fn begun(&self) -> bool {
        self.seen > 0
    }

    /// How many lines there are between the first and the last, once that is found.
    pub(super) const fn fields(&self) -> usize {
        self.ended.saturating_sub(1)
    }

    /// Whether the first line has not ended.
    pub(super) const fn in_first(&self) -> bool {
        self.ended == 0
    }

    /// The length of the whole with the empty line at its end; `None` if more is needed.
    ///
    /// `bytes` are those of the call before, and more. The first line is judged by `first` as soon as it has ended.
    ///
    /// # Errors
    /// A line is not one, or there is no end in `limit` bytes.
    pub(super) fn find_end(
        &mut self,
        bytes: &[u8],
        limit: usize,
        first: impl Fn(&[u8]) -> Result<(), HeadFault>,
    ) -> Result<Option<usize>, HeadFault> {
        let bytes = bytes.get(..limit).unwrap_or(bytes);
        while let Some(at) = control(bytes, self.seen) {
            match bytes.get(at..).unwrap_or_default() {
                [b'\t', ..] => self.seen = at + 1,
                [b'\r', b'\n', ..] => {
                    let line = bytes.get(self.line..at).unwrap_or_default();
                    (self.line, self.seen) = (at + 2, at + 2);
                    if self.end_line(line, &first)? {
                        return Ok(Some(at + 2));
                    }
                }
                [b'\r'] => {
                    self.seen = at;
                    return if bytes.len() < limit { Ok(None) } else { Err(HeadFault::TooLarge) };
                }
                [b'\r', ..] => return Err(HeadFault::BareCr),
                [b'\n', ..] => return Err(HeadFault::BareLf),
                [0, ..] => return Err(HeadFault::Nul),
                _ => return Err(HeadFault::Control),
            }
        }
        self.seen = bytes.len();
        if bytes.len() < limit { Ok(None) } else { Err(HeadFault::TooLarge) }
    }

    /// Takes a line; says whether it is the last.
    fn end_line(&mut self, line: &[u8], first: impl Fn(&[u8]) -> Result<(), HeadFault>) -> Result<bool, HeadFault> {
        match (self.ended, line) {
            (0, line) => first(line)?,
            (_, []) => return Ok(true),
            (_, [b' ' | b'\t', ..]) => return Err(HeadFault::Folded),
            (ended, _) if ended > FIELDS_MAX => return Err(HeadFault::TooManyFields),
            _ => {}
        }
        self.ended += 1;
        Ok(false)
    }
}

/// Where the line is that begins at `from`, in what [`Lines`] has found to be whole; none if it is the empty one at the end.
pub(super) fn line_at(head: &[u8], from: usize) -> Option<Range<usize>> {
    let mut at = from;
    loop {
        at = control(head, at)?;
        if head.get(at) != Some(&b'\t') {
            return (at > from).then_some(from..at);
        }
        at += 1;
    }
}

/// Eight bytes that are one.
const ONES: u64 = u64::from_le_bytes([0x01; 8]);

/// Eight bytes of which only the highest bit is set.
const HIGHS: u64 = ONES * 0x80;

/// Where the first control character is, at or behind `from`. DEL is left to who reads the fields.
fn control(bytes: &[u8], from: usize) -> Option<usize> {
    // The highest bit of each byte that is less than a space is set; above the lowest such byte, which is the one that is
    // asked for, a borrow may set others.
    first(bytes, from, |word| word.wrapping_sub(ONES * 0x20) & !word & HIGHS, |byte| byte < b' ')
}

/// Where the first colon is.
pub(super) fn colon(bytes: &[u8]) -> Option<usize> {
    let without = |word| word ^ (ONES * b':' as u64);
    first(bytes, 0, |word| without(word).wrapping_sub(ONES) & !without(word) & HIGHS, |byte| byte == b':')
}

/// Where the first byte is, at or behind `from`, that `is` it. `marks` has the highest bit set of the first such byte of eight,
/// and of none below it.
#[inline]
fn first(bytes: &[u8], from: usize, marks: impl Fn(u64) -> u64, is: impl Fn(u8) -> bool) -> Option<usize> {
    let (words, rest) = bytes.get(from..)?.as_chunks::<8>();
    let mut at = from;
    for word in words {
        let marked = marks(u64::from_le_bytes(*word));
        if marked != 0 {
            return Some(at + (marked.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    rest.iter().position(|byte| is(*byte)).map(|place| at + place)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_control_character_is_found(bytes in proptest::collection::vec(any::<u8>(), 0..40), from in 0_usize..42) {
            let expected = bytes.iter().enumerate().skip(from).find(|(_, byte)| **byte < b' ').map(|(at, _)| at);
            prop_assert_eq!(control(&bytes, from), expected);
            prop_assert_eq!(colon(&bytes), bytes.iter().position(|byte| *byte == b':'));
        }

        #[test]
        fn few_control_characters_are_found(place in 0_usize..60, byte in 0_u8..32, other in 32_u8..=255) {
            let mut bytes = [other; 60];
            bytes[place] = byte;
            prop_assert_eq!(control(&bytes, 0), Some(place));
            prop_assert_eq!(control(&bytes, place + 1), None);
            bytes[place] = b':';
            if other != b':' {
                prop_assert_eq!(colon(&bytes), Some(place));
            }
        }
    }
}
