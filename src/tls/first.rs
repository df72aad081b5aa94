//! The first records of a connection.

use std::io::{self, IoSlice, Write};

/// How much the first records carry together: what may be on its way before anything has been acknowledged, ten segments
/// (RFC 6928 section 2).
const EARLY: u16 = 14_600;

/// What one of them carries: with the record's own 22 bytes (RFC 8446 section 5.2) and room for options, one segment.
const SEGMENT: usize = 1360;

/// Small records at the beginning of a connection, so that its client can read what the first segment brings. A record of
/// 16 KiB is of no use before its last byte, which takes a round trip more; once the window is open, that is the cheaper one.
#[derive(Debug)]
pub(super) struct FirstRecords {
    left: u16,
}

impl FirstRecords {
    pub(super) fn new() -> Self {
        Self { left: EARLY }
    }

    /// Writes what of these bytes is to go out in small records, and says how many were taken; none, when the rest is to go
    /// as it is.
    pub(super) fn write(&mut self, writer: &mut impl Write, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.left == 0 {
            return Ok(0);
        }
        let all: usize = slices.iter().map(|slice| slice.len()).sum();
        // It is one small record by itself.
        if all <= SEGMENT {
            self.has_sent(all);
            return Ok(0);
        }
        let mut taken: usize = 0;
        for piece in slices.iter().flat_map(|slice| slice.chunks(SEGMENT)) {
            if self.left == 0 {
                break;
            }
            let written = writer.write(piece)?;
            taken = taken.saturating_add(written);
            self.has_sent(written);
            if written < piece.len() {
                break;
            }
        }
        Ok(taken)
    }

    fn has_sent(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(u16::try_from(bytes).unwrap_or(u16::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Remembers the sizes of what is written.
    #[derive(Default)]
    struct Sizes(Vec<usize>);

    impl Write for Sizes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.len());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_first_records_are_one_segment_each_and_the_later_ones_as_they_come() {
        let (mut first, mut sizes) = (FirstRecords::new(), Sizes::default());
        let bytes = vec![0; 40_000];
        let taken = first.write(&mut sizes, &[IoSlice::new(&bytes[..200]), IoSlice::new(&bytes)]).unwrap();
        assert_eq!(sizes.0.first(), Some(&200));
        assert!(sizes.0[1..].iter().all(|size| *size == SEGMENT));
        assert_eq!(taken, sizes.0.iter().sum::<usize>());
        assert!((usize::from(EARLY)..usize::from(EARLY) + SEGMENT).contains(&taken));
        assert_eq!(first.write(&mut sizes, &[IoSlice::new(&bytes)]).unwrap(), 0);
    }

    #[test]
    fn little_is_left_as_it_is_and_counts() {
        let (mut first, mut sizes) = (FirstRecords::new(), Sizes::default());
        for _ in 0..11 {
            assert_eq!(first.write(&mut sizes, &[IoSlice::new(&[0; SEGMENT])]).unwrap(), 0);
        }
        assert_eq!(first.write(&mut sizes, &[IoSlice::new(&[0; 40_000])]).unwrap(), 0);
        assert!(sizes.0.is_empty());
    }
}
