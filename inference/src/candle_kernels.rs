//! The two inner loops of a model on a CPU: rows times rows, and attention over a cache.
//!
//! Candle's own are made for large matrices. They ask the system for its number of cores at every
//! call (0.2 ms each time), pack the weights anew for a single token, and spin at barriers that
//! cost milliseconds while other programs want the cores. These are plain loops over slices that
//! the compiler turns into vector code for the processor at hand, chosen by `pulp` when they run.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape};
use rayon::prelude::*;

/// Multiplications that are worth handing to another thread.
const WORTH_A_THREAD: usize = 1 << 18;
/// Sums are kept in so many parts, which is what fills the vector registers.
const LANES: usize = 32;

/// `x` of `(.., k)` times the transpose of `weights` of `(n, k)`, both contiguous f32.
pub(crate) struct Multiply;

impl CustomOp2 for Multiply {
    fn name(&self) -> &'static str {
        "multiply"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weights) = (slice(x, x_layout)?, slice(weights, weights_layout)?);
        let (rows, width) = weights_layout.shape().dims2()?;
        let mut shape = x_layout.dims().to_vec();
        if shape.pop() != Some(width) {
            candle_core::bail!("{:?} does not fit {:?}", x_layout, weights_layout);
        }
        shape.push(rows);
        let tokens = x.len() / width;
        let mut by_row = vec![0f32; tokens * rows];
        let part = (WORTH_A_THREAD / (width * tokens)).clamp(1, rows);
        let parts = by_row
            .par_chunks_mut(part * tokens)
            .zip(weights.par_chunks(part * width));
        parts.for_each(|(out, weights)| {
            pulp::Arch::new().dispatch(|| multiply(out, x, weights, width));
        });
        let out = if tokens == 1 {
            by_row
        } else {
            transpose(&by_row, tokens)
        };
        Ok((CpuStorage::F32(out), Shape::from(shape)))
    }
}

/// `out` gets, for every row of `weights`, its product with every row of `x`.
#[expect(
    clippy::inline_always,
    reason = "vector code is made where pulp calls it"
)]
#[inline(always)]
fn multiply(out: &mut [f32], x: &[f32], weights: &[f32], width: usize) {
    let tokens = x.len() / width;
    for (out, row) in out
        .chunks_exact_mut(tokens)
        .zip(weights.chunks_exact(width))
    {
        for (out, x) in out.iter_mut().zip(x.chunks_exact(width)) {
            *out = dot(x, row);
        }
    }
}

fn transpose(by_row: &[f32], tokens: usize) -> Vec<f32> {
    let column = |token| by_row.iter().skip(token).step_by(tokens).copied();
    (0..tokens).flat_map(column).collect()
}

/// Attention of queries `(batch, heads, length, width)` over a cache of keys and values
/// `(batch, kv heads, positions, width)`; the result is `(batch, length, heads * width)`.
pub(crate) struct Attend {
    /// Where the first query stands.
    pub(crate) position: usize,
    /// Keys that a query sees, its own included.
    pub(crate) window: usize,
}

impl CustomOp3 for Attend {
    fn name(&self) -> &'static str {
        "attend"
    }

    fn cpu_fwd(
        &self,
        queries: &CpuStorage,
        queries_layout: &Layout,
        keys: &CpuStorage,
        keys_layout: &Layout,
        values: &CpuStorage,
        values_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, heads, length, width) = queries_layout.shape().dims4()?;
        let (_, kv_heads, positions, _) = keys_layout.shape().dims4()?;
        let queries = slice(queries, queries_layout)?;
        let (keys, values) = (slice(keys, keys_layout)?, slice(values, values_layout)?);
        let mut out = vec![0f32; queries.len()];
        let seen = self.window.min(self.position + length);
        let part = 1 + WORTH_A_THREAD / (2 * seen * width);
        out.par_chunks_mut(width)
            .with_min_len(part)
            .enumerate()
            .for_each(|(index, out)| {
                let (head, row) = (index % heads, index / heads % length);
                let sequence = index / heads / length;
                let query = ((sequence * heads + head) * length + row) * width;
                let cached = (sequence * kv_heads + head * kv_heads / heads) * positions * width;
                let end = self.position + row + 1;
                let first = end.saturating_sub(self.window);
                let visible = cached + first * width..cached + end * width;
                let query = &queries[query..query + width];
                let (keys, values) = (&keys[visible.clone()], &values[visible]);
                pulp::Arch::new().dispatch(|| attend(out, query, keys, values));
            });
        Ok((
            CpuStorage::F32(out),
            Shape::from((batch, length, heads * width)),
        ))
    }
}

#[expect(
    clippy::inline_always,
    reason = "vector code is made where pulp calls it"
)]
#[inline(always)]
fn attend(out: &mut [f32], query: &[f32], keys: &[f32], values: &[f32]) {
    let width = query.len();
    let mut weights: Vec<f32> = keys
        .chunks_exact(width)
        .map(|key| dot(query, key))
        .collect();
    let largest = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0f32;
    for weight in &mut weights {
        *weight = (*weight - largest).exp();
        sum += *weight;
    }
    for (weight, value) in weights.iter().zip(values.chunks_exact(width)) {
        let share = weight / sum;
        for (out, value) in out.iter_mut().zip(value) {
            *out += share * value;
        }
    }
}

#[expect(
    clippy::inline_always,
    reason = "vector code is made where pulp calls it"
)]
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let (a_parts, a_rest) = a.as_chunks::<LANES>();
    let (b_parts, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_parts.iter().zip(b_parts) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    for (lane, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
        lanes[lane] += a * b;
    }
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("{layout:?} is not contiguous");
    };
    Ok(&storage.as_slice::<f32>()?[start..end])
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    #[test]
    fn products_agree_with_those_of_candle() -> Result<()> {
        for (tokens, rows, width) in [(1, 7, 33), (5, 300, 64), (32, 64, 100)] {
            let x = Tensor::randn(0f32, 1., (2, tokens, width), &Device::Cpu)?;
            let weights = Tensor::randn(0f32, 1., (rows, width), &Device::Cpu)?;

            let ours = x.apply_op2_no_bwd(&weights, &Multiply)?;

            let theirs = x.broadcast_matmul(&weights.t()?)?;
            let error = (ours - theirs)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(error < 1e-4, "{tokens} x {rows} x {width}: {error}");
        }
        Ok(())
    }
}
