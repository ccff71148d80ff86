//! What happens between the matrices: norms, gates and the turning of heads.
#![expect(
    clippy::inline_always,
    reason = "vector code is made where the processor's features are known"
)]

use super::machine::{LANES, Machine, Work, run};
use super::multiply::gated;
use super::tile::{TILE, Tile};

/// What comes out of matrices, in the layout of [`super::multiply`].
#[derive(Clone, Copy)]
pub(crate) struct Grouped<'a> {
    pub(crate) values: &'a [f32],
    /// Tokens that a group has room for.
    pub(crate) stride: usize,
}

impl Grouped<'_> {
    /// Eight rows of a token.
    #[inline(always)]
    fn eight(&self, group: usize, token: usize) -> &[f32; LANES] {
        &self.values.as_chunks::<LANES>().0[group * self.stride + token]
    }
}

/// Adds to the residual what a block of the model made, and makes the input of the next block.
pub(crate) struct Join<'a> {
    pub(crate) tile: &'a mut Tile,
    /// The output of the block and the factors of the norm after it; nothing before the first.
    pub(crate) made: Option<(Grouped<'a>, &'a [f32])>,
    /// The factors of the norm before the next block; none where there is no next one.
    pub(crate) next: Option<&'a [f32]>,
    pub(crate) epsilon: f32,
}

impl Join<'_> {
    pub(crate) fn run(self) {
        run(self);
    }
}

impl Work for Join<'_> {
    #[inline(always)]
    fn run<M: Machine>(self, m: M) {
        let Tile {
            first,
            tokens,
            residual,
            input,
        } = self.tile;
        let width = residual.len() / *tokens;
        if self.next.is_some() {
            input.begin(*tokens, width);
        }
        // All tokens go through one step after the other: what a step of one waits for, others fill.
        let mut scales = [m.splat(0.0); TILE];
        if let Some((made, factors)) = self.made {
            let factors = factors.as_chunks::<LANES>().0;
            for (token, scale) in scales.iter_mut().enumerate().take(*tokens) {
                *scale = root(
                    m,
                    factors.len(),
                    self.epsilon,
                    #[inline(always)]
                    |index| m.load(made.eight(index, *first + token)),
                );
            }
            for (token, row) in residual.chunks_exact_mut(width).enumerate() {
                let row = row.as_chunks_mut::<LANES>().0;
                for (index, (row, factors)) in row.iter_mut().zip(factors).enumerate() {
                    let made = m.load(made.eight(index, *first + token));
                    let normed = m.mul(m.mul(made, scales[token]), m.load(factors));
                    *row = m.lanes(m.add(m.load(row), normed));
                }
            }
        }
        if let Some(factors) = self.next {
            let factors = factors.as_chunks::<LANES>().0;
            for (row, scale) in residual.chunks_exact(width).zip(&mut scales) {
                let row = row.as_chunks::<LANES>().0;
                *scale = root(
                    m,
                    row.len(),
                    self.epsilon,
                    #[inline(always)]
                    |index| m.load(&row[index]),
                );
            }
            for (token, row) in residual.chunks_exact(width).enumerate() {
                let (row, scale) = (row.as_chunks::<LANES>().0, scales[token]);
                input.put(
                    m,
                    token,
                    #[inline(always)]
                    |index| m.mul(m.mul(m.load(&row[index]), scale), m.load(&factors[index])),
                );
            }
        }
    }
}

/// What a vector is multiplied with so that its mean square is one.
#[inline(always)]
fn root<M: Machine>(
    m: M,
    parts: usize,
    epsilon: f32,
    columns: impl Fn(usize) -> M::Floats,
) -> M::Floats {
    let (mut even, mut odd) = (m.splat(0.0), m.splat(0.0));
    for pair in 0..parts / 2 {
        let (a, b) = (columns(2 * pair), columns(2 * pair + 1));
        (even, odd) = (m.mul_add(a, a, even), m.mul_add(b, b, odd));
    }
    if parts % 2 == 1 {
        let last = columns(parts - 1);
        even = m.mul_add(last, last, even);
    }
    #[expect(clippy::cast_precision_loss, reason = "widths are below 2^24")]
    let mean = m.sum(m.add(even, odd)) / (parts * LANES) as f32;
    m.splat(1.0 / (mean + epsilon).sqrt())
}

/// Makes the input of the last matrix of a feed-forward block.
pub(crate) struct Gate<'a> {
    pub(crate) tile: &'a mut Tile,
    /// Products that were gated.
    pub(crate) made: Grouped<'a>,
    pub(crate) width: usize,
}

impl Gate<'_> {
    pub(crate) fn run(self) {
        run(self);
    }
}

impl Work for Gate<'_> {
    #[inline(always)]
    fn run<M: Machine>(self, m: M) {
        let tile = self.tile;
        tile.input.begin(tile.tokens, self.width);
        for token in 0..tile.tokens {
            let place = tile.first + token;
            tile.input.put(
                m,
                token,
                #[inline(always)]
                |index| m.load(self.made.eight(gated(index), place)),
            );
        }
    }
}

/// Makes the input of a matrix from rows as they are.
pub(crate) struct Take<'a> {
    pub(crate) tile: &'a mut Tile,
    /// All tokens of the step, row by row.
    pub(crate) rows: &'a [f32],
    pub(crate) width: usize,
}

impl Take<'_> {
    pub(crate) fn run(self) {
        run(self);
    }
}

impl Work for Take<'_> {
    #[inline(always)]
    fn run<M: Machine>(self, m: M) {
        let tile = self.tile;
        tile.input.begin(tile.tokens, self.width);
        for token in 0..tile.tokens {
            let row = &self.rows[(tile.first + token) * self.width..][..self.width];
            let row = row.as_chunks::<LANES>().0;
            tile.input.put(
                m,
                token,
                #[inline(always)]
                |index| m.load(&row[index]),
            );
        }
    }
}

/// Norms one head of a token and turns it to where it stands.
pub(crate) struct Turn<'a> {
    pub(crate) made: Grouped<'a>,
    pub(crate) token: usize,
    /// The first group of the head.
    pub(crate) group: usize,
    pub(crate) factors: &'a [f32],
    /// Cosines, then sines, of half the width each.
    pub(crate) angles: &'a [f32],
    pub(crate) epsilon: f32,
    pub(crate) scale: f32,
    pub(crate) out: &'a mut [f32],
}

impl Turn<'_> {
    pub(crate) fn run(self) {
        run(self);
    }
}

impl Work for Turn<'_> {
    #[inline(always)]
    fn run<M: Machine>(self, m: M) {
        let out = self.out.as_chunks_mut::<LANES>().0;
        let root = root(
            m,
            out.len(),
            self.epsilon,
            #[inline(always)]
            |index| m.load(self.made.eight(self.group + index, self.token)),
        );
        let factors = self.factors.as_chunks::<LANES>().0;
        for (index, (out, factors)) in out.iter_mut().zip(factors).enumerate() {
            let made = m.load(self.made.eight(self.group + index, self.token));
            *out = m.lanes(m.mul(m.mul(made, root), m.load(factors)));
        }
        let (first, second) = self.out.split_at_mut(self.angles.len() / 2);
        let (cosines, sines) = self.angles.split_at(first.len());
        let pairs = first.iter_mut().zip(second);
        for ((a, b), (cos, sin)) in pairs.zip(cosines.iter().zip(sines)) {
            let turned = (*a * cos - *b * sin, *a * sin + *b * cos);
            (*a, *b) = (turned.0 * self.scale, turned.1 * self.scale);
        }
    }
}

/// Copies one head of a token.
pub(crate) fn copy_head(made: Grouped<'_>, token: usize, group: usize, out: &mut [f32]) {
    for (index, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        *out = *made.eight(group + index, token);
    }
}
