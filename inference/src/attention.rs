//! Attention with grouped heads, a window and a cache written in place.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::ops::{rms_norm, softmax_last_dim};

use crate::config::Config;
use crate::matrix::Matrix;
use crate::rotation::Rotation;

/// The keys and values of one layer, `(batch, kv heads, positions, head width)`.
pub(crate) struct LayerCache {
    keys: Tensor,
    values: Tensor,
}

impl LayerCache {
    pub(crate) fn new(
        config: &Config,
        batch: usize,
        positions: usize,
        device: &Device,
    ) -> Result<Self> {
        let shape = (batch, config.kv_heads, positions, config.head_width);
        // Zeroed pages cost no memory until they are written, so a long context is free until used.
        let empty = || Tensor::zeros(shape, DType::F32, device);
        Ok(Self {
            keys: empty()?,
            values: empty()?,
        })
    }
}

/// What one forward pass is about: where it starts and what its rows may see.
pub(crate) struct Span {
    position: usize,
    length: usize,
    masks: Option<Masks>,
}

struct Masks {
    global: Tensor,
    windowed: Tensor,
}

impl Span {
    pub(crate) fn new(
        position: usize,
        length: usize,
        window: usize,
        device: &Device,
    ) -> Result<Self> {
        // A single row sees all the keys that it is given.
        let masks = if length == 1 {
            None
        } else {
            Some(Masks::new(position, length, window, device)?)
        };
        Ok(Self {
            position,
            length,
            masks,
        })
    }
}

impl Masks {
    fn new(position: usize, length: usize, window: usize, device: &Device) -> Result<Self> {
        let first = first_visible(position, window);
        Ok(Self {
            global: mask(position, length, 0, usize::MAX, device)?,
            windowed: mask(position, length, first, window, device)?,
        })
    }
}

/// The first key that the row at `position` sees through a window, itself included.
fn first_visible(position: usize, window: usize) -> usize {
    position.saturating_add(1).saturating_sub(window)
}

/// Rows are `position..position + length`, columns the keys from `first` on.
fn mask(
    position: usize,
    length: usize,
    first: usize,
    window: usize,
    device: &Device,
) -> Result<Tensor> {
    let keys = first..position + length;
    let mut cells = Vec::with_capacity(length * keys.len());
    for row in position..position + length {
        let visible = first_visible(row, window)..=row;
        let cell = |key| {
            if visible.contains(&key) {
                0f32
            } else {
                f32::NEG_INFINITY
            }
        };
        cells.extend(keys.clone().map(cell));
    }
    Tensor::from_vec(cells, (length, keys.len()), device)
}

/// The attention of one layer.
pub(crate) struct Attention {
    pub(crate) query: Matrix,
    pub(crate) key: Matrix,
    pub(crate) value: Matrix,
    pub(crate) output: Matrix,
    pub(crate) query_norm: Tensor,
    pub(crate) key_norm: Tensor,
    pub(crate) windowed: bool,
}

impl Attention {
    /// `x` is `(batch, length, hidden)`; its keys and values are written into the cache.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        config: &Config,
        rotation: &Rotation,
        span: &Span,
        cache: &LayerCache,
    ) -> Result<Tensor> {
        let (kv_heads, head_width) = (config.kv_heads, config.head_width);
        let query = split_heads(&self.query.forward(x)?, config.heads, head_width)?;
        let key = split_heads(&self.key.forward(x)?, kv_heads, head_width)?;
        let value = split_heads(&self.value.forward(x)?, kv_heads, head_width)?;
        let epsilon = to_f32(config.epsilon);
        let query = rotation.apply(&rms_norm(&query, &self.query_norm, epsilon)?, span.position)?;
        let key = rotation.apply(&rms_norm(&key, &self.key_norm, epsilon)?, span.position)?;
        cache.keys.slice_set(&key, 2, span.position)?;
        cache.values.slice_set(&value, 2, span.position)?;

        let query = (query * config.query_scale)?;
        let window = if self.windowed {
            config.window
        } else {
            usize::MAX
        };
        let mixed = self.mix(&query, span, window, cache)?;
        self.output.forward(&join_heads(&mixed)?)
    }

    fn mix(
        &self,
        query: &Tensor,
        span: &Span,
        window: usize,
        cache: &LayerCache,
    ) -> Result<Tensor> {
        let (batch, heads, length, width) = query.dims4()?;
        let kv_heads = cache.keys.dim(1)?;
        let first = first_visible(span.position, window);
        let end = span.position + length;
        let keys = cache.keys.narrow(2, first, end - first)?;
        let values = cache.values.narrow(2, first, end - first)?;
        // The heads of a group share their keys: folding them into rows saves copying the keys.
        let query = query.reshape((batch, kv_heads, heads / kv_heads * length, width))?;
        let mut scores = query.matmul(&keys.t()?)?;
        if let Some(masks) = &span.masks {
            let mask = if self.windowed {
                &masks.windowed
            } else {
                &masks.global
            };
            let shape = scores.shape().clone();
            let by_head = scores.reshape((batch, heads, span.length, end - first))?;
            scores = by_head.broadcast_add(mask)?.reshape(shape)?;
        }
        let mixed = softmax_last_dim(&scores)?.matmul(&values)?;
        mixed.reshape((batch, heads, length, width))
    }
}

/// `(batch, length, heads * width)` to `(batch, heads, length, width)`.
fn split_heads(x: &Tensor, heads: usize, width: usize) -> Result<Tensor> {
    let (batch, length, _) = x.dims3()?;
    if length == 1 {
        // The same bytes in the same order: decode needs no copy.
        return x.reshape((batch, heads, 1, width));
    }
    x.reshape((batch, length, heads, width))?
        .transpose(1, 2)?
        .contiguous()
}

fn join_heads(x: &Tensor) -> Result<Tensor> {
    let (batch, heads, length, width) = x.dims4()?;
    if length == 1 {
        return x.reshape((batch, 1, heads * width));
    }
    x.transpose(1, 2)?.reshape((batch, length, heads * width))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "epsilon is a small constant of the model"
)]
pub(crate) fn to_f32(real: f64) -> f32 {
    real as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_hides_what_is_older_and_what_comes_later() -> Result<()> {
        let mask = mask(4, 2, first_visible(4, 3), 3, &Device::Cpu)?.to_vec2::<f32>()?;

        let seen: Vec<Vec<bool>> = mask
            .iter()
            .map(|row| row.iter().map(|cell| cell.is_finite()).collect())
            .collect();
        assert_eq!(seen, [[true, true, true, false], [false, true, true, true]]);
        Ok(())
    }
}
