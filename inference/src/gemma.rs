//! A Gemma 3 on candle's primitives, for the devices that candle computes on.
//!
//! The models that come with candle are measurably wrong (window, activation, grouped heads), so
//! this one is ours; `tests/parity.rs` compares its logits with those of transformers.

use candle_core::{Device, Result, Tensor};
use candle_nn::ops::rms_norm;

use crate::attention::{Attention, LayerCache, Span, to_f32};
use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::error::{Error, Result as LyoResult};
use crate::matrix::Matrix;
use crate::rotation::Rotation;

/// The weights of a model; immutable, so that many caches can be used with it.
pub struct Gemma {
    config: Config,
    embedding: Matrix,
    head: Matrix,
    norm: Tensor,
    layers: Vec<Layer>,
    rotation_global: Rotation,
    rotation_windowed: Rotation,
    positions: usize,
    vocabulary: usize,
    device: Device,
}

/// Keys and values of a batch of sequences of the same length, written in place.
///
/// A forward pass at a smaller position overwrites what was there: that is how sequences are cut
/// back and how a prefix is used again.
pub struct Cache {
    layers: Vec<LayerCache>,
}

struct Layer {
    attention: Attention,
    feed_forward: FeedForward,
    attention_norm: Tensor,
    attention_norm_after: Tensor,
    feed_forward_norm: Tensor,
    feed_forward_norm_after: Tensor,
}

struct FeedForward {
    gate: Matrix,
    up: Matrix,
    down: Matrix,
}

impl Gemma {
    /// Loads all tensors; `positions` bounds prompt and answer together, up to the model's own.
    pub fn load(checkpoint: &mut Checkpoint, positions: usize, device: &Device) -> LyoResult<Self> {
        let config = checkpoint.config().clone();
        let positions = positions.min(config.context);
        let embedding = checkpoint.matrix("token_embd", device)?;
        let vocabulary = checkpoint.rows("token_embd")?;
        let head = if checkpoint.has("output") {
            checkpoint.matrix("output", device)?
        } else {
            // Tied: the same memory under a second name.
            embedding.clone()
        };
        let layers = (0..config.windowed.len())
            .map(|index| Layer::load(checkpoint, index, device))
            .collect::<LyoResult<_>>()?;
        let rotation =
            |theta, factor| Rotation::new(theta, factor, config.head_width, positions, device);
        Ok(Self {
            embedding,
            head,
            norm: checkpoint.norm("output_norm", device)?,
            layers,
            rotation_global: rotation(config.theta_global, config.rope_factor)?,
            rotation_windowed: rotation(config.theta_local, 1.0)?,
            positions,
            vocabulary,
            device: device.clone(),
            config,
        })
    }

    /// The shape of the model.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Positions that fit into a cache.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Number of logits per position; a tokenizer may use fewer.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// An empty cache for `batch` sequences of at most [`Self::positions`] tokens.
    pub fn cache(&self, batch: usize) -> LyoResult<Cache> {
        let layer = |_| LayerCache::new(&self.config, batch, self.positions, &self.device);
        let layers = self.layers.iter().map(layer).collect::<Result<_>>()?;
        Ok(Cache { layers })
    }

    /// Runs `ids` of shape `(batch, length)` as the positions from `position` on.
    ///
    /// What the cache holds before `position` is the past; what it holds after is overwritten.
    /// Returns the hidden states `(batch, length, hidden)` for [`Self::logits`].
    ///
    /// # Errors
    /// [`Error::TooLong`] when the last position is not in the cache.
    pub fn forward(&self, ids: &Tensor, position: usize, cache: &mut Cache) -> LyoResult<Tensor> {
        let (_, length) = ids.dims2()?;
        if position + length > self.positions {
            return Err(Error::TooLong {
                tokens: position + length,
                context: self.positions,
            });
        }
        let span = Span::new(position, length, self.config.window, &self.device)?;
        let scale = f64::from(u32::try_from(self.config.hidden).unwrap_or(u32::MAX)).sqrt();
        let mut x = (self.embedding.embedding(ids)? * scale)?;
        for (layer, cache) in self.layers.iter().zip(&cache.layers) {
            let rotation = if layer.attention.windowed {
                &self.rotation_windowed
            } else {
                &self.rotation_global
            };
            x = layer.forward(&x, &self.config, rotation, &span, cache)?;
        }
        Ok(x)
    }

    /// The logits `(batch, length, vocabulary)` of hidden states.
    pub fn logits(&self, hidden: &Tensor) -> LyoResult<Tensor> {
        let normed = rms_norm(
            &hidden.contiguous()?,
            &self.norm,
            to_f32(self.config.epsilon),
        )?;
        Ok(self.head.forward(&normed)?)
    }
}

impl Layer {
    fn load(checkpoint: &mut Checkpoint, index: usize, device: &Device) -> LyoResult<Self> {
        let name = |part: &str| format!("blk.{index}.{part}");
        let windowed = checkpoint.config().windowed[index];
        let mut matrix = |part: &str| checkpoint.matrix(&name(part), device);
        let (query, key, value) = (matrix("attn_q")?, matrix("attn_k")?, matrix("attn_v")?);
        let output = matrix("attn_output")?;
        let feed_forward = FeedForward {
            gate: matrix("ffn_gate")?,
            up: matrix("ffn_up")?,
            down: matrix("ffn_down")?,
        };
        let mut norm = |part: &str| checkpoint.norm(&name(part), device);
        let (query_norm, key_norm) = (norm("attn_q_norm")?, norm("attn_k_norm")?);
        Ok(Self {
            attention: Attention {
                query,
                key,
                value,
                output,
                query_norm,
                key_norm,
                windowed,
            },
            feed_forward,
            attention_norm: norm("attn_norm")?,
            attention_norm_after: norm("post_attention_norm")?,
            feed_forward_norm: norm("ffn_norm")?,
            feed_forward_norm_after: norm("post_ffw_norm")?,
        })
    }

    fn forward(
        &self,
        x: &Tensor,
        config: &Config,
        rotation: &Rotation,
        span: &Span,
        cache: &LayerCache,
    ) -> Result<Tensor> {
        let epsilon = to_f32(config.epsilon);
        let normed = rms_norm(x, &self.attention_norm, epsilon)?;
        let attended = self
            .attention
            .forward(&normed, config, rotation, span, cache)?;
        let x = (x + rms_norm(&attended, &self.attention_norm_after, epsilon)?)?;
        let normed = rms_norm(&x, &self.feed_forward_norm, epsilon)?;
        let fed = self.feed_forward.forward(&normed)?;
        x + rms_norm(&fed, &self.feed_forward_norm_after, epsilon)?
    }
}

impl FeedForward {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        // `gelu` of candle is the tanh approximation, which Gemma was trained with.
        let gated = (self.gate.forward(x)?.gelu()? * self.up.forward(x)?)?;
        self.down.forward(&gated)
    }
}
