//! The coefficients of one block, in the three ways in which they are written.

use super::{
    bits::Bits,
    header::ZIGZAG,
    huffman::{END, Table},
};
use crate::error::{Error, Result};

/// Coefficients in rows of the block.
pub(super) type Block = [i16; 64];

/// The largest difference of a first coefficient, in bits.
const DC_BITS_MAX: u8 = 15;

/// By the last coefficient as it is written: the last row in which one may stand.
const LAST_ROWS: [u8; 64] = {
    let (mut rows, mut at) = ([0; 64], 1);
    while at < 64 {
        let row = ZIGZAG[at] / 8;
        rows[at] = if row > rows[at - 1] {
            row
        } else {
            rows[at - 1]
        };
        at += 1;
    }
    rows
};

/// Reads a whole block; answers a row below which there is no coefficient.
pub(super) fn sequential(
    reader: &mut Bits<'_>,
    (dc, ac): (&Table, &Table),
    previous: &mut i32,
    block: &mut Block,
) -> Result<usize> {
    // A copy stays in registers.
    let mut bits = *reader;
    block[0] = first(&mut bits, dc, previous)?;
    let (mut at, mut last) = (1, 0);
    while at < 64 {
        bits.fill();
        let quick = ac.coefficient(&bits);
        let value = if quick.bits > 0 {
            bits.skip(u32::from(quick.bits));
            at += usize::from(quick.run);
            quick.value
        } else {
            let symbol = ac.symbol(&mut bits)?;
            let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            if size == 0 {
                if run < 15 {
                    break;
                }
                at += 16;
                continue;
            }
            at += run;
            low(bits.signed(size))
        };
        let Some(place) = ZIGZAG.get(at) else {
            if quick.run == END {
                break;
            }
            return Err(beyond());
        };
        block[usize::from(*place) % 64] = value;
        last = at;
        at += 1;
    }
    bits.check()?;
    *reader = bits;
    Ok(usize::from(LAST_ROWS[last]))
}

/// Reads a first coefficient, which is written as the difference to the previous block's.
#[expect(
    clippy::inline_always,
    reason = "the bits of who calls it leave the registers otherwise"
)]
#[inline(always)]
pub(super) fn first(bits: &mut Bits<'_>, dc: &Table, previous: &mut i32) -> Result<i16> {
    bits.fill();
    let size = dc.symbol(bits)?;
    if size > DC_BITS_MAX {
        return Err(Error::corrupt("a difference of too many bits"));
    }
    *previous = previous.wrapping_add(bits.signed(u32::from(size)));
    bits.check()?;
    Ok(low(*previous))
}

/// A scan of some coefficients of one component of a progressive picture.
pub(super) struct Band {
    pub(super) first: usize,
    pub(super) last: usize,
    /// The lowest bit that this scan brings.
    pub(super) low: u32,
    /// Blocks from here on in which nothing is new.
    pub(super) empty: u32,
}

impl Band {
    /// Reads the upper bits of coefficients that are zero until now.
    pub(super) fn begin(
        &mut self,
        bits: &mut Bits<'_>,
        ac: &Table,
        block: &mut Block,
    ) -> Result<()> {
        if self.empty > 0 {
            self.empty -= 1;
            return Ok(());
        }
        let mut at = self.first;
        while at <= self.last {
            bits.fill();
            let symbol = ac.symbol(bits)?;
            let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            if size > 0 {
                at += run as usize;
                let place = *ZIGZAG.get(at).ok_or_else(beyond)?;
                block[usize::from(place)] = low(bits.signed(size) << self.low);
                at += 1;
            } else if run == 15 {
                at += 16;
            } else {
                self.empty = run_of_blocks(bits, run) - 1;
                break;
            }
        }
        bits.check()
    }

    /// Reads one more bit of coefficients that are known, and which ones begin with this bit.
    pub(super) fn refine(
        &mut self,
        bits: &mut Bits<'_>,
        ac: &Table,
        block: &mut Block,
    ) -> Result<()> {
        let mut at = self.first;
        while self.empty == 0 && at <= self.last {
            bits.fill();
            let symbol = ac.symbol(bits)?;
            let (run, size) = (u32::from(symbol >> 4), symbol & 15);
            let value = match size {
                0 if run < 15 => {
                    self.empty = run_of_blocks(bits, run);
                    break;
                }
                0 => 0,
                1 if bits.take(1) == 1 => 1 << self.low,
                1 => -1 << self.low,
                _ => return Err(Error::corrupt("a refinement of more than one bit")),
            };
            at = self.refine_run(bits, block, at, Some((run, value)));
        }
        if self.empty > 0 {
            self.refine_run(bits, block, at, None);
            self.empty -= 1;
        }
        bits.check()
    }

    /// Refines known coefficients from `at` on, up to and with the zero behind `run` zeros, which
    /// becomes `value`; to the end of the band without them. Answers where it stopped.
    fn refine_run(
        &self,
        bits: &mut Bits<'_>,
        block: &mut Block,
        mut at: usize,
        mut until: Option<(u32, i16)>,
    ) -> usize {
        let bit = 1_i16 << self.low;
        while at <= self.last {
            let coefficient = &mut block[usize::from(ZIGZAG[at])];
            at += 1;
            if *coefficient != 0 {
                if bits.bit() && *coefficient & bit == 0 {
                    *coefficient =
                        coefficient.wrapping_add(if *coefficient > 0 { bit } else { -bit });
                }
                continue;
            }
            match &mut until {
                Some((0, value)) => {
                    *coefficient = *value;
                    break;
                }
                Some((run, _)) => *run -= 1,
                None => {}
            }
        }
        at
    }
}

/// A number of blocks: a power of two, and as many more as the next bits say.
fn run_of_blocks(bits: &mut Bits<'_>, power: u32) -> u32 {
    bits.fill();
    (1 << power) + bits.take(power).cast_unsigned()
}

fn beyond() -> Error {
    Error::corrupt("a coefficient beyond its block")
}

/// What a coefficient holds: hostile ones wrap, as in every decoder.
#[expect(clippy::cast_possible_truncation, reason = "wrapping is the point")]
pub(super) fn low(value: i32) -> i16 {
    value as i16
}
