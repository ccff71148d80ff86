//! Tokens times matrices.
//!
//! The result is laid out by groups of eight rows, then by tokens: `out[group][token][row]`, groups
//! [`stride`] tokens apart. A group is written by one thread, and for a single token it is simply the
//! rows in order.
#![expect(
    clippy::inline_always,
    reason = "vector code is made where the processor's features are known"
)]

use std::{array, slice};

use super::machine::{LANES, Machine, Work, gelu, run};
use super::pool::Pool;
use super::product::{EIGHTS, Groups, product};
use super::tile::{TILE, Tile};
use super::weights::Matrix;

/// Parts that a product is cut into for every thread: enough that all end at the same time.
const PARTS_PER_THREAD: usize = 6;
/// Groups in a part at most, so that a thread that comes late still finds some.
const GROUPS_MAX: usize = 64;
/// Bytes of activations that stay in a core's cache while the rows of a part go by.
const CACHED_BYTES: usize = 192 << 10;

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

/// What is wanted of products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Products,
    /// What they are at most, where a matrix is in two planes; the tiles' inputs have bounds then.
    Bounds,
    /// The activated products of the first of two matrices, times those of the second; see [`gated`].
    Gated,
}

/// Where a group is that was gated.
#[inline(always)]
pub(crate) fn gated(group: usize) -> usize {
    group / EIGHTS * 2 * EIGHTS + group % EIGHTS
}

/// Multiplies all tokens with matrices of one width; their rows follow each other in `out`.
///
/// `out` has room for the groups of all matrices times the [`stride`] times [`LANES`].
pub(crate) fn multiply(
    pool: &mut Pool,
    matrices: &[&Matrix],
    tiles: &[Tile],
    tokens: usize,
    wanted: Wanted,
    out: &mut [f32],
) {
    let size = stride(tokens) * LANES;
    // Steps that only read prompts want no logits at all.
    let groups = out.len().checked_div(size).unwrap_or(0);
    let part = (groups / (pool.threads() * PARTS_PER_THREAD)).clamp(1, GROUPS_MAX);
    let part = part.next_multiple_of(2 * EIGHTS);
    pool.split(out, part * size, |index, out| {
        run(Product {
            matrices,
            tiles,
            size,
            wanted,
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
    wanted: Wanted,
    /// The first group, counted through all matrices.
    first: usize,
    out: &'a mut [f32],
}

impl Work for Product<'_> {
    #[inline(always)]
    fn run<M: Machine>(self, m: M) {
        let width = self.tiles.first().map_or(1, |tile| tile.input.width);
        let (roughly, size) = (self.wanted == Wanted::Bounds, self.size);
        let pairs = (CACHED_BYTES / (width * 2 * TILE)).max(1);
        for tiles in self.tiles.chunks(2 * pairs) {
            let mut rest = &mut *self.out;
            let mut next = self.first;
            while !rest.is_empty() {
                let (matrices, group) = find(self.matrices, self.wanted, next);
                let together = EIGHTS - group % EIGHTS;
                let count = together.min(matrices[0].groups() - group);
                let count = count.min(rest.len() / size);
                let (out, others) = rest.split_at_mut(matrices.len() * count * size);
                (next, rest) = (next + matrices.len() * count, others);
                for (matrix, out) in matrices.iter().zip(out.chunks_exact_mut(count * size)) {
                    for pair in tiles.chunks(2) {
                        if let [a, b] = pair
                            && b.tokens == TILE
                        {
                            let groups = Groups::new(group, size, a, out);
                            let inputs = [&a.input, &b.input];
                            product::<M, 4, 2>(m, matrix, roughly, inputs, groups);
                            continue;
                        }
                        for tile in pair {
                            let groups = Groups::new(group, size, tile, out);
                            let input = [&tile.input];
                            match tile.tokens {
                                1 => product::<M, 1, 1>(m, matrix, roughly, input, groups),
                                2 => product::<M, 2, 1>(m, matrix, roughly, input, groups),
                                3 => product::<M, 3, 1>(m, matrix, roughly, input, groups),
                                _ => product::<M, 4, 1>(m, matrix, roughly, input, groups),
                            }
                        }
                    }
                }
                if self.wanted == Wanted::Gated {
                    gate(m, tiles, size, out);
                }
            }
        }
    }
}

/// Activates the groups of the first half for some tokens, and multiplies them with those of the second:
/// now they are in the cache.
#[inline(always)]
fn gate<M: Machine>(m: M, tiles: &[Tile], size: usize, out: &mut [f32]) {
    let first = tiles.first().map_or(0, |tile| tile.first) * LANES;
    let end = tiles.last().map_or(0, |tile| tile.first + tile.tokens) * LANES;
    let (gates, others) = out.split_at_mut(out.len() / 2);
    // Of groups that have no other token and no gap, all go together.
    let (size, end) = match end - first {
        all if all == size => (gates.len(), gates.len()),
        _ => (size, end),
    };
    let groups = gates.chunks_exact_mut(size).zip(others.chunks_exact(size));
    for (gates, others) in groups {
        let (gates, _) = gates[first..end].as_chunks_mut();
        let (others, _) = others[first..].as_chunks();
        let (fours, last) = gates.as_chunks_mut::<4>();
        let (other_fours, _) = others.as_chunks();
        let others = &others[4 * fours.len()..];
        for (four, others) in fours.iter_mut().zip(other_fours) {
            gate_some(m, four, others);
        }
        for (one, other) in last.iter_mut().zip(others) {
            gate_some(m, array::from_mut(one), array::from_ref(other));
        }
    }
}

#[inline(always)]
fn gate_some<M: Machine, const W: usize>(
    m: M,
    gates: &mut [[f32; LANES]; W],
    others: &[[f32; LANES]; W],
) {
    let mut x = [m.splat(0.0); W];
    for (x, gate) in x.iter_mut().zip(&*gates) {
        *x = m.load(gate);
    }
    let activated = gelu(m, x);
    for ((gate, activated), other) in gates.iter_mut().zip(activated).zip(others) {
        *gate = m.lanes(m.mul(activated, m.load(other)));
    }
}

/// The matrices whose rows are next, and the first of their groups.
#[inline(always)]
fn find<'a>(
    matrices: &'a [&'a Matrix],
    wanted: Wanted,
    mut group: usize,
) -> (&'a [&'a Matrix], usize) {
    if wanted == Wanted::Gated {
        return (matrices, group / 2);
    }
    let mut chosen = &matrices[..1];
    for matrix in matrices {
        chosen = slice::from_ref(matrix);
        if group < matrix.groups() {
            break;
        }
        group -= matrix.groups();
    }
    (chosen, group)
}
