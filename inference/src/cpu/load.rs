//! The weights of a model, as a CPU reads them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::pages::{Pages, Sequence};
use super::prefixes::Prefixes;
use super::rough::Rough;
use super::step::Desk;
use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::kernels::huge;
use crate::kernels::machine::LANES;
use crate::kernels::pool::Pool;
use crate::kernels::tile::Forms;
use crate::kernels::weights::Matrix;

/// A model with its threads and what they write on.
pub struct Model {
    pub(crate) config: Config,
    pub(crate) weights: Arc<Tensors>,
    pub(crate) positions: usize,
    memory: Arc<Mutex<Memory>>,
    pub(crate) pool: Pool,
    pub(crate) desk: Desk,
    pub(crate) rough: Rough,
}

/// Keys and values of all sequences, and of prompts that others may begin with, too.
pub(crate) struct Memory {
    pub(crate) pages: Pages,
    pub(crate) prefixes: Prefixes,
}

pub(crate) struct Tensors {
    pub(crate) embedding: Matrix,
    /// None where the embedding is used for both.
    pub(crate) head: Option<Matrix>,
    pub(crate) norm: Vec<f32>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) frequencies_global: Vec<f32>,
    pub(crate) frequencies_windowed: Vec<f32>,
    pub(crate) forms: Forms,
}

pub(crate) struct Layer {
    pub(crate) windowed: bool,
    /// Counted among the layers of its kind.
    pub(crate) index: usize,
    pub(crate) query: Matrix,
    pub(crate) key: Matrix,
    pub(crate) value: Matrix,
    pub(crate) output: Matrix,
    pub(crate) gate: Matrix,
    pub(crate) up: Matrix,
    pub(crate) down: Matrix,
    pub(crate) query_norm: Vec<f32>,
    pub(crate) key_norm: Vec<f32>,
    pub(crate) attention_norm: Vec<f32>,
    pub(crate) attention_norm_after: Vec<f32>,
    pub(crate) feed_forward_norm: Vec<f32>,
    pub(crate) feed_forward_norm_after: Vec<f32>,
}

impl Model {
    /// Loads all tensors; `positions` bounds prompt and answer together, up to the model's own.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when a tensor is missing, damaged or of another shape.
    pub fn load(checkpoint: &mut Checkpoint, positions: usize, threads: usize) -> Result<Self> {
        let config = checkpoint.config().clone();
        let widths = [config.hidden, config.head_width, config.feed_forward];
        if widths.iter().any(|width| !width.is_multiple_of(LANES)) {
            return Err(Error::corrupt("a width is not a multiple of eight"));
        }
        let weights = Tensors::load(checkpoint, &config)?;
        huge::gather(weights.matrices().flat_map(Matrix::places).collect());
        // Half the precision of the cache is lost in the rounding of quantised activations.
        let pages = Pages::new(&config, weights.forms.quantised);
        let prefixes = Prefixes::new(&pages);
        Ok(Self {
            positions: positions.min(config.context),
            memory: Arc::new(Mutex::new(Memory { pages, prefixes })),
            pool: Pool::new(threads)?,
            desk: Desk::default(),
            rough: Rough::default(),
            weights: Arc::new(weights),
            config,
        })
    }

    /// Another model with the same weights and the same memory: what one began, the other goes on with.
    ///
    /// # Errors
    /// [`Error::Engine`] when its threads can't be started.
    pub(crate) fn twin(&self, threads: usize) -> Result<Self> {
        Ok(Self {
            positions: self.positions,
            memory: self.memory.clone(),
            pool: Pool::new(threads)?,
            desk: Desk::default(),
            rough: Rough::default(),
            weights: self.weights.clone(),
            config: self.config.clone(),
        })
    }

    /// Held for moments only: steps compute without.
    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shape of the model.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Positions that a sequence may have.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Number of logits per position; a tokenizer may use fewer.
    pub fn vocabulary(&self) -> usize {
        self.weights.embedding.rows
    }

    /// Numbers of the matrices: products of a token.
    pub(crate) fn products(&self) -> usize {
        let numbers = |matrix: &Matrix| matrix.rows * matrix.width;
        self.weights.matrices().map(numbers).sum()
    }

    /// Bytes of the matrices.
    pub fn weights_bytes(&self) -> usize {
        self.weights.matrices().map(Matrix::bytes).sum()
    }

    /// Bytes of them that a step with one token reads, unless its logits are all of interest.
    pub fn step_bytes(&self) -> usize {
        let head = self.weights.head();
        let all = self.weights_bytes() - head.bytes() + head.bytes_rough();
        match self.weights.head {
            Some(_) => all - self.weights.embedding.bytes(),
            None => all,
        }
    }

    /// Bytes of all keys and values that there is room for by now.
    pub fn cache_bytes(&self) -> usize {
        self.memory().pages.bytes_made()
    }

    /// Gives back what a sequence holds.
    pub fn end(&mut self, sequence: &mut Sequence) {
        self.memory().pages.end(sequence);
    }
}

impl Tensors {
    fn load(checkpoint: &mut Checkpoint, config: &Config) -> Result<Self> {
        let embedding = checkpoint.weights("token_embd", None, config.hidden)?;
        let head = checkpoint.has("output");
        let head = head.then(|| checkpoint.weights("output", Some(embedding.rows), config.hidden));
        let mut kinds = [0, 0];
        let mut layers = Vec::new();
        for (number, windowed) in config.windowed.iter().enumerate() {
            let index = &mut kinds[usize::from(*windowed)];
            layers.push(Layer::load(checkpoint, config, number, *index)?);
            *index += 1;
        }
        let mut loaded = Self {
            embedding,
            head: head.transpose()?,
            norm: checkpoint.factors("output_norm", config.hidden)?,
            layers,
            frequencies_global: frequencies(config.theta_global, config.rope_factor, config),
            frequencies_windowed: frequencies(config.theta_local, 1.0, config),
            forms: Forms::default(),
        };
        let plain = loaded.matrices().any(Matrix::is_plain);
        let quantised = loaded.matrices().any(|matrix| !matrix.is_plain());
        loaded.forms = Forms { quantised, plain };
        Ok(loaded)
    }

    /// What the last hidden states become logits by.
    pub(crate) fn head(&self) -> &Matrix {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        let layers = self.layers.iter().flat_map(Layer::matrices);
        std::iter::once(&self.embedding)
            .chain(&self.head)
            .chain(layers)
    }
}

impl Layer {
    fn load(
        checkpoint: &mut Checkpoint,
        config: &Config,
        number: usize,
        index: usize,
    ) -> Result<Self> {
        let name = |part: &str| format!("blk.{number}.{part}");
        let hidden = config.hidden;
        let queries = config.heads * config.head_width;
        let keys = config.kv_heads * config.head_width;
        let mut matrix =
            |part: &str, rows, width| checkpoint.weights(&name(part), Some(rows), width);
        let (query, key) = (
            matrix("attn_q", queries, hidden)?,
            matrix("attn_k", keys, hidden)?,
        );
        let value = matrix("attn_v", keys, hidden)?;
        let output = matrix("attn_output", hidden, queries)?;
        let gate = matrix("ffn_gate", config.feed_forward, hidden)?;
        let up = matrix("ffn_up", config.feed_forward, hidden)?;
        let down = matrix("ffn_down", hidden, config.feed_forward)?;
        let mut norm = |part: &str, width| checkpoint.factors(&name(part), width);
        Ok(Self {
            windowed: config.windowed[number],
            index,
            query,
            key,
            value,
            output,
            gate,
            up,
            down,
            query_norm: norm("attn_q_norm", config.head_width)?,
            key_norm: norm("attn_k_norm", config.head_width)?,
            attention_norm: norm("attn_norm", hidden)?,
            attention_norm_after: norm("post_attention_norm", hidden)?,
            feed_forward_norm: norm("ffn_norm", hidden)?,
            feed_forward_norm_after: norm("post_ffw_norm", hidden)?,
        })
    }

    fn matrices(&self) -> [&Matrix; 7] {
        let attention = [&self.query, &self.key, &self.value, &self.output];
        let [query, key, value, output] = attention;
        [query, key, value, output, &self.gate, &self.up, &self.down]
    }
}

/// In f64 until the end: the angles of late positions amplify every rounding of a frequency.
#[expect(
    clippy::cast_possible_truncation,
    reason = "angles are f32 in the original too"
)]
fn frequencies(theta: f64, factor: f64, config: &Config) -> Vec<f32> {
    let width = u32::try_from(config.head_width).unwrap_or(u32::MAX);
    let exponent = |pair: u32| f64::from(2 * pair) * (-theta.ln() / f64::from(width));
    (0..width / 2)
        .map(|pair| (exponent(pair).exp() / factor) as f32)
        .collect()
}
