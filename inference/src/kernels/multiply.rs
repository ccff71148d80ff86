//! Tokens times matrices.
//!
//! The result is laid out by groups of eight rows, then by tokens: `out[group][token][row]`, groups
//! [`stride`] tokens apart. A group is written by one thread, and for a single token it is simply the
//! rows in order.
#![expect(
    clippy::inline_always,
    reason = "vector code is made where the processor's features are known"
)]
#![expect(
    clippy::needless_range_loop,
    reason = "loops over a constant become registers, iterators often stay in memory"
)]

use std::array::from_fn;

use super::attend::Element;
use super::machine::{Columns, LANES, Line, Machine, Work, run};
use super::planes::{Planes, join};
use super::pool::Pool;
use super::tile::{Input, TILE, Tile};
use super::weights::{Form, Matrix, Packed};

/// Parts that a product is cut into for every thread: enough that all end at the same time.
const PARTS_PER_THREAD: usize = 6;
/// Groups in a part at most, so that a thread that comes late still finds some.
const GROUPS_MAX: usize = 64;
/// Bytes of activations that stay in a core's cache while the rows of a part go by.
const CACHED_BYTES: usize = 192 << 10;
/// Weights are asked for so long before they are used.
const AHEAD_BYTES: usize = 2048;

/// Tokens that there is room for in a group of a product of so many.
///
/// Where they are many, it is an odd number of cache lines: with a power of two, the groups of a token
/// would fall on few places of the cache and drive each other out.
pub(crate) fn stride(tokens: usize) -> usize {
    const TOKENS_PER_LINE: usize = 2;
    if tokens < 2 * TILE {
        return tokens;
    }
    let lines = tokens.div_ceil(TOKENS_PER_LINE);
    (lines | 1) * TOKENS_PER_LINE
}

/// Multiplies all tokens with matrices of one width; their rows follow each other in `out`.
///
/// `out` has room for the groups of all matrices times the [`stride`] times [`LANES`]. Done `roughly`, what
/// comes of matrices in two planes is what the products are at most; the tiles' inputs have bounds then.
pub(crate) fn multiply(
    pool: &mut Pool,
    matrices: &[&Matrix],
    tiles: &[Tile],
    tokens: usize,
    roughly: bool,
    out: &mut [f32],
) {
    let size = stride(tokens) * LANES;
    // Steps that only read prompts want no logits at all.
    let groups = out.len().checked_div(size).unwrap_or(0);
    let part = (groups / (pool.threads() * PARTS_PER_THREAD)).clamp(1, GROUPS_MAX);
    pool.split(out, part * size, |index, out| {
        run(Product {
            matrices,
            tiles,
            size,
            roughly,
            first: index * part,
            out,
        });
    });
}

/// Some groups of the rows of several matrices.
struct Product<'a> {
    matrices: &'a [&'a Matrix],
    tiles: &'a [Tile],
    /// Numbers of a group.
    size: usize,
    roughly: bool,
    /// The first group, counted through all matrices.
    first: usize,
    out: &'a mut [f32],
}

impl Work for Product<'_> {
    #[inline(always)]
    fn run<M: Machine>(self, m: M) {
        let width = self.tiles.first().map_or(1, |tile| tile.input.width);
        let roughly = self.roughly;
        let pairs = (CACHED_BYTES / (width * 2 * TILE)).max(1);
        for tiles in self.tiles.chunks(2 * pairs) {
            let groups = self.out.chunks_exact_mut(self.size).enumerate();
            for (index, out) in groups {
                let (matrix, group) = find(self.matrices, self.first + index);
                for pair in tiles.chunks(2) {
                    if let [a, b] = pair
                        && b.tokens == TILE
                    {
                        let out = &mut out[a.first * LANES..][..2 * TILE * LANES];
                        let inputs = [&a.input, &b.input];
                        product::<M, 4, 2>(m, matrix, roughly, group, inputs, out);
                        continue;
                    }
                    for tile in pair {
                        let out = &mut out[tile.first * LANES..][..tile.tokens * LANES];
                        let input = [&tile.input];
                        match tile.tokens {
                            1 => product::<M, 1, 1>(m, matrix, roughly, group, input, out),
                            2 => product::<M, 2, 1>(m, matrix, roughly, group, input, out),
                            3 => product::<M, 3, 1>(m, matrix, roughly, group, input, out),
                            _ => product::<M, 4, 1>(m, matrix, roughly, group, input, out),
                        }
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn find<'a>(matrices: &[&'a Matrix], mut group: usize) -> (&'a Matrix, usize) {
    let mut chosen = matrices[0];
    for matrix in matrices {
        chosen = matrix;
        if group < matrix.groups() {
            break;
        }
        group -= matrix.groups();
    }
    (chosen, group)
}

/// The products of a group with `N` tiles of `T` tokens: what is made of a weight serves all.
#[inline(always)]
fn product<M: Machine, const T: usize, const N: usize>(
    m: M,
    matrix: &Matrix,
    roughly: bool,
    group: usize,
    inputs: [&Input; N],
    out: &mut [f32],
) {
    let sums = match &matrix.form {
        Form::Eight(packed) => eight::<M, T, N>(m, packed, group, inputs),
        Form::Four(packed) => four::<M, T, N>(m, packed, group, inputs, |input| &input.offsets4),
        Form::Planes(planes) if roughly => rough::<M, T, N>(m, planes, group, inputs),
        Form::Planes(planes) => whole::<M, T, N>(m, planes, group, inputs),
        Form::Half(values) => dense::<M, u16, T, N>(m, values, group, inputs),
        Form::Dense(values) => dense::<M, f32, T, N>(m, values, group, inputs),
    };
    // Not by an iterator over the sums, for which they would go through memory.
    let out = &mut out.as_chunks_mut::<LANES>().0[..N * T];
    for tile in 0..N {
        for token in 0..T {
            out[tile * T + token] = m.lanes(sums[tile][token]);
        }
    }
}

/// The quantised tokens of a tile, block by block, and what their products are too large by.
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

#[inline(always)]
fn eight<M: Machine, const T: usize, const N: usize>(
    m: M,
    packed: &Packed,
    group: usize,
    inputs: [&Input; N],
) -> [[M::Floats; T]; N] {
    let (lines, scales) = packed.group::<8>(group, inputs[0].width);
    sum(
        m,
        scales,
        Blocks::<T>::all(inputs, |input| &input.offsets8),
        #[inline(always)]
        |block, columns, offsets| {
            soon::<M, 8>(m, &lines[block]);
            m.products8(&lines[block], columns, offsets)
        },
    )
}

/// `offsets` are what the products with weights in `0..=15` are too large by.
#[inline(always)]
fn four<'a, M: Machine, const T: usize, const N: usize>(
    m: M,
    packed: &Packed,
    group: usize,
    inputs: [&'a Input; N],
    offsets: impl Fn(&'a Input) -> &'a [i32],
) -> [[M::Floats; T]; N] {
    let (lines, scales) = packed.group::<4>(group, inputs[0].width);
    sum(
        m,
        scales,
        Blocks::<T>::all(inputs, offsets),
        #[inline(always)]
        |block, columns, offsets| {
            soon::<M, 4>(m, &lines[block]);
            m.products4(&lines[block], columns, offsets)
        },
    )
}

/// What the products of a group are at most, by the larger halves of its weights.
#[inline(always)]
fn rough<M: Machine, const T: usize, const N: usize>(
    m: M,
    planes: &Planes,
    group: usize,
    inputs: [&Input; N],
) -> [[M::Floats; T]; N] {
    let mut sums = four::<M, T, N>(m, &planes.large, group, inputs, |input| {
        &input.bounds.offsets
    });
    let reach = m.halves(&planes.reach[group]);
    for tile in 0..N {
        for token in 0..T {
            let product = m.mul(sums[tile][token], m.splat(16.0));
            let margin = m.splat(inputs[tile].bounds.margins[token]);
            sums[tile][token] = m.mul_add(reach, margin, product);
        }
    }
    sums
}

/// The products of a group of two planes, to the bit what they are in one.
#[inline(always)]
pub(super) fn whole<M: Machine, const T: usize, const N: usize>(
    m: M,
    planes: &Planes,
    group: usize,
    inputs: [&Input; N],
) -> [[M::Floats; T]; N] {
    let (large, scales) = planes.large.group::<4>(group, inputs[0].width);
    let small = &planes.small.as_chunks::<4>().0[group * large.len()..][..large.len()];
    sum(
        m,
        scales,
        Blocks::<T>::all(inputs, |input| &input.offsets8),
        #[inline(always)]
        |block, columns, offsets| {
            soon::<M, 4>(m, &large[block]);
            soon::<M, 4>(m, &small[block]);
            m.products8(&join(&large[block], &small[block]), columns, offsets)
        },
    )
}

/// Says that the lines of a later block will be read soon.
#[inline(always)]
fn soon<M: Machine, const LINES: usize>(m: M, lines: &[Line; LINES]) {
    // Two lines of 32 bytes share one of the processor's cache.
    for pair in 0..LINES / 2 {
        m.soon(&lines[2 * pair], AHEAD_BYTES);
    }
}

/// The sums of the products of all blocks, scaled by weights and tokens.
#[inline(always)]
fn sum<M: Machine, const T: usize, const N: usize>(
    m: M,
    scales: &[[u16; LANES]],
    tiles: [Blocks<'_, T>; N],
    products: impl Fn(usize, [&[Columns<T>; 8]; N], [&[i32; T]; N]) -> [[M::Whole; T]; N],
) -> [[M::Floats; T]; N] {
    let mut columns = [&tiles[0].columns[0]; N];
    let mut offsets = [&tiles[0].offsets[0]; N];
    let mut sums = [[m.splat(0.0); T]; N];
    for (block, scales) in scales.iter().enumerate() {
        for tile in 0..N {
            columns[tile] = &tiles[tile].columns[block];
            offsets[tile] = &tiles[tile].offsets[block];
        }
        let products = products(block, columns, offsets);
        let scales = m.halves(scales);
        for tile in 0..N {
            let steps = &tiles[tile].steps[block];
            add(m, &mut sums[tile], products[tile], scales, steps);
        }
    }
    sums
}

/// Adds the products of a block, scaled by weights and tokens.
#[inline(always)]
fn add<M: Machine, const T: usize>(
    m: M,
    sums: &mut [M::Floats; T],
    products: [M::Whole; T],
    scales: M::Floats,
    steps: &[f32; T],
) {
    for token in 0..T {
        let scale = m.mul(scales, m.splat(steps[token]));
        sums[token] = m.mul_add(m.floats(products[token]), scale, sums[token]);
    }
}

#[inline(always)]
fn dense<M: Machine, E: Element, const T: usize, const N: usize>(
    m: M,
    values: &[E],
    group: usize,
    inputs: [&Input; N],
) -> [[M::Floats; T]; N] {
    let mut sums = [[m.splat(0.0); T]; N];
    for tile in 0..N {
        sums[tile] = rows::<M, E, T>(m, values, group, inputs[tile]);
    }
    sums
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
