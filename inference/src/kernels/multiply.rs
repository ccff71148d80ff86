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

use super::attend::Element;
use super::machine::{BLOCK, Columns, LANES, Machine, Work, run};
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
/// `out` has room for the groups of all matrices times the [`stride`] times [`LANES`].
pub(crate) fn multiply(
    pool: &mut Pool,
    matrices: &[&Matrix],
    tiles: &[Tile],
    tokens: usize,
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
    /// The first group, counted through all matrices.
    first: usize,
    out: &'a mut [f32],
}

impl Work for Product<'_> {
    #[inline(always)]
    fn run<M: Machine>(self, m: M) {
        let width = self.tiles.first().map_or(1, |tile| tile.input.width);
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
                        product::<M, 4, 2>(m, matrix, group, [&a.input, &b.input], out);
                        continue;
                    }
                    for tile in pair {
                        let out = &mut out[tile.first * LANES..][..tile.tokens * LANES];
                        let input = [&tile.input];
                        match tile.tokens {
                            1 => product::<M, 1, 1>(m, matrix, group, input, out),
                            2 => product::<M, 2, 1>(m, matrix, group, input, out),
                            3 => product::<M, 3, 1>(m, matrix, group, input, out),
                            _ => product::<M, 4, 1>(m, matrix, group, input, out),
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
    group: usize,
    inputs: [&Input; N],
    out: &mut [f32],
) {
    let sums = match &matrix.form {
        Form::Eight(packed) => eight::<M, T, N>(m, packed, group, inputs),
        Form::Four(packed) => four::<M, T, N>(m, packed, group, inputs),
        Form::Half(values) => dense::<M, u16, T, N>(m, values, group, inputs),
        Form::Dense(values) => dense::<M, f32, T, N>(m, values, group, inputs),
    };
    let out = out.as_chunks_mut::<LANES>().0.as_chunks_mut::<T>().0;
    for (out, sums) in out.iter_mut().zip(sums) {
        for token in 0..T {
            out[token] = m.lanes(sums[token]);
        }
    }
}

/// The quantised tokens of a tile, block by block.
#[derive(Clone, Copy)]
struct Blocks<'a, const T: usize> {
    columns: &'a [[Columns<T>; 8]],
    steps: &'a [[f32; T]],
    offsets8: &'a [[i32; T]],
    offsets4: &'a [[i32; T]],
}

impl<'a, const T: usize> Blocks<'a, T> {
    #[inline(always)]
    fn of(input: &'a Input) -> Self {
        let columns = input.quants.as_chunks::<4>().0.as_chunks::<T>().0;
        Self {
            columns: columns.as_chunks::<8>().0,
            steps: input.scales.as_chunks::<T>().0,
            offsets8: input.offsets8.as_chunks::<T>().0,
            offsets4: input.offsets4.as_chunks::<T>().0,
        }
    }

    #[inline(always)]
    fn all<const N: usize>(inputs: [&'a Input; N]) -> [Self; N] {
        let mut all = [Self::of(inputs[0]); N];
        for tile in 1..N {
            all[tile] = Self::of(inputs[tile]);
        }
        all
    }
}

#[inline(always)]
fn eight<M: Machine, const T: usize, const N: usize>(
    m: M,
    packed: &Packed,
    group: usize,
    inputs: [&Input; N],
) -> [[M::Floats; T]; N] {
    let blocks = inputs[0].width / BLOCK;
    let lines = &packed.lines[group * blocks * 8..][..blocks * 8];
    let scales = &packed.scales[group * blocks..][..blocks];
    let tiles = Blocks::<T>::all(inputs);
    let mut columns = [&tiles[0].columns[0]; N];
    let mut offsets = [&tiles[0].offsets8[0]; N];
    let mut sums = [[m.splat(0.0); T]; N];
    let lines = lines.as_chunks::<8>().0.iter();
    for (block, (lines, scales)) in lines.zip(scales).enumerate() {
        // Two lines of 32 bytes share one of the processor's cache.
        for pair in 0..4 {
            m.soon(&lines[2 * pair], AHEAD_BYTES);
        }
        for tile in 0..N {
            columns[tile] = &tiles[tile].columns[block];
            offsets[tile] = &tiles[tile].offsets8[block];
        }
        let products = m.products8::<T, N>(lines, columns, offsets);
        let scales = m.halves(scales);
        for tile in 0..N {
            let steps = &tiles[tile].steps[block];
            add(m, &mut sums[tile], products[tile], scales, steps);
        }
    }
    sums
}

#[inline(always)]
fn four<M: Machine, const T: usize, const N: usize>(
    m: M,
    packed: &Packed,
    group: usize,
    inputs: [&Input; N],
) -> [[M::Floats; T]; N] {
    let blocks = inputs[0].width / BLOCK;
    let lines = &packed.lines[group * blocks * 4..][..blocks * 4];
    let scales = &packed.scales[group * blocks..][..blocks];
    let tiles = Blocks::<T>::all(inputs);
    let mut columns = [&tiles[0].columns[0]; N];
    let mut offsets = [&tiles[0].offsets4[0]; N];
    let mut sums = [[m.splat(0.0); T]; N];
    let lines = lines.as_chunks::<4>().0.iter();
    for (block, (lines, scales)) in lines.zip(scales).enumerate() {
        for pair in 0..2 {
            m.soon(&lines[2 * pair], AHEAD_BYTES);
        }
        for tile in 0..N {
            columns[tile] = &tiles[tile].columns[block];
            offsets[tile] = &tiles[tile].offsets4[block];
        }
        let products = m.products4::<T, N>(lines, columns, offsets);
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
        sums[token] = m.add(sums[token], m.mul(m.floats(products[token]), scale));
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
                evens[token] = m.add(evens[token], m.mul(even, m.load(&x[place])));
                odds[token] = m.add(odds[token], m.mul(odd, m.load(&x[place + 1])));
            }
        }
        for even in last {
            let even = E::load(m, even);
            for token in 0..T {
                let place = (token + 1) * eights - 1;
                evens[token] = m.add(evens[token], m.mul(even, m.load(&x[place])));
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
