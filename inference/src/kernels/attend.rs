//! Attention of one token over the pages of its sequence, a page at a time.
//!
//! A running maximum makes one pass enough and needs no memory for scores. The pages begin at fixed
//! positions, so the order of every sum follows from the token's position alone.
#![expect(
    clippy::inline_always,
    reason = "vector code is made where the processor's features are known"
)]

use half::f16;
use half::slice::HalfFloatSliceExt as _;

use super::machine::{LANES, Machine, Work, exp, run};

/// Positions on a page.
pub(crate) const PAGE: usize = 32;
/// Positions whose weights are made together.
const SPAN: usize = 8 * PAGE;
/// Of narrower heads the processor finds by itself what is read next.
const AHEAD_WIDTH_MIN: usize = 128;
/// Columns whose products are summed up on their own.
const COLUMNS_TOGETHER: usize = 32;

/// A number of a cache.
pub(crate) trait Element: Copy + Send + Sync + 'static {
    fn load<M: Machine>(m: M, eight: &[Self; LANES]) -> M::Floats;
    /// Writes values at every `step`-th place of `out`, from the first on.
    fn store(values: &[f32], out: &mut [Self], step: usize);
}

impl Element for f32 {
    #[inline(always)]
    fn load<M: Machine>(m: M, eight: &[Self; LANES]) -> M::Floats {
        m.load(eight)
    }

    fn store(values: &[f32], out: &mut [Self], step: usize) {
        for (out, value) in out.iter_mut().step_by(step).zip(values) {
            *out = *value;
        }
    }
}

/// Half precision, as its bits.
impl Element for u16 {
    #[inline(always)]
    fn load<M: Machine>(m: M, eight: &[Self; LANES]) -> M::Floats {
        m.halves(eight)
    }

    fn store(values: &[f32], out: &mut [Self], step: usize) {
        const LARGEST: f32 = 65_504.0;
        const TOGETHER: usize = 64;
        let (mut clamped, mut halves) = ([0.0; TOGETHER], [f16::ZERO; TOGETHER]);
        let outs = out.chunks_mut(TOGETHER * step);
        for (out, values) in outs.zip(values.chunks(TOGETHER)) {
            let clamped = &mut clamped[..values.len()];
            for (clamped, value) in clamped.iter_mut().zip(values) {
                *clamped = value.clamp(-LARGEST, LARGEST);
            }
            let halves = &mut halves[..values.len()];
            halves.convert_from_f32_slice(clamped);
            for (out, half) in out.iter_mut().step_by(step).zip(halves) {
                *out = half.to_bits();
            }
        }
    }
}

/// Some heads that share keys, at one token.
pub(crate) struct Attend<'a, E> {
    /// Head by head, scaled.
    pub(crate) queries: &'a [f32],
    /// Keys and values of a page by its number: of keys `width` rows with a column for every position,
    /// of values `PAGE` rows.
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
                4 if M::REGISTERS >= 32 => self.heads::<M, 4, 4, 3>(m, query, mixed),
                4 => self.heads::<M, 4, 2, 2>(m, query, mixed),
                2 => self.heads::<M, 2, 4, 4>(m, query, mixed),
                _ => self.heads::<M, 1, 4, 8>(m, query, mixed),
            }
            (queries, out) = (queries_left, out_left);
        }
    }
}

impl<E: Element> Attend<'_, E> {
    /// `H` heads, `W` times eight positions at a time, and `C` times eight columns of values.
    #[inline(always)]
    fn heads<M: Machine, const H: usize, const W: usize, const C: usize>(
        &self,
        m: M,
        queries: &[f32],
        out: &mut [f32],
    ) {
        out.fill(0.0);
        let (mut largest, mut sums) = ([f32::NEG_INFINITY; H], [0f32; H]);
        let mut weights = [[0.0; SPAN]; H];
        let mut from = self.from;
        while from < self.to {
            let span = from / SPAN * SPAN;
            let to = self.to.min(span + SPAN);
            let rows = from - span..to - span;
            let mut pages: [(&[E], &[E]); SPAN / PAGE] = [(&[], &[]); SPAN / PAGE];
            let numbers = rows.start / PAGE..rows.end.div_ceil(PAGE);
            for number in numbers.clone() {
                pages[number] = (self.page)(span / PAGE + number);
            }
            for number in numbers {
                let (keys, values) = pages[number];
                let next = pages.get(number + 1).map_or(&[][..], |(keys, _)| keys);
                let first = rows.start.saturating_sub(number * PAGE);
                let end = (rows.end - number * PAGE).min(PAGE);
                let positions = W * LANES;
                for begin in (first / positions * positions..end).step_by(positions) {
                    let some = begin * self.width..(begin + positions) * self.width;
                    if self.width >= AHEAD_WIDTH_MIN {
                        ahead(m, &values[some.clone()]);
                        ahead(m, next.get(some).unwrap_or_default());
                    }
                    let scores = scores::<M, E, H, W>(m, queries, keys, begin / LANES);
                    for head in 0..H {
                        let weights = weights[head].as_chunks_mut::<LANES>().0;
                        for part in 0..W {
                            weights[(number * PAGE + begin) / LANES + part] =
                                m.lanes(scores[head][part]);
                        }
                    }
                }
            }
            let (first, end) = (rows.start / LANES * LANES, rows.end.next_multiple_of(LANES));
            for head in 0..H {
                let weights = &mut weights[head];
                weights[first..rows.start].fill(f32::NEG_INFINITY);
                weights[rows.end..end].fill(f32::NEG_INFINITY);
                let weights = &mut weights[first..end];
                let shrink = raise(m, weights, &mut largest[head]);
                rescale(
                    m,
                    &mut out[head * self.width..(head + 1) * self.width],
                    shrink,
                );
                let sum = weigh(m, weights, largest[head]);
                sums[head] = sums[head] * shrink + sum;
            }
            mix::<M, E, H, C>(m, &weights, rows, &pages, out);
            from = to;
        }
        for (out, sum) in out.chunks_exact_mut(self.width).zip(sums) {
            rescale(m, out, 1.0 / sum);
        }
    }
}

/// Asks for numbers that are read later, row by row at once as they are far apart then.
#[inline(always)]
fn ahead<M: Machine, E: Element>(m: M, numbers: &[E]) {
    const LINE_BYTES: usize = 64;
    for first in (0..numbers.len()).step_by(LINE_BYTES / size_of::<E>()) {
        m.soon(&numbers[first], 0);
    }
}

/// The products of the queries of `H` heads with the keys of `W` times eight positions, from the
/// `place`-th eight of the page on.
#[inline(always)]
fn scores<M: Machine, E: Element, const H: usize, const W: usize>(
    m: M,
    queries: &[f32],
    keys: &[E],
    place: usize,
) -> [[M::Floats; W]; H] {
    let width = queries.len() / H;
    let mut query = [queries; H];
    for head in 0..H {
        query[head] = &queries[head * width..][..width];
    }
    let keys = keys.as_chunks::<LANES>().0;
    let keys = &keys.as_chunks::<{ PAGE / LANES }>().0[..width];
    let mut totals = [[m.splat(0.0); W]; H];
    // Sums of sums: one of all columns would lose more of the smallest.
    for first in (0..width).step_by(COLUMNS_TOGETHER) {
        let mut sums = [[m.splat(0.0); W]; H];
        for column in first..width.min(first + COLUMNS_TOGETHER) {
            for part in 0..W {
                let key = E::load(m, &keys[column][place + part]);
                for head in 0..H {
                    sums[head][part] =
                        m.mul_add(m.splat(query[head][column]), key, sums[head][part]);
                }
            }
        }
        for head in 0..H {
            for part in 0..W {
                totals[head][part] = m.add(totals[head][part], sums[head][part]);
            }
        }
    }
    totals
}

/// Takes the largest score so far over from these; returns what older weights shrink by.
#[inline(always)]
fn raise<M: Machine>(m: M, scores: &[f32], largest: &mut f32) -> f32 {
    let before = *largest;
    let mut most = m.splat(before);
    for eight in scores.as_chunks::<LANES>().0 {
        most = m.max(most, m.load(eight));
    }
    // `f32::max` takes three times as long.
    let larger = |a, b| if b > a { b } else { a };
    *largest = m.lanes(most).into_iter().fold(before, larger);
    if before < *largest && before > f32::NEG_INFINITY {
        let [shrink] = exp(m, [m.splat(before - *largest)]);
        return m.lanes(shrink)[0];
    }
    1.0
}

/// Makes weights of scores, relative to the largest; returns their sum.
#[inline(always)]
fn weigh<M: Machine>(m: M, scores: &mut [f32], largest: f32) -> f32 {
    let top = m.splat(largest);
    let mut sum = m.splat(0.0);
    let (fours, last) = scores.as_chunks_mut::<LANES>().0.as_chunks_mut::<4>();
    for four in fours {
        sum = weigh_some(m, four, top, sum);
    }
    for eight in last {
        sum = weigh_some(m, std::array::from_mut(eight), top, sum);
    }
    m.sum(sum)
}

#[inline(always)]
fn weigh_some<M: Machine, const W: usize>(
    m: M,
    scores: &mut [[f32; LANES]; W],
    top: M::Floats,
    mut sum: M::Floats,
) -> M::Floats {
    let mut weights = [top; W];
    for (weights, eight) in weights.iter_mut().zip(&*scores) {
        *weights = m.sub(m.load(eight), top);
    }
    for (eight, weights) in scores.iter_mut().zip(exp(m, weights)) {
        *eight = m.lanes(weights);
        sum = m.add(sum, weights);
    }
    sum
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

/// Adds the weighted values of a span to the heads' results, `W` times eight columns at a time.
#[inline(always)]
fn mix<M: Machine, E: Element, const H: usize, const W: usize>(
    m: M,
    weights: &[[f32; SPAN]; H],
    rows: std::ops::Range<usize>,
    pages: &[(&[E], &[E]); SPAN / PAGE],
    out: &mut [f32],
) {
    let eights = out.len() / H / LANES;
    let mut place = 0;
    while place + W <= eights {
        column::<M, E, H, W>(m, weights, rows.clone(), pages, out, place);
        place += W;
    }
    while place < eights {
        column::<M, E, H, 1>(m, weights, rows.clone(), pages, out, place);
        place += 1;
    }
}

/// `W` times eight columns of that, from `place` on.
#[inline(always)]
fn column<M: Machine, E: Element, const H: usize, const W: usize>(
    m: M,
    weights: &[[f32; SPAN]; H],
    rows: std::ops::Range<usize>,
    pages: &[(&[E], &[E]); SPAN / PAGE],
    out: &mut [f32],
    place: usize,
) {
    let out = out.as_chunks_mut::<LANES>().0;
    let eights = out.len() / H;
    let mut sums = [[m.splat(0.0); W]; H];
    for head in 0..H {
        for part in 0..W {
            sums[head][part] = m.load(&out[head * eights + place + part]);
        }
    }
    for number in rows.start / PAGE..rows.end.div_ceil(PAGE) {
        let values = pages[number].1.as_chunks::<LANES>().0;
        let first = rows.start.saturating_sub(number * PAGE);
        let end = (rows.end - number * PAGE).min(PAGE);
        let mut own = [&weights[0][number * PAGE..][..PAGE]; H];
        for head in 0..H {
            own[head] = &weights[head][number * PAGE..][..PAGE];
        }
        for row in first..end {
            for part in 0..W {
                let value = E::load(m, &values[row * eights + place + part]);
                for head in 0..H {
                    sums[head][part] = m.mul_add(m.splat(own[head][row]), value, sums[head][part]);
                }
            }
        }
    }
    for head in 0..H {
        for part in 0..W {
            out[head * eights + place + part] = m.lanes(sums[head][part]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::portable::Portable;
    use super::*;
    use crate::splitmix::SplitMix64;

    #[expect(clippy::cast_possible_truncation, reason = "random numbers")]
    fn numbers(seed: &mut SplitMix64, count: usize) -> Vec<f32> {
        (0..count)
            .map(|_| (seed.unit() * 4.0 - 2.0) as f32)
            .collect()
    }

    /// Softmax and sums as they are written in a book, of one head.
    fn plain(query: &[f32], keys: &[f32], values: &[f32], from: usize, to: usize) -> Vec<f64> {
        let width = query.len();
        let row = |of: &[f32], place: usize| of[place * width..(place + 1) * width].to_vec();
        let score = |place: usize| -> f64 {
            let products = query.iter().zip(row(keys, place));
            products.map(|(q, k)| f64::from(*q) * f64::from(k)).sum()
        };
        let largest = (from..to).map(score).fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = (from..to).map(|place| (score(place) - largest).exp()).sum();
        let mut out = vec![0.0; width];
        for place in from..to {
            let weight = (score(place) - largest).exp() / total;
            for (out, value) in out.iter_mut().zip(row(values, place)) {
                *out += weight * f64::from(value);
            }
        }
        out
    }

    fn stored<E: Element + Default>(numbers: &[f32]) -> Vec<E> {
        let mut all = vec![E::default(); numbers.len()];
        E::store(numbers, &mut all, 1);
        all
    }

    /// Pages of keys, a column for every position.
    fn turned<E: Element + Default>(keys: &[f32], width: usize) -> Vec<E> {
        let mut all = vec![E::default(); keys.len()];
        for (position, key) in keys.chunks_exact(width).enumerate() {
            let start = position / PAGE * PAGE * width + position % PAGE;
            E::store(key, &mut all[start..], PAGE);
        }
        all
    }

    /// Compares one size with the book, and heads and machines with each other.
    fn check<E: Element + Default>(seed: &mut SplitMix64, heads: usize, width: usize, seen: usize) {
        let pages = 3;
        let queries = numbers(seed, heads * width);
        let mut made = || half_precise(numbers(seed, pages * PAGE * width));
        let (keys, values) = (made(), made());
        let (all_keys, all_values) = (turned::<E>(&keys, width), stored::<E>(&values));
        let to = pages * PAGE - seen % PAGE;
        let from = to.saturating_sub(seen);
        let attend = |queries: &[f32], portable: bool| {
            let mut out = vec![0.0; queries.len()];
            let page = |number: usize| {
                let numbers = number * PAGE * width..(number + 1) * PAGE * width;
                (&all_keys[numbers.clone()], &all_values[numbers])
            };
            let work = Attend {
                queries,
                page: &page,
                width,
                from,
                to,
                out: &mut out,
            };
            if portable {
                Work::run(work, Portable);
            } else {
                work.run();
            }
            out
        };

        let together = attend(&queries, false);

        assert_eq!(together, attend(&queries, true));
        for (query, out) in queries.chunks(width).zip(together.chunks(width)) {
            assert_eq!(out, attend(query, false));
            let right = plain(query, &keys, &values, from, to);
            for (out, right) in out.iter().zip(right) {
                // Scores are up to 60 here, which f32 rounds to 4e-6.
                assert!((f64::from(*out) - right).abs() < 2e-5, "{out} {right}");
            }
        }
    }

    fn half_precise(numbers: Vec<f32>) -> Vec<f32> {
        let half = |x| half::f16::from_f32(x).to_f32();
        numbers.into_iter().map(half).collect()
    }

    #[test]
    fn heads_see_what_they_may_alone_and_together_on_every_machine() {
        let seed = &mut SplitMix64(5);
        for heads in 1..8 {
            for (width, seen) in [(8, 1), (16, 33), (48, 64), (72, 90), (256, 31)] {
                check::<u16>(seed, heads, width, seen);
                check::<f32>(seed, heads, width, seen + heads);
            }
        }
    }
}
