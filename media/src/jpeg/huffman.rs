//! Huffman tables of a JPEG, laid out for few steps a symbol.

use super::bits::Bits;
use crate::error::{Error, Result};

/// Codes up to this length are found in one step.
const LOOKUP_BITS: u32 = 10;
const LOOKUP: usize = 1 << LOOKUP_BITS;

/// One table: from the next bits to a symbol.
pub(super) struct Table {
    /// By the next ten bits: the symbol, and the length of its code; 0 when it is longer.
    symbols: Box<[(u8, u8); LOOKUP]>,
    /// By the next ten bits: a whole coefficient, when its code and its value fit.
    coefficients: Box<[Coefficient; LOOKUP]>,
    /// One past the last code of each length, left-aligned to 16 bits; index 0 is length 1.
    ends: [u32; 16],
    /// What to add to a code of each length for its place in `values`.
    offsets: [i32; 16],
    values: Vec<u8>,
}

/// The run of the symbol that ends a block: it leads beyond every block.
pub(super) const END: u8 = 64;

/// A run of zeros and the value behind it, found in one step, or [`END`]; `bits` is 0 where it was
/// not.
#[derive(Clone, Copy, Default)]
pub(super) struct Coefficient {
    pub(super) value: i16,
    pub(super) run: u8,
    pub(super) bits: u8,
}

impl Table {
    /// Builds the table from the number of codes of each length and their symbols.
    pub(super) fn new(counts: &[u8; 16], values: &[u8]) -> Result<Self> {
        let mut table = Self {
            symbols: Box::new([(0, 0); LOOKUP]),
            coefficients: Box::new([Coefficient::default(); LOOKUP]),
            ends: [0; 16],
            offsets: [0; 16],
            values: values.to_vec(),
        };
        let (mut code, mut place) = (0_u32, 0_usize);
        for (length, count) in (1_u32..).zip(counts) {
            let index = length as usize - 1;
            table.offsets[index] =
                i32::try_from(place).unwrap_or(0) - i32::try_from(code).unwrap_or(0);
            for _ in 0..*count {
                let symbol = *values.get(place).ok_or_else(broken)?;
                if code >= 1 << length {
                    return Err(broken());
                }
                table.enter(code, length, symbol);
                code += 1;
                place += 1;
            }
            table.ends[index] = code << (16 - length);
            code <<= 1;
        }
        table.enter_coefficients();
        Ok(table)
    }

    fn enter(&mut self, code: u32, length: u32, symbol: u8) {
        if length > LOOKUP_BITS {
            return;
        }
        let first = (code << (LOOKUP_BITS - length)) as usize;
        let length_byte = u8::try_from(length).unwrap_or(0);
        self.symbols[first..first + (1 << (LOOKUP_BITS - length))].fill((symbol, length_byte));
    }

    fn enter_coefficients(&mut self) {
        for index in 0..LOOKUP {
            let (symbol, length) = self.symbols[index];
            let size = u32::from(symbol & 15);
            let bits = u32::from(length) + size;
            if length > 0 && symbol == 0 {
                self.coefficients[index] = Coefficient {
                    value: 0,
                    run: END,
                    bits: length,
                };
            }
            if length == 0 || size == 0 || bits > LOOKUP_BITS {
                continue;
            }
            let raw = i16::try_from((index >> (LOOKUP_BITS - bits)) & ((1 << size) - 1));
            let raw = raw.unwrap_or(0);
            let negative = raw < 1 << (size - 1);
            self.coefficients[index] = Coefficient {
                value: if negative { raw - (1 << size) + 1 } else { raw },
                run: symbol >> 4,
                bits: u8::try_from(bits).unwrap_or(0),
            };
        }
    }

    /// The coefficient that the next bits hold, if one step is enough. `Bits::fill` comes first.
    #[inline]
    pub(super) fn coefficient(&self, bits: &Bits<'_>) -> Coefficient {
        self.coefficients[bits.peek(LOOKUP_BITS) & (LOOKUP - 1)]
    }

    /// Takes the next symbol. `Bits::fill` comes first; 16 bits are left for its value.
    #[inline]
    pub(super) fn symbol(&self, bits: &mut Bits<'_>) -> Result<u8> {
        let (symbol, length) = self.symbols[bits.peek(LOOKUP_BITS) & (LOOKUP - 1)];
        if length > 0 {
            bits.skip(u32::from(length));
            return Ok(symbol);
        }
        let (symbol, length) = self.long_symbol(*bits)?;
        bits.skip(length);
        Ok(symbol)
    }

    /// The next symbol and the length of its code, which is longer than what is looked up.
    #[cold]
    fn long_symbol(&self, mut bits: Bits<'_>) -> Result<(u8, u32)> {
        let next = u32::try_from(bits.peek(16)).unwrap_or(0);
        for length in LOOKUP_BITS + 1..=16 {
            let index = length as usize - 1;
            if next < self.ends[index] {
                let code = (next >> (16 - length)).cast_signed();
                let place = usize::try_from(code + self.offsets[index]).map_err(|_| broken())?;
                let symbol = self.values.get(place).copied().ok_or_else(broken)?;
                return Ok((symbol, length));
            }
        }
        // Past the end the bits are zeros, so this may be the end and no wrong code.
        bits.skip(16);
        bits.check()?;
        Err(Error::corrupt("a Huffman code that stands for nothing"))
    }
}

fn broken() -> Error {
    Error::corrupt("a Huffman table that is none")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One code of length 2, one of length 3, one of length 12.
    fn table() -> Table {
        let mut counts = [0; 16];
        (counts[1], counts[2], counts[11]) = (1, 1, 1);
        Table::new(&counts, &[0x01, 0x12, 0x7f]).expect("a table")
    }

    #[test]
    fn short_and_long_codes_are_found() {
        // 00, 010, 011000000000, then the end.
        let bytes = [0b0001_0011, 0b0000_0000, 0b0111_1111, 0, 0, 0, 0, 0];
        let (mut bits, table) = (Bits::new(&bytes, 0), table());
        bits.fill();

        let found = [(); 3].map(|()| table.symbol(&mut bits).ok());

        assert_eq!(found, [Some(0x01), Some(0x12), Some(0x7f)]);
        assert!(table.symbol(&mut bits).is_err());
    }

    #[test]
    fn a_short_coefficient_is_one_step() {
        let bits = {
            let mut bits = Bits::new(&[0b0101_0000, 0, 0, 0, 0, 0, 0, 0], 0);
            bits.fill();
            bits
        };

        let found = table().coefficient(&bits);

        assert_eq!((found.run, found.value, found.bits), (1, 2, 5));
    }

    #[test]
    fn more_codes_than_a_length_has_are_refused() {
        let mut counts = [0; 16];
        counts[0] = 3;

        assert!(Table::new(&counts, &[1, 2, 3]).is_err());
        assert!(Table::new(&[1; 16], &[1]).is_err());
    }
}
