//! The machine that every processor is; also what the others are tested against.
//!
//! Plain loops over eight numbers: compilers make vector code of them where it is always there, as
//! NEON is on ARM.
#![expect(
    clippy::inline_always,
    reason = "vector code is made where the processor's features are known"
)]

use std::array::from_fn;

use super::machine::{
    BLOCK, Columns, HALF_SCALE, LANES, Line, Machine, ROUNDING, ROWS, Rows, SIGN,
};

/// No features at all.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Machine for Portable {
    type Floats = [f32; LANES];
    type Whole = [i32; LANES];
    type Rows = Self;
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn rows(self) -> Self {
        self
    }

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; LANES] {
        [x; LANES]
    }

    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> [f32; LANES] {
        *x
    }

    #[inline(always)]
    fn lanes(self, x: [f32; LANES]) -> [f32; LANES] {
        x
    }

    #[inline(always)]
    fn add(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        from_fn(|lane| a[lane] + b[lane])
    }

    #[inline(always)]
    fn sub(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        from_fn(|lane| a[lane] - b[lane])
    }

    #[inline(always)]
    fn mul(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        from_fn(|lane| a[lane] * b[lane])
    }

    #[inline(always)]
    fn mul_add(self, a: [f32; LANES], b: [f32; LANES], c: [f32; LANES]) -> [f32; LANES] {
        from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
    }

    #[inline(always)]
    fn div(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        from_fn(|lane| a[lane] / b[lane])
    }

    #[inline(always)]
    fn max(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        from_fn(|lane| if a[lane] > b[lane] { a[lane] } else { b[lane] })
    }

    #[inline(always)]
    fn abs(self, x: [f32; LANES]) -> [f32; LANES] {
        x.map(f32::abs)
    }

    #[inline(always)]
    fn whole(self, x: [f32; LANES]) -> [i32; LANES] {
        let bits = |x: f32| (x + ROUNDING).to_bits().wrapping_sub(ROUNDING.to_bits());
        x.map(|x| bits(x).cast_signed())
    }

    #[inline(always)]
    fn floats(self, x: [i32; LANES]) -> [f32; LANES] {
        #[expect(
            clippy::cast_precision_loss,
            reason = "sums of products of bytes are small"
        )]
        x.map(|x| x as f32)
    }

    #[inline(always)]
    fn power_of_two(self, x: [i32; LANES]) -> [f32; LANES] {
        x.map(|x| f32::from_bits((x + 127).cast_unsigned() << 23))
    }

    #[inline(always)]
    fn halves(self, x: &[u16; LANES]) -> [f32; LANES] {
        x.map(|half| {
            let half = u32::from(half);
            let size = f32::from_bits((half & 0x7fff) << 13) * HALF_SCALE;
            f32::from_bits(size.to_bits() | (half & 0x8000) << 16)
        })
    }

    #[inline(always)]
    fn bytes(self, x: [[i32; LANES]; 4]) -> [u8; BLOCK] {
        from_fn(|index| x[index / LANES][index % LANES].to_le_bytes()[0])
    }

    #[inline(always)]
    fn sum(self, x: [f32; LANES]) -> f32 {
        let quarter = |lane: usize| x[lane] + x[lane + 4];
        (quarter(0) + quarter(2)) + (quarter(1) + quarter(3))
    }

    #[inline(always)]
    fn largest(self, x: [f32; LANES]) -> f32 {
        x.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    #[inline(always)]
    fn soon<T>(self, _place: &T, _bytes_ahead: usize) {}
}

impl Rows for Portable {
    type Floats = [f32; LANES];
    type Whole = [i32; LANES];
    const COUNT: usize = LANES;

    #[inline(always)]
    fn zero(self) -> [f32; LANES] {
        [0.0; LANES]
    }

    #[inline(always)]
    fn scales(self, scales: &[u16; ROWS], part: usize) -> [f32; LANES] {
        self.halves(&scales.as_chunks().0[part])
    }

    #[inline(always)]
    fn add(
        self,
        sums: [f32; LANES],
        products: [i32; LANES],
        scales: [f32; LANES],
        step: f32,
    ) -> [f32; LANES] {
        self.mul_add(
            self.floats(products),
            scales.map(|scale| scale * step),
            sums,
        )
    }

    #[inline(always)]
    fn eights(self, floats: [f32; LANES]) -> impl AsRef<[[f32; LANES]]> {
        [floats]
    }

    #[inline(always)]
    fn products8<const T: usize, const N: usize>(
        self,
        weights: &[Line],
        columns: [&[Columns<T>; 8]; N],
        _: [&[i32; T]; N],
    ) -> [[[i32; LANES]; T]; N] {
        let product = |tile: usize, token: usize| {
            let mut sums = [0; LANES];
            for (line, columns) in half_lines(weights).zip(columns[tile]) {
                for (sum, row) in sums.iter_mut().zip(line.as_chunks::<4>().0) {
                    let pairs = row.iter().zip(&columns[token]);
                    *sum += pairs
                        .map(|(w, x)| signed(*w ^ SIGN) * signed(*x))
                        .sum::<i32>();
                }
            }
            sums
        };
        from_fn(|tile| from_fn(|token| product(tile, token)))
    }

    #[inline(always)]
    fn products4<const T: usize, const N: usize>(
        self,
        weights: &[Line],
        columns: [&[Columns<T>; 8]; N],
        offsets: [&[i32; T]; N],
    ) -> [[[i32; LANES]; T]; N] {
        let product = |tile: usize, token: usize| {
            let (low, high) = columns[tile].split_at(4);
            let mut sums = [offsets[tile][token]; LANES];
            for ((line, low), high) in half_lines(weights).zip(low).zip(high) {
                for (sum, row) in sums.iter_mut().zip(line.as_chunks::<4>().0) {
                    for ((byte, low), high) in row.iter().zip(&low[token]).zip(&high[token]) {
                        let (lower, upper) = (i32::from(byte & 15), i32::from(byte >> 4));
                        *sum += lower * signed(*low) + upper * signed(*high);
                    }
                }
            }
            sums
        };
        from_fn(|tile| from_fn(|token| product(tile, token)))
    }
}

/// Four columns of eight rows, of which a line has two.
fn half_lines(weights: &[Line]) -> impl Iterator<Item = &[u8; 4 * LANES]> {
    weights.iter().flat_map(|line| line.0.as_chunks().0)
}

fn signed(byte: u8) -> i32 {
    i32::from(byte.cast_signed())
}
