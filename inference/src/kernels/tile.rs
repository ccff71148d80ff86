//! A few tokens that go through the layers together, with what the next matrix reads of them.
#![expect(
    clippy::inline_always,
    reason = "vector code is made where the processor's features are known"
)]

use super::machine::{BLOCK, LANES, Machine, ROUNDING};
use super::planes::Bounds;

/// Tokens in a tile: as many as there are registers for.
pub(crate) const TILE: usize = 4;
/// The largest size of a number in a byte.
pub(crate) const SIZE_MAX: f32 = 127.0;

/// The form of activations that the matrices of a model read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Forms {
    /// Bytes with a scale for every block.
    pub(crate) quantised: bool,
    /// As they are.
    pub(crate) plain: bool,
}

/// Up to [`TILE`] tokens.
#[derive(Default)]
pub(crate) struct Tile {
    /// The place of the first token within its step.
    pub(crate) first: usize,
    pub(crate) tokens: usize,
    /// What the layers add to, token by token.
    pub(crate) residual: Vec<f32>,
    pub(crate) input: Input,
}

/// What the next matrix reads.
#[derive(Default)]
pub(crate) struct Input {
    pub(crate) forms: Forms,
    tokens: usize,
    pub(crate) width: usize,
    /// Blocks of eight times four columns of every token.
    pub(crate) quants: Vec<u8>,
    /// One for every block and token.
    pub(crate) scales: Vec<f32>,
    /// -128 times the sum of the bytes of every block, as 8-bit weights without a sign are too large by 128.
    pub(crate) offsets8: Vec<i32>,
    /// -8 times that sum, as 4-bit weights are too large by 8.
    pub(crate) offsets4: Vec<i32>,
    /// Token by token.
    pub(crate) plain: Vec<f32>,
    /// What rough products need; see [`Self::bound`].
    pub(super) bounds: Bounds,
}

impl Input {
    /// Makes room for tokens of a width; keeps the memory it has.
    pub(crate) fn begin(&mut self, tokens: usize, width: usize) {
        (self.tokens, self.width) = (tokens, width);
        if self.forms.quantised {
            let blocks = width / BLOCK * tokens;
            self.quants.resize(blocks * BLOCK, 0);
            self.scales.resize(blocks, 0.0);
            self.offsets8.resize(blocks, 0);
            self.offsets4.resize(blocks, 0);
        }
        if self.forms.plain {
            self.plain.resize(width * tokens, 0.0);
        }
    }

    /// Finds out what rough products with these tokens need.
    pub(crate) fn bound(&mut self) {
        self.bounds = Bounds::of(self.tokens, &self.quants, &self.scales, &self.offsets4);
    }

    /// One of its quantised tokens by itself, for weights of 8 bits.
    pub(crate) fn only(&self, token: usize) -> Self {
        fn every<T: Copy>(values: &[T], token: usize, tokens: usize) -> Vec<T> {
            values.iter().skip(token).step_by(tokens).copied().collect()
        }
        let columns = self.quants.as_chunks::<4>().0;
        Self {
            tokens: 1,
            width: self.width,
            quants: every(columns, token, self.tokens).into_flattened(),
            scales: every(&self.scales, token, self.tokens),
            offsets8: every(&self.offsets8, token, self.tokens),
            ..Self::default()
        }
    }

    /// Writes a token, eight columns at a time.
    #[inline(always)]
    pub(crate) fn put<M: Machine>(
        &mut self,
        m: M,
        token: usize,
        columns: impl Fn(usize) -> M::Floats,
    ) {
        if self.forms.quantised {
            for block in 0..self.width / BLOCK {
                let mut x = [m.splat(0.0); 4];
                for (part, x) in x.iter_mut().enumerate() {
                    *x = columns(block * BLOCK / LANES + part);
                }
                self.put_block(m, token, block, x);
            }
        }
        if self.forms.plain {
            let row = &mut self.plain[token * self.width..(token + 1) * self.width];
            for (index, out) in row.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                *out = m.lanes(columns(index));
            }
        }
    }

    #[inline(always)]
    fn put_block<M: Machine>(&mut self, m: M, token: usize, block: usize, x: [M::Floats; 4]) {
        let low = m.max(m.abs(x[0]), m.abs(x[1]));
        let sizes = m.max(low, m.max(m.abs(x[2]), m.abs(x[3])));
        let largest = m.largest(sizes);
        let inverse = if largest > 0.0 {
            m.splat(SIZE_MAX / largest)
        } else {
            m.splat(0.0)
        };
        let mut whole = [m.whole(x[0]); 4];
        for (whole, x) in whole.iter_mut().zip(x) {
            *whole = m.whole(m.mul(x, inverse));
        }
        let place = block * self.tokens + token;
        self.scales[place] = largest / SIZE_MAX;
        let low = m.add(m.floats(whole[0]), m.floats(whole[1]));
        let high = m.add(m.floats(whole[2]), m.floats(whole[3]));
        let sum = m.sum(m.add(low, high));
        // A float of this size counts in ones, so the number stands in its last bits; a cast would look for
        // what is not finite, too.
        let sum = (sum + ROUNDING).to_bits().wrapping_sub(ROUNDING.to_bits());
        let sum = sum.cast_signed();
        self.offsets8[place] = -128 * sum;
        self.offsets4[place] = -8 * sum;
        let bytes = m.bytes(whole);
        let first = block * self.tokens * BLOCK / 4 + token;
        let out = self.quants.as_chunks_mut::<4>().0;
        for (index, four) in bytes.as_chunks::<4>().0.iter().enumerate() {
            out[first + index * self.tokens] = *four;
        }
    }
}

/// Cuts a step into tiles; tiles that exist keep their memory.
pub(crate) fn cut(tiles: &mut Vec<Tile>, tokens: usize, width: usize, forms: Forms) {
    let count = tokens.div_ceil(TILE);
    tiles.truncate(count.max(1));
    tiles.resize_with(count, Tile::default);
    for (index, tile) in tiles.iter_mut().enumerate() {
        tile.first = index * TILE;
        tile.tokens = TILE.min(tokens - tile.first);
        tile.residual.resize(tile.tokens * width, 0.0);
        tile.input.forms = forms;
    }
}
