//! A matrix of bytes as two of half bytes: the larger halves tell which rows are in question, and only
//! of those the other halves are read.
//!
//! It is for the largest matrix there is, that of the vocabulary: nearly all of its products are of no
//! interest but for being small, and reading it is a third to a half of what an answer waits for.
#![expect(
    clippy::inline_always,
    reason = "vector code is made where the processor's features are known"
)]

use super::machine::{BLOCK, LANES, Line, Machine, ROWS, Rows, SIGN, Work, run};
use super::product;
use super::tile::Input;
use super::weights::{At, Packed};

/// Rows that make it worth the while: only vocabularies have so many.
pub(crate) const ROWS_MIN: usize = 1 << 16;
/// Lines of half bytes in a block.
pub(super) const LINES: usize = 4;

/// The smaller half of a byte, in `0..=15`, counts as 7.5. How far it is from there: the root of the mean
/// square, where all are as likely.
const DEVIATION: f32 = 4.609_772;
/// A product is more than what it is said to be at most when it is off by so many deviations. By chance it
/// is off by eight once in 10^15; some two more allow for the largest weights of a row, whose smaller
/// halves are all on one side.
const DEVIATIONS_MAX: f32 = 10.0;

/// A byte `w` is `16 * large + small - 128`; both halves lie as 4-bit weights do.
pub(crate) struct Planes {
    /// The larger halves, and the scales of both.
    pub(super) large: Packed,
    pub(super) small: Vec<Line>,
    /// The largest scale of every row, as a half.
    pub(super) reach: Vec<[u16; ROWS]>,
}

impl Planes {
    pub(super) fn zeros(rows: usize, width: usize) -> Self {
        let large = Packed::zeros::<LINES>(rows, width);
        Self {
            small: large.lines.clone(),
            reach: vec![[0; ROWS]; rows.div_ceil(ROWS)],
            large,
        }
    }

    /// Writes a block of a row between those of the other rows.
    pub(super) fn put(&mut self, at: At, scale: u16, weights: &[u8]) {
        const SIZE: u16 = 0x7fff;
        self.large.put_scale(at, scale);
        let reach = &mut self.reach[at.sixteen][at.lane];
        *reach = (scale & SIZE).max(*reach);
        let columns = |column: usize| weights[column] ^ SIGN;
        for column in 0..BLOCK / 2 {
            let (low, high) = (columns(column), columns(column + BLOCK / 2));
            let (line, place) = self.large.place::<LINES>(at, column / 4);
            let byte = 4 * place + column % 4;
            self.large.lines[line].0[byte] = low >> 4 | high & 0xf0;
            self.small[line].0[byte] = low & 15 | high << 4;
        }
    }

    /// Writes a row into `out`, which has its width.
    pub(super) fn look_up(&self, row: usize, out: &mut [f32]) {
        let (sixteen, lane) = (row / ROWS, row % ROWS);
        for (block, out) in out.chunks_exact_mut(BLOCK).enumerate() {
            let at = At {
                sixteen,
                block,
                lane,
            };
            let scale = self.large.scale(at);
            for column in 0..BLOCK / 2 {
                let (line, place) = self.large.place::<LINES>(at, column / 4);
                let byte = 4 * place + column % 4;
                let (large, small) = (self.large.lines[line].0[byte], self.small[line].0[byte]);
                let number = |byte: u8| f32::from((byte ^ SIGN).cast_signed());
                out[column] = scale * number(large << 4 | small & 15);
                out[column + BLOCK / 2] = scale * number(large & 0xf0 | small >> 4);
            }
        }
    }

    /// What the rows' products with one token are, instead of what they are at most; `input` has no
    /// other token.
    pub(crate) fn refine<T>(
        &self,
        input: &Input,
        rows: &mut [T],
        parts: impl Fn(&mut T) -> (u32, &mut f32),
    ) {
        run(Refine {
            planes: self,
            input,
            rows,
            parts,
        });
    }
}

/// A block as it lies where all of it is read; there is nothing behind twice the lines of a half.
#[inline(always)]
pub(super) fn join(large: &[Line], small: &[Line]) -> [Line; 2 * LINES] {
    let mut lines = [Line([0; 4 * ROWS]); 2 * LINES];
    let (lows, highs) = lines.split_at_mut(large.len());
    let halves = large.iter().zip(small);
    for ((low, high), (large, small)) in lows.iter_mut().zip(highs).zip(halves) {
        for byte in 0..4 * ROWS {
            let (large, small) = (large.0[byte], small.0[byte]);
            low.0[byte] = large << 4 | small & 15;
            high.0[byte] = large & 0xf0 | small >> 4;
        }
    }
    lines
}

struct Refine<'a, T, F> {
    planes: &'a Planes,
    input: &'a Input,
    rows: &'a mut [T],
    parts: F,
}

impl<T, F: Fn(&mut T) -> (u32, &mut f32)> Work for Refine<'_, T, F> {
    #[inline(always)]
    fn run<M: Machine>(self, m: M) {
        // Rows mostly come in order, and those that lie together are computed together.
        let mut known = (usize::MAX, [[0.0; LANES]; ROWS / LANES]);
        for item in self.rows {
            let (row, product) = (self.parts)(item);
            let (sixteen, lane) = (row as usize / ROWS, row as usize % ROWS);
            if sixteen != known.0 {
                known.0 = sixteen;
                let eights = M::Rows::COUNT / LANES;
                for (part, out) in known.1.chunks_mut(eights).enumerate() {
                    let [[sums]] =
                        product::whole::<M, 1, 1>(m, self.planes, sixteen, part, [self.input]);
                    out.copy_from_slice(m.rows().eights(sums).as_ref());
                }
            }
            *product = known.1.as_flattened()[lane];
        }
    }
}

/// What has to be known of some tokens so that half of every byte is enough.
#[derive(Default)]
pub(crate) struct Bounds {
    /// The products with weights of -8 and the middle of what is left out, for every block and token.
    pub(super) offsets: Vec<i32>,
    /// What a row's product may be too small by, for every token: so many times the row's largest scale.
    pub(super) margins: Vec<f32>,
}

impl Bounds {
    /// Those of so many tokens that lie together.
    pub(super) fn of(tokens: usize, quants: &[u8], scales: &[f32], offsets4: &[i32]) -> Self {
        // `offsets4` are -8 times the sums of the bytes: with the middle they are 7.5 / 16 - 8 times.
        const SHARE: i32 = 15;
        let offsets = offsets4.iter().map(|offset| offset - offset * SHARE / 256);
        let mut squares = vec![0f32; tokens];
        let blocks = quants.chunks_exact(tokens * BLOCK);
        for (block, scales) in blocks.zip(scales.chunks_exact(tokens)) {
            for (place, four) in block.as_chunks::<4>().0.iter().enumerate() {
                for byte in four {
                    let size = f32::from(byte.cast_signed()) * scales[place % tokens];
                    squares[place % tokens] += size * size;
                }
            }
        }
        let margin = |square: f32| DEVIATIONS_MAX * DEVIATION * square.sqrt();
        Self {
            offsets: offsets.collect(),
            margins: squares.into_iter().map(margin).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::GgmlDType;

    use super::super::multiply::{Wanted, multiply, stride};
    use super::super::pool::Pool;
    use super::super::reference::{file, random, tiles};
    use super::super::tile::{TILE, Tile};
    use super::super::weights::{Form, Matrix};
    use super::*;
    use crate::error::Result;
    use crate::splitmix::SplitMix64;

    const WIDTH: usize = 96;
    const ROWS: usize = ROWS_MIN + 5;
    /// Rows of the first of two matrices that are too small for planes.
    const FIRST: usize = ROWS_MIN - LANES;

    fn read(rows: usize, bytes: &[u8]) -> Result<Matrix> {
        Matrix::read("m", &mut &bytes[..], GgmlDType::Q8_0, rows, WIDTH)
    }

    /// By groups, tokens and rows.
    fn products(matrices: &[&Matrix], tiles: &[Tile], tokens: usize, wanted: Wanted) -> Vec<f32> {
        let groups = matrices.iter().map(|matrix| matrix.groups());
        let mut out = vec![0.0; groups.sum::<usize>() * LANES * stride(tokens)];
        let mut pool = Pool::new(1).expect("nobody has to be started");
        multiply(&mut pool, matrices, tiles, tokens, wanted, &mut out);
        out
    }

    #[test]
    fn two_planes_have_the_products_of_one_and_the_larger_tells_how_large_they_are() -> Result<()> {
        let mut seed = SplitMix64(5);
        let bytes = file(GgmlDType::Q8_0, ROWS, WIDTH, &mut seed);
        let planes = read(ROWS, &bytes)?;
        let (first, second) = bytes.split_at(bytes.len() / ROWS * FIRST);
        let packed = [read(FIRST, first)?, read(ROWS - FIRST, second)?];
        let Form::Planes(halves) = &planes.form else {
            panic!("a matrix with so many rows has planes");
        };
        let (mut row, mut same) = ([0.0; WIDTH], [0.0; WIDTH]);
        for number in (0..FIRST).step_by(997) {
            planes.look_up(number, &mut row);
            packed[0].look_up(number, &mut same);
            assert!(row.iter().eq(&same));
        }
        for tokens in [1, 2, 3, 9] {
            let x: Vec<_> = (0..tokens * WIDTH).map(|_| random(&mut seed)).collect();
            let mut tiles = tiles(&x, WIDTH, false);

            let right = products(&[&packed[0], &packed[1]], &tiles, tokens, Wanted::Products);
            assert!(products(&[&planes], &tiles, tokens, Wanted::Products) == right);
            for tile in &mut tiles {
                tile.input.bound();
            }
            let bounds = products(&[&planes], &tiles, tokens, Wanted::Bounds);

            let (mut least, mut most, mut size) = (f32::MAX, 0f32, 0f32);
            for (bound, right) in bounds.iter().zip(&right) {
                (least, most) = (least.min(bound - right), most.max(bound - right));
                size = size.max(right.abs());
            }
            assert!(
                least >= 0.0 && most > 0.0 && most < size,
                "{least} {most} {size}"
            );
            let last = tokens - 1;
            let input = tiles[last / TILE].input.only(last % TILE);
            let mut items: Vec<_> = (0u32..).step_by(3).zip([0.0; 500]).collect();
            halves.refine(&input, &mut items, |(row, product)| (*row, product));
            for (row, product) in items {
                let (group, lane) = (row as usize / LANES, row as usize % LANES);
                let place = (group * stride(tokens) + last) * LANES + lane;
                assert_eq!(product.to_bits(), right[place].to_bits());
            }
        }
        Ok(())
    }
}
