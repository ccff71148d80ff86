//! The bits between two markers of a JPEG.

use crate::error::{Error, Result};

/// Reads the entropy-coded bytes of one scan, most significant bit first, and stops at markers.
///
/// It is small and copied: a loop that has one of its own has it in registers, for whatever is rare is
/// done by value.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// The next byte that is not in `held`.
    at: usize,
    /// Bits read ahead, left-aligned; zeros follow the last one.
    held: u64,
    /// How many bits of `held` are real. Negative: more were taken than there were.
    count: i32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self {
            bytes,
            at,
            held: 0,
            count: 0,
        }
    }

    /// Makes 32 bits available, zeros where the data has ended.
    #[inline]
    pub(super) fn fill(&mut self) {
        if self.count > 32 {
            return;
        }
        if let Some(eight) = self.bytes.get(self.at..self.at + 8)
            && let Ok(eight) = eight.try_into()
            && self.count >= 0
        {
            let word = u64::from_be_bytes(eight);
            if !has_ff(word) {
                self.held |= word >> self.count;
                let bytes = (63 - self.count) >> 3;
                self.at += bytes.unsigned_abs() as usize;
                self.count += bytes << 3;
                // The bits of the byte that did not fit whole are read again.
                self.held &= !(u64::MAX >> self.count);
                return;
            }
        }
        *self = self.filled_slowly();
    }

    #[cold]
    fn filled_slowly(mut self) -> Self {
        while (0..=56).contains(&self.count) {
            let byte = match (self.bytes.get(self.at), self.bytes.get(self.at + 1)) {
                // A stuffed zero says that this 0xff is data.
                (Some(0xff), Some(0)) => {
                    self.at += 2;
                    0xff
                }
                (Some(0xff) | None, _) => return self,
                (Some(byte), _) => {
                    self.at += 1;
                    *byte
                }
            };
            self.held |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
        self
    }

    /// The next `count` bits, 1 to 16, without taking them. `fill` comes first.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "16 bits fit")]
    pub(super) fn peek(&self, count: u32) -> usize {
        (self.held >> (64 - count)) as usize
    }

    /// Takes `count` bits, at most 32 since the last `fill`.
    #[inline]
    pub(super) fn skip(&mut self, count: u32) {
        self.held <<= count;
        self.count -= count.cast_signed();
    }

    /// The next `count` bits, 0 to 16, as a number.
    #[inline]
    pub(super) fn take(&mut self, count: u32) -> i32 {
        // Two shifts, because one by 64 is not defined.
        let value = (self.held >> 1) >> (63 - count);
        self.skip(count);
        i32::try_from(value).unwrap_or(0)
    }

    /// The next `count` bits, 0 to 16, as the signed difference they stand for.
    #[inline]
    pub(super) fn signed(&mut self, count: u32) -> i32 {
        let value = self.take(count);
        // A leading zero means negative.
        if count > 0 && value < 1 << (count - 1) {
            value - (1 << count) + 1
        } else {
            value
        }
    }

    /// One bit.
    #[inline]
    pub(super) fn bit(&mut self) -> bool {
        self.fill();
        self.take(1) == 1
    }

    /// Fails when more bits were taken than there are before the next marker.
    #[inline]
    pub(super) fn check(&self) -> Result<()> {
        if self.count < 0 { self.ended() } else { Ok(()) }
    }

    #[cold]
    fn ended(self) -> Result<()> {
        // What stands at the end of the file decides: nothing was cut off behind a marker.
        match self.bytes.get(self.at..self.at + 2) {
            Some(_) => Err(Error::corrupt("a scan ends before its picture")),
            None => Err(Error::truncated("the file ends within a scan")),
        }
    }

    /// Drops the bits before the next marker and takes it, which must be restart `number`.
    pub(super) fn restart(&mut self, number: u8) -> Result<()> {
        let mut at = self.position();
        while self.bytes.get(at) == Some(&0xff) && self.bytes.get(at + 1) == Some(&0xff) {
            at += 1;
        }
        match self.bytes.get(at..at + 2) {
            Some([0xff, marker]) if *marker == 0xd0 | number => {
                *self = Self::new(self.bytes, at + 2);
                Ok(())
            }
            Some(_) => Err(Error::corrupt("a restart marker is missing")),
            None => Err(Error::truncated("the file ends within a scan")),
        }
    }

    /// Where the bytes begin of which no bit was taken.
    pub(super) fn position(&self) -> usize {
        let mut at = self.at;
        for _ in 0..self.count.max(0) / 8 {
            at = at.saturating_sub(1);
            // The zero behind a 0xff was never held.
            if at > 0 && self.bytes[at] == 0 && self.bytes[at - 1] == 0xff {
                at -= 1;
            }
        }
        at
    }
}

/// Whether one of eight bytes is 0xff: then the slow way looks for markers.
fn has_ff(word: u64) -> bool {
    let inverse = !word;
    inverse.wrapping_sub(0x0101_0101_0101_0101) & word & 0x8080_8080_8080_8080 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8], count: u32) -> Vec<i32> {
        let mut bits = Bits::new(bytes, 0);
        let mut taken = Vec::new();
        loop {
            bits.fill();
            let value = bits.take(count);
            if bits.check().is_err() {
                return taken;
            }
            taken.push(value);
        }
    }

    #[test]
    fn bits_come_in_the_order_of_the_bytes() {
        let bytes: Vec<u8> = (0..40).collect();

        let nibbles = all(&bytes, 4);

        let expected: Vec<i32> = (0..40).flat_map(|byte| [byte >> 4, byte & 15]).collect();
        assert_eq!(nibbles, expected);
    }

    #[test]
    fn a_stuffed_zero_is_no_data_and_a_marker_ends_it() {
        let bytes = [
            1, 0xff, 0, 2, 3, 4, 5, 6, 7, 8, 9, 0xff, 0xd9, 7, 7, 7, 7, 7, 7, 7,
        ];

        assert_eq!(all(&bytes, 8), [1, 255, 2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn a_restart_is_found_behind_the_bits_that_fill_its_byte() {
        let bytes = [0xab, 0xff, 0xd3, 0xcd, 1, 2, 3, 4, 5, 6, 7, 8];
        let mut bits = Bits::new(&bytes, 0);
        bits.fill();
        bits.skip(3);

        bits.restart(3).expect("it stands there");

        bits.fill();
        assert_eq!(bits.take(8), 0xcd);
        assert!(bits.restart(4).is_err());
    }

    #[test]
    fn the_position_counts_stuffed_bytes() {
        let bytes = [1, 0xff, 0, 2, 3, 0xff, 0xd9, 0, 0, 0];
        let mut bits = Bits::new(&bytes, 0);
        bits.fill();

        bits.skip(8);

        assert_eq!(bits.position(), 1);
    }

    #[test]
    fn signed_numbers_follow_the_standard() {
        let mut bits = Bits::new(&[0b1010_0110, 0, 0, 0, 0, 0, 0, 0], 0);
        bits.fill();

        assert_eq!([bits.signed(3), bits.signed(3), bits.signed(0)], [5, -6, 0]);
    }
}
