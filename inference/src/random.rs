//! Models with random weights: the true shapes without the files, for tests and for measuring.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};

use crate::error::{Error, Result};
use crate::splitmix::SplitMix64;
use crate::tokenizer::{END_OF_TURN, START_OF_TURN};

/// The sizes of a model to make up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// What to call it.
    pub name: &'static str,
    /// Layers; every sixth sees everything.
    pub layers: u32,
    /// Width of the residual stream; a multiple of 32, as all widths, for the sake of `Q8_0`.
    pub hidden: u32,
    /// Heads that ask.
    pub heads: u32,
    /// Heads that answer.
    pub kv_heads: u32,
    /// Width of one head.
    pub head_width: u32,
    /// Width of the feed-forward layers.
    pub feed_forward: u32,
    /// Positions that a windowed layer sees.
    pub window: u32,
    /// Positions in all.
    pub context: u32,
    /// Tokens; at least 400.
    pub vocabulary: u32,
}

impl Shape {
    /// Small enough for a test to make it anew.
    pub const TINY: Self = Self {
        name: "tiny",
        layers: 6,
        hidden: 64,
        heads: 4,
        kv_heads: 2,
        head_width: 16,
        feed_forward: 128,
        window: 48,
        context: 2048,
        vocabulary: 600,
    };
    /// Gemma 3 270M.
    pub const GEMMA_270M: Self = Self {
        name: "270M",
        layers: 18,
        hidden: 640,
        heads: 4,
        kv_heads: 1,
        head_width: 256,
        feed_forward: 2048,
        window: 512,
        context: 32_768,
        vocabulary: 262_144,
    };
    /// Gemma 3 1B.
    pub const GEMMA_1B: Self = Self {
        name: "1B",
        layers: 26,
        hidden: 1152,
        feed_forward: 6912,
        ..Self::GEMMA_270M
    };

    fn metadata(&self) -> Vec<(String, Value)> {
        let sizes = [
            ("block_count", self.layers),
            ("embedding_length", self.hidden),
            ("attention.head_count", self.heads),
            ("attention.head_count_kv", self.kv_heads),
            ("attention.key_length", self.head_width),
            ("attention.value_length", self.head_width),
            ("feed_forward_length", self.feed_forward),
            ("attention.sliding_window", self.window),
            ("context_length", self.context),
        ];
        let text = |key: &str, text: &str| (key.to_owned(), Value::String(text.to_owned()));
        let mut metadata = vec![
            text("general.architecture", "gemma3"),
            text("general.name", &format!("random-{}", self.name)),
            (
                "gemma3.attention.layer_norm_rms_epsilon".into(),
                Value::F32(1e-6),
            ),
            ("gemma3.rope.freq_base".into(), Value::F32(1e6)),
        ];
        metadata.extend(sizes.map(|(key, size)| (format!("gemma3.{key}"), Value::U32(size))));
        metadata.extend(vocabulary(self.vocabulary));
        metadata
    }

    /// Names and shapes of the matrices, `(rows, columns)`.
    fn matrices(&self) -> Vec<(String, u32, u32)> {
        let (queries, keys) = (
            self.heads * self.head_width,
            self.kv_heads * self.head_width,
        );
        let parts = [
            ("attn_q", queries, self.hidden),
            ("attn_k", keys, self.hidden),
            ("attn_v", keys, self.hidden),
            ("attn_output", self.hidden, queries),
            ("ffn_gate", self.feed_forward, self.hidden),
            ("ffn_up", self.feed_forward, self.hidden),
            ("ffn_down", self.hidden, self.feed_forward),
        ];
        let layer = |index| {
            let name = move |part| format!("blk.{index}.{part}.weight");
            parts.map(|(part, rows, columns)| (name(part), rows, columns))
        };
        let embedding = ("token_embd.weight".to_owned(), self.vocabulary, self.hidden);
        std::iter::once(embedding)
            .chain((0..self.layers).flat_map(layer))
            .collect()
    }

    fn norms(&self) -> Vec<(String, u32)> {
        let parts = [
            ("attn_norm", self.hidden),
            ("post_attention_norm", self.hidden),
            ("ffn_norm", self.hidden),
            ("post_ffw_norm", self.hidden),
            ("attn_q_norm", self.head_width),
            ("attn_k_norm", self.head_width),
        ];
        let layer =
            |index| parts.map(|(part, width)| (format!("blk.{index}.{part}.weight"), width));
        let last = ("output_norm.weight".to_owned(), self.hidden);
        std::iter::once(last)
            .chain((0..self.layers).flat_map(layer))
            .collect()
    }
}

/// Writes a GGUF of this shape with its matrices stored as `kind`; equal seeds, equal bytes.
///
/// The matrix of the vocabulary has 8 bits at least, as published files have it.
/// Needs about the memory of the file, and four times that of its largest matrix.
pub fn write_gguf(path: &Path, shape: &Shape, kind: GgmlDType, seed: u64) -> Result<()> {
    let mut random = SplitMix64(seed);
    let mut tensors = Vec::new();
    for (name, rows, columns) in shape.matrices() {
        let reach = 1.7 / f64::from(columns).sqrt();
        let tensor = uniform(&mut random, &[rows, columns], 0.0, reach)?;
        let kind = match kind {
            GgmlDType::Q4_0 if rows == shape.vocabulary => GgmlDType::Q8_0,
            kind => kind,
        };
        tensors.push((name, QTensor::quantize(&tensor, kind)?));
    }
    for (name, width) in shape.norms() {
        let tensor = uniform(&mut random, &[width], 1.0, 0.2)?;
        tensors.push((name, QTensor::quantize(&tensor, GgmlDType::F32)?));
    }
    let metadata = shape.metadata();
    let metadata: Vec<_> = metadata
        .iter()
        .map(|(key, value)| (key.as_str(), value))
        .collect();
    let tensors: Vec<_> = tensors
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor))
        .collect();
    let unwritable = |error: std::io::Error| {
        Error::unavailable(
            format!("{}: {error}", path.display()),
            "check that it can be written",
        )
    };
    let mut file = BufWriter::new(File::create(path).map_err(unwritable)?);
    gguf_file::write(&mut file, &metadata, &tensors)?;
    file.into_inner()
        .map_err(|error| unwritable(error.into_error()))?;
    Ok(())
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "random weights need no more than f32"
)]
fn uniform(random: &mut SplitMix64, shape: &[u32], middle: f64, reach: f64) -> Result<Tensor> {
    let shape: Vec<usize> = shape.iter().map(|size| *size as usize).collect();
    let number = |_| (middle + (2.0 * random.unit() - 1.0) * reach) as f32;
    let numbers: Vec<f32> = (0..shape.iter().product()).map(number).collect();
    Ok(Tensor::from_vec(numbers, shape, &Device::Cpu)?)
}

/// The `tokenizer.ggml.*` keys of a made-up vocabulary in Gemma's layout: control tokens, bytes,
/// ASCII, the marks of JSON joined in the ways that make a grammar stumble, then words.
pub(crate) fn vocabulary(size: u32) -> Vec<(String, Value)> {
    let controls = [
        "<pad>",
        "<eos>",
        "<bos>",
        "<unk>",
        START_OF_TURN,
        END_OF_TURN,
    ];
    let bytes = (0..=255u8).map(|byte| format!("<0x{byte:02X}>"));
    let letters = ('!'..='~').chain(['▁', '\n']).map(String::from);
    let joined = [
        "\":", "\":\"", "\",", "\",\"", "{\"", "\"}", "]}", "▁a", "é",
    ]
    .map(String::from);
    let with_kind = |kind| move |text| (text, kind);
    let entries = controls.map(String::from).into_iter().map(with_kind(3));
    let entries = entries.chain(bytes.map(with_kind(6)));
    let words = letters.chain(joined).chain((26u32..).map(word));
    let entries: Vec<_> = entries
        .chain(words.map(with_kind(1)))
        .take(size as usize)
        .collect();
    let number = |value: u32| Value::F32(-f32::from(u16::try_from(value >> 4).unwrap_or(u16::MAX)));
    let list = |values| Value::Array(values);
    let key = |key: &str, value| (format!("tokenizer.ggml.{key}"), value);
    vec![
        key("model", Value::String("llama".into())),
        key(
            "tokens",
            list(
                entries
                    .iter()
                    .map(|(text, _)| Value::String(text.clone()))
                    .collect(),
            ),
        ),
        key("scores", list((0..size).map(number).collect())),
        key(
            "token_type",
            list(entries.iter().map(|(_, kind)| Value::I32(*kind)).collect()),
        ),
        key("bos_token_id", Value::U32(2)),
        key("eos_token_id", Value::U32(1)),
        key("unknown_token_id", Value::U32(3)),
    ]
}

/// `a` to `z`, `aa` to `zz` and so on; every beginning of a word is a word itself.
fn word(number: u32) -> String {
    let mut letters = Vec::new();
    let mut left = number + 1;
    while left > 0 {
        left -= 1;
        let letter = u8::try_from(left % 26).unwrap_or_default();
        letters.push(char::from(b'a' + letter));
        left /= 26;
    }
    letters.iter().rev().collect()
}
