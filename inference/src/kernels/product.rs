//! Rows that lie together times a few tokens.
#![expect(
    clippy::inline_always,
    reason = "vector code is made where the processor's features are known"
)]
#![expect(
    clippy::needless_range_loop,
    reason = "loops over a constant become registers, iterators often stay in memory"
)]

use std::array::from_fn;
use std::ops::Range;

use super::attend::Element;
use super::machine::{Columns, LANES, Line, Machine, ROWS, Rows};
use super::planes::{Planes, join};
use super::tile::{Input, TILE, Tile};
use super::weights::{Form, Matrix, Packed};

/// Groups whose rows lie together.
pub(super) const EIGHTS: usize = ROWS / LANES;
/// Weights are asked for so long before they are used.
const AHEAD_BYTES: usize = 2048;

/// Groups of a product whose rows lie together in the matrix.
pub(super) struct Groups<'a> {
    /// The first one, counted through the matrix.
    first: usize,
    /// Numbers from one to the next.
    size: usize,
    /// From the first of some tokens on.
    out: &'a mut [f32],
}

impl<'a> Groups<'a> {
    #[inline(always)]
    pub(super) fn new(first: usize, size: usize, tile: &Tile, out: &'a mut [f32]) -> Self {
        let out = &mut out[tile.first * LANES..];
        Self { first, size, out }
    }

    /// Where they begin among those that lie together, and how many there are.
    #[inline(always)]
    fn range(&self) -> Range<usize> {
        let first = self.first % EIGHTS;
        first..first + self.out.len().div_ceil(self.size)
    }

    /// The rows of one of them for a token.
    #[inline(always)]
    fn eight(&mut self, group: usize, token: usize) -> &mut [f32; LANES] {
        let first = (group - self.first % EIGHTS) * self.size;
        &mut self.out[first..].as_chunks_mut().0[token]
    }
}

/// The products of groups with `N` tiles of `T` tokens: what is made of a weight serves all.
#[inline(always)]
pub(super) fn product<M: Machine, const T: usize, const N: usize>(
    m: M,
    matrix: &Matrix,
    roughly: bool,
    inputs: [&Input; N],
    mut groups: Groups<'_>,
) {
    let rows = m.rows();
    let sixteen = groups.first / EIGHTS;
    let range = groups.range();
    let eights = M::Rows::COUNT / LANES;
    for part in range.start / eights..range.end.div_ceil(eights) {
        let sums: Sums<M, T, N> = match &matrix.form {
            Form::Eight(packed) => eight(m, packed, sixteen, part, inputs),
            Form::Four(packed) => four(m, packed, sixteen, part, inputs, |input| &input.offsets4),
            Form::Planes(planes) if roughly => {
                four(m, &planes.large, sixteen, part, inputs, |input| {
                    &input.bounds.offsets
                })
            }
            Form::Planes(planes) => whole(m, planes, sixteen, part, inputs),
            Form::Half(values) => return dense::<M, u16, T, N>(m, values, inputs, groups),
            Form::Dense(values) => return dense::<M, f32, T, N>(m, values, inputs, groups),
        };
        // Not by an iterator over the sums, for which they would go through memory.
        for tile in 0..N {
            for token in 0..T {
                let all = rows.eights(sums[tile][token]);
                for (group, eight) in (part * eights..).zip(all.as_ref()) {
                    if range.contains(&group) {
                        *groups.eight(group, tile * T + token) = *eight;
                    }
                }
            }
        }
    }
    if let Form::Planes(planes) = &matrix.form
        && roughly
    {
        most(m, planes, inputs, groups);
    }
}

/// The quantised tokens of a tile, block by block, and what has to be added to their products.
#[derive(Clone, Copy)]
struct Blocks<'a, const T: usize> {
    columns: &'a [[Columns<T>; 8]],
    steps: &'a [[f32; T]],
    offsets: &'a [[i32; T]],
}

impl<'a, const T: usize> Blocks<'a, T> {
    #[inline(always)]
    fn all<const N: usize>(
        inputs: [&'a Input; N],
        offsets: impl Fn(&'a Input) -> &'a [i32],
    ) -> [Self; N] {
        from_fn(
            #[inline(always)]
            |tile| {
                let columns = inputs[tile].quants.as_chunks::<4>().0.as_chunks::<T>().0;
                Self {
                    columns: columns.as_chunks::<8>().0,
                    steps: inputs[tile].scales.as_chunks::<T>().0,
                    offsets: offsets(inputs[tile]).as_chunks::<T>().0,
                }
            },
        )
    }
}

/// Sums of a part of sixteen rows.
type Sums<M, const T: usize, const N: usize> = [[<<M as Machine>::Rows as Rows>::Floats; T]; N];

#[inline(always)]
fn eight<M: Machine, const T: usize, const N: usize>(
    m: M,
    packed: &Packed,
    sixteen: usize,
    part: usize,
    inputs: [&Input; N],
) -> Sums<M, T, N> {
    let (lines, scales) = packed.part::<M::Rows, 8>(sixteen, part);
    let size = 8 / M::Rows::PARTS;
    sum(
        m.rows(),
        (scales, part),
        Blocks::<T>::all(inputs, |input| &input.offsets8),
        #[inline(always)]
        |block, columns, offsets| {
            let lines = &lines[block * size..][..size];
            soon(m, T * N, lines);
            m.rows().products8(lines, columns, offsets)
        },
    )
}

/// `offsets` are what the products with weights in `0..=15` are short of.
#[inline(always)]
fn four<'a, M: Machine, const T: usize, const N: usize>(
    m: M,
    packed: &Packed,
    sixteen: usize,
    part: usize,
    inputs: [&'a Input; N],
    offsets: impl Fn(&'a Input) -> &'a [i32],
) -> Sums<M, T, N> {
    let (lines, scales) = packed.part::<M::Rows, 4>(sixteen, part);
    let size = 4 / M::Rows::PARTS;
    sum(
        m.rows(),
        (scales, part),
        Blocks::<T>::all(inputs, offsets),
        #[inline(always)]
        |block, columns, offsets| {
            let lines = &lines[block * size..][..size];
            soon(m, T * N, lines);
            m.rows().products4(lines, columns, offsets)
        },
    )
}

/// What products are at most, of those with the larger halves of their weights.
#[inline(always)]
fn most<M: Machine, const N: usize>(
    m: M,
    planes: &Planes,
    inputs: [&Input; N],
    mut groups: Groups<'_>,
) {
    let reach = &planes.reach[groups.first / EIGHTS];
    for group in groups.range() {
        let reach = m.halves(&reach.as_chunks().0[group]);
        let margins = inputs.iter().flat_map(|input| &input.bounds.margins);
        for (token, margin) in margins.enumerate() {
            let eight = groups.eight(group, token);
            let product = m.mul(m.load(eight), m.splat(16.0));
            *eight = m.lanes(m.mul_add(reach, m.splat(*margin), product));
        }
    }
}

/// The products of two planes, to the bit what they are in one.
#[inline(always)]
pub(super) fn whole<M: Machine, const T: usize, const N: usize>(
    m: M,
    planes: &Planes,
    sixteen: usize,
    part: usize,
    inputs: [&Input; N],
) -> Sums<M, T, N> {
    let (large, scales) = planes.large.part::<M::Rows, 4>(sixteen, part);
    let small = &planes.small[(sixteen * M::Rows::PARTS + part) * large.len()..][..large.len()];
    let size = 4 / M::Rows::PARTS;
    sum(
        m.rows(),
        (scales, part),
        Blocks::<T>::all(inputs, |input| &input.offsets8),
        #[inline(always)]
        |block, columns, offsets| {
            let large = &large[block * size..][..size];
            let small = &small[block * size..][..size];
            soon(m, T * N, large);
            soon(m, T * N, small);
            let lines = join(large, small);
            m.rows().products8(&lines[..2 * size], columns, offsets)
        },
    )
}

/// Says that the lines of a later block will be read soon, unless there is so little to compute that the
/// processor looks far ahead by itself: then it is a tenth slower for being told.
#[inline(always)]
fn soon<M: Machine>(m: M, tokens: usize, lines: &[Line]) {
    if tokens > TILE {
        for line in lines {
            m.soon(line, AHEAD_BYTES);
        }
    }
}

/// The sums of the products of all blocks, scaled by weights and tokens; `scales` are those of all blocks,
/// and the part of them that is wanted.
#[inline(always)]
fn sum<R: Rows, const T: usize, const N: usize>(
    rows: R,
    (scales, part): (&[[u16; ROWS]], usize),
    tiles: [Blocks<'_, T>; N],
    products: impl Fn(usize, [&[Columns<T>; 8]; N], [&[i32; T]; N]) -> [[R::Whole; T]; N],
) -> [[R::Floats; T]; N] {
    let mut columns = [&tiles[0].columns[0]; N];
    let mut offsets = [&tiles[0].offsets[0]; N];
    let mut sums = [[rows.zero(); T]; N];
    for (block, scales) in scales.iter().enumerate() {
        for tile in 0..N {
            columns[tile] = &tiles[tile].columns[block];
            offsets[tile] = &tiles[tile].offsets[block];
        }
        let products = products(block, columns, offsets);
        let scales = rows.scales(scales, part);
        for tile in 0..N {
            for token in 0..T {
                let step = tiles[tile].steps[block][token];
                sums[tile][token] =
                    rows.add(sums[tile][token], products[tile][token], scales, step);
            }
        }
    }
    sums
}

#[inline(always)]
fn dense<M: Machine, E: Element, const T: usize, const N: usize>(
    m: M,
    values: &[E],
    inputs: [&Input; N],
    mut groups: Groups<'_>,
) {
    let before = groups.first / EIGHTS * EIGHTS;
    for group in groups.range() {
        for tile in 0..N {
            let sums = rows::<M, E, T>(m, values, before + group, inputs[tile]);
            for token in 0..T {
                *groups.eight(group, tile * T + token) = m.lanes(sums[token]);
            }
        }
    }
}

/// Eight rows that are not packed; each of them is read once for all tokens of the tile.
#[inline(always)]
fn rows<M: Machine, E: Element, const T: usize>(
    m: M,
    values: &[E],
    group: usize,
    input: &Input,
) -> [M::Floats; T] {
    let width = input.width;
    let eights = width / LANES;
    let x = input.plain.as_chunks::<LANES>().0;
    let mut sums = [[0.0; LANES]; T];
    let rows = values[group * LANES * width..]
        .chunks_exact(width)
        .take(LANES);
    for (lane, row) in rows.enumerate() {
        let (mut evens, mut odds) = ([m.splat(0.0); T], [m.splat(0.0); T]);
        let (pairs, last) = row.as_chunks::<LANES>().0.as_chunks::<2>();
        for (index, [even, odd]) in pairs.iter().enumerate() {
            let (even, odd) = (E::load(m, even), E::load(m, odd));
            for token in 0..T {
                let place = token * eights + 2 * index;
                evens[token] = m.mul_add(even, m.load(&x[place]), evens[token]);
                odds[token] = m.mul_add(odd, m.load(&x[place + 1]), odds[token]);
            }
        }
        for even in last {
            let even = E::load(m, even);
            for token in 0..T {
                let place = (token + 1) * eights - 1;
                evens[token] = m.mul_add(even, m.load(&x[place]), evens[token]);
            }
        }
        for token in 0..T {
            sums[token][lane] = m.sum(m.add(evens[token], odds[token]));
        }
    }
    let mut all = [m.splat(0.0); T];
    for token in 0..T {
        all[token] = m.load(&sums[token]);
    }
    all
}
