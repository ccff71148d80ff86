//! Attention of one token over the pages of its sequence, a page at a time.
//!
//! A running maximum makes one pass enough and needs no memory for scores. The pages begin at fixed
//! positions, so the order of every sum follows from the token's position alone.
#![expect(
    clippy::inline_always,
    reason = "vector code is made where the processor's features are known"
)]

use half::f16;
use half::slice::{HalfBitsSliceExt as _, HalfFloatSliceExt as _};

use super::machine::{LANES, Machine, Work, exp, run};

/// Positions on a page.
pub(crate) const PAGE: usize = 32;

/// A number of a cache.
pub(crate) trait Element: Copy + Send + Sync + 'static {
    fn load<M: Machine>(m: M, eight: &[Self; LANES]) -> M::Floats;
    fn store(values: &[f32], out: &mut [Self]);
}

impl Element for f32 {
    #[inline(always)]
    fn load<M: Machine>(m: M, eight: &[Self; LANES]) -> M::Floats {
        m.load(eight)
    }

    fn store(values: &[f32], out: &mut [Self]) {
        out.copy_from_slice(values);
    }
}

/// Half precision, as its bits.
impl Element for u16 {
    #[inline(always)]
    fn load<M: Machine>(m: M, eight: &[Self; LANES]) -> M::Floats {
        m.halves(eight)
    }

    fn store(values: &[f32], out: &mut [Self]) {
        const LARGEST: f32 = 65_504.0;
        const TOGETHER: usize = 64;
        let mut clamped = [0.0; TOGETHER];
        for (out, values) in out.chunks_mut(TOGETHER).zip(values.chunks(TOGETHER)) {
            let clamped = &mut clamped[..values.len()];
            for (clamped, value) in clamped.iter_mut().zip(values) {
                *clamped = value.clamp(-LARGEST, LARGEST);
            }
            out.reinterpret_cast_mut::<f16>()
                .convert_from_f32_slice(clamped);
        }
    }
}

/// Some heads that share keys, at one token.
pub(crate) struct Attend<'a, E> {
    /// Head by head, scaled.
    pub(crate) queries: &'a [f32],
    /// Keys and values of a page by its number: `PAGE` rows of each.
    pub(crate) page: &'a dyn Fn(usize) -> (&'a [E], &'a [E]),
    pub(crate) width: usize,
    /// Visible positions.
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) out: &'a mut [f32],
}

impl<E: Element> Attend<'_, E> {
    pub(crate) fn run(self) {
        run(self);
    }
}

impl<E: Element> Work for Attend<'_, E> {
    #[inline(always)]
    fn run<M: Machine>(mut self, m: M) {
        let (mut queries, mut out) = (self.queries, std::mem::take(&mut self.out));
        while !queries.is_empty() {
            let heads = match queries.len() / self.width {
                4.. => 4,
                2 | 3 => 2,
                _ => 1,
            };
            let (query, queries_left) = queries.split_at(heads * self.width);
            let (mixed, out_left) = out.split_at_mut(heads * self.width);
            match heads {
                4 => self.heads::<M, 4>(m, query, mixed),
                2 => self.heads::<M, 2>(m, query, mixed),
                _ => self.heads::<M, 1>(m, query, mixed),
            }
            (queries, out) = (queries_left, out_left);
        }
    }
}

impl<E: Element> Attend<'_, E> {
    #[inline(always)]
    fn heads<M: Machine, const H: usize>(&self, m: M, queries: &[f32], out: &mut [f32]) {
        out.fill(0.0);
        let (mut largest, mut sums) = ([f32::NEG_INFINITY; H], [0f32; H]);
        for page in self.from / PAGE..self.to.div_ceil(PAGE) {
            let first = self.from.saturating_sub(page * PAGE);
            let rows = first..(self.to - page * PAGE).min(PAGE);
            let (keys, values) = (self.page)(page);
            let mut weights = [[f32::NEG_INFINITY; PAGE]; H];
            for row in rows.clone() {
                let key = &keys[row * self.width..(row + 1) * self.width];
                let scores = scores::<M, E, H>(m, queries, key);
                for (weights, score) in weights.iter_mut().zip(scores) {
                    weights[row] = score;
                }
            }
            for head in 0..H {
                let out = &mut out[head * self.width..(head + 1) * self.width];
                let weights = &mut weights[head];
                let shrink = weigh(m, weights, &mut largest[head]);
                rescale(m, out, shrink);
                let mut sum = m.splat(0.0);
                for eight in weights.as_chunks::<LANES>().0 {
                    sum = m.add(sum, m.load(eight));
                }
                sums[head] = sums[head] * shrink + m.sum(sum);
            }
            mix::<M, E, H>(m, &weights, rows, values, out);
        }
        for (out, sum) in out.chunks_exact_mut(self.width).zip(sums) {
            rescale(m, out, 1.0 / sum);
        }
    }
}

/// The products of a key with the queries of `H` heads.
#[inline(always)]
fn scores<M: Machine, E: Element, const H: usize>(m: M, queries: &[f32], key: &[E]) -> [f32; H] {
    let eights = key.len() / LANES;
    let queries = queries.as_chunks::<LANES>().0;
    let (mut evens, mut odds) = ([m.splat(0.0); H], [m.splat(0.0); H]);
    let (pairs, last) = key.as_chunks::<LANES>().0.as_chunks::<2>();
    for (index, [even, odd]) in pairs.iter().enumerate() {
        let (even, odd) = (E::load(m, even), E::load(m, odd));
        for head in 0..H {
            let place = head * eights + 2 * index;
            evens[head] = m.add(evens[head], m.mul(m.load(&queries[place]), even));
            odds[head] = m.add(odds[head], m.mul(m.load(&queries[place + 1]), odd));
        }
    }
    for even in last {
        let even = E::load(m, even);
        for head in 0..H {
            let query = &queries[(head + 1) * eights - 1];
            evens[head] = m.add(evens[head], m.mul(m.load(query), even));
        }
    }
    let mut scores = [0.0; H];
    for head in 0..H {
        scores[head] = m.sum(m.add(evens[head], odds[head]));
    }
    scores
}

/// Makes weights of scores, relative to the largest so far; returns what older weights shrink by.
#[inline(always)]
fn weigh<M: Machine>(m: M, scores: &mut [f32; PAGE], largest: &mut f32) -> f32 {
    let before = *largest;
    *largest = scores.iter().copied().fold(before, f32::max);
    let top = m.splat(*largest);
    for eight in scores.as_chunks_mut::<LANES>().0 {
        *eight = m.lanes(exp(m, m.sub(m.load(eight), top)));
    }
    for score in scores.iter_mut() {
        // What the series gives for nothing at all.
        if *score < 1e-37 {
            *score = 0.0;
        }
    }
    if before == f32::NEG_INFINITY {
        return 0.0;
    }
    if before < *largest {
        return m.lanes(exp(m, m.splat(before - *largest)))[0];
    }
    1.0
}

#[inline(always)]
fn rescale<M: Machine>(m: M, out: &mut [f32], factor: f32) {
    #[expect(clippy::float_cmp, reason = "exactly one changes nothing")]
    if factor == 1.0 {
        return;
    }
    for eight in out.as_chunks_mut::<LANES>().0 {
        *eight = m.lanes(m.mul(m.load(eight), m.splat(factor)));
    }
}

/// Adds the weighted values of a page to the heads' results.
#[inline(always)]
fn mix<M: Machine, E: Element, const H: usize>(
    m: M,
    weights: &[[f32; PAGE]; H],
    rows: std::ops::Range<usize>,
    values: &[E],
    out: &mut [f32],
) {
    let eights = out.len() / H / LANES;
    let mut place = 0;
    while place + 2 <= eights {
        column::<M, E, H, 2>(m, weights, rows.clone(), values, out, place);
        place += 2;
    }
    if place < eights {
        column::<M, E, H, 1>(m, weights, rows, values, out, place);
    }
}

/// `W` times eight columns of that, from `place` on.
#[inline(always)]
fn column<M: Machine, E: Element, const H: usize, const W: usize>(
    m: M,
    weights: &[[f32; PAGE]; H],
    rows: std::ops::Range<usize>,
    values: &[E],
    out: &mut [f32],
    place: usize,
) {
    let values = values.as_chunks::<LANES>().0;
    let out = out.as_chunks_mut::<LANES>().0;
    let eights = out.len() / H;
    let mut sums = [[m.splat(0.0); W]; H];
    for head in 0..H {
        for part in 0..W {
            sums[head][part] = m.load(&out[head * eights + place + part]);
        }
    }
    for row in rows {
        for part in 0..W {
            let value = E::load(m, &values[row * eights + place + part]);
            for head in 0..H {
                let weighted = m.mul(m.splat(weights[head][row]), value);
                sums[head][part] = m.add(sums[head][part], weighted);
            }
        }
    }
    for head in 0..H {
        for part in 0..W {
            out[head * eights + place + part] = m.lanes(sums[head][part]);
        }
    }
}
