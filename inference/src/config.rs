//! The shape of a Gemma 3, read from GGUF metadata or from `config.json`.
//!
//! Every published text size is a set of these numbers; the code has no sizes of its own.

use std::collections::HashMap;

use candle_core::quantized::gguf_file::Value;
use serde_json::Value as Json;

use crate::error::{Error, Result};

/// Every `PATTERN_DEFAULT`th layer sees everything; the others see a window.
const PATTERN_DEFAULT: usize = 6;
const THETA_GLOBAL_DEFAULT: f64 = 1e6;
const THETA_LOCAL_DEFAULT: f64 = 1e4;
/// The only Gemma 3 with 62 layers is 27B, which scales queries by the width of a head's share of
/// the embedding; GGUF has no key for it, so llama.cpp tells it by the number of layers as well.
const LAYERS_OF_27B: usize = 62;

/// The numbers that make one Gemma 3 differ from another.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Width of the residual stream.
    pub hidden: usize,
    /// Heads that ask.
    pub heads: usize,
    /// Heads that answer; divides `heads`.
    pub kv_heads: usize,
    /// Width of one head; even.
    pub head_width: usize,
    /// Width of the feed-forward layers.
    pub feed_forward: usize,
    /// Positions the model was trained for.
    pub context: usize,
    /// Positions that a windowed layer sees, its own included.
    pub window: usize,
    /// For every layer: does it see a window only?
    pub windowed: Vec<bool>,
    /// Added to the mean square before its root is taken.
    pub epsilon: f64,
    /// What queries are multiplied with before they meet keys.
    pub query_scale: f64,
    /// Base of the rotary frequencies of layers that see everything.
    pub theta_global: f64,
    /// Base of the rotary frequencies of windowed layers.
    pub theta_local: f64,
    /// Global positions are divided by this (8 from 4B on, else 1).
    pub rope_factor: f64,
}

impl Config {
    /// Reads the `gemma3.*` keys as llama.cpp writes them.
    pub fn from_gguf(metadata: &HashMap<String, Value>) -> Result<Self> {
        let architecture = metadata
            .get("general.architecture")
            .and_then(|v| v.to_string().ok());
        if architecture.map(String::as_str) != Some("gemma3") {
            let found = architecture.map_or("nothing", String::as_str);
            return Err(Error::corrupt(format!(
                "the architecture is {found}, not gemma3"
            )));
        }
        let keys = Keys(metadata);
        let layers = keys.required("block_count")?;
        let hidden = keys.required("embedding_length")?;
        let heads = keys.required("attention.head_count")?;
        let head_width = keys.whole("attention.key_length").unwrap_or(256);
        let scaled_by = if layers == LAYERS_OF_27B {
            hidden / heads.max(1)
        } else {
            head_width
        };
        let scaling = metadata
            .get("gemma3.rope.scaling.type")
            .and_then(|v| v.to_string().ok());
        let linear = scaling.is_some_and(|kind| kind == "linear");
        Self {
            hidden,
            heads,
            kv_heads: keys.whole("attention.head_count_kv").unwrap_or(heads),
            head_width,
            feed_forward: keys.required("feed_forward_length")?,
            context: keys.required("context_length")?,
            window: keys.required("attention.sliding_window")?,
            windowed: keys.windowed(layers),
            epsilon: keys
                .real("attention.layer_norm_rms_epsilon")
                .unwrap_or(1e-6),
            query_scale: inverse_root(scaled_by),
            theta_global: keys.real("rope.freq_base").unwrap_or(THETA_GLOBAL_DEFAULT),
            theta_local: keys
                .real("rope.freq_base_swa")
                .unwrap_or(THETA_LOCAL_DEFAULT),
            rope_factor: keys
                .real("rope.scaling.factor")
                .filter(|_| linear)
                .unwrap_or(1.0),
        }
        .validated()
    }

    /// Reads `config.json` as transformers 4 and 5 write it, plain or nested under `text_config`.
    ///
    /// What a file leaves out is what transformers assumes: files of 4B and up say very little.
    pub fn from_json(json: &Json) -> Result<Self> {
        let json = json.get("text_config").unwrap_or(json);
        let kind = json["model_type"].as_str().unwrap_or("gemma3_text");
        if !kind.starts_with("gemma3") || kind.starts_with("gemma3n") {
            return Err(Error::corrupt(format!(
                "config.json is of a {kind}, not of a Gemma 3"
            )));
        }
        let whole = |key: &str, default| json[key].as_u64().map_or(default, to_usize);
        let real = |key: &str, default| json[key].as_f64().unwrap_or(default);
        let rope = Rope::from_json(json);
        let layers = whole("num_hidden_layers", 26);
        Self {
            hidden: whole("hidden_size", 2304),
            heads: whole("num_attention_heads", 8),
            kv_heads: whole("num_key_value_heads", 4),
            head_width: whole("head_dim", 256),
            feed_forward: whole("intermediate_size", 9216),
            context: whole("max_position_embeddings", 131_072),
            window: whole("sliding_window", 4096),
            windowed: windowed_layers(json, layers),
            epsilon: real("rms_norm_eps", 1e-6),
            query_scale: real("query_pre_attn_scalar", 256.0).powf(-0.5),
            theta_global: rope.global,
            theta_local: rope.local,
            rope_factor: rope.factor,
        }
        .validated()
    }

    fn validated(self) -> Result<Self> {
        let sizes = [
            self.hidden,
            self.heads,
            self.kv_heads,
            self.head_width,
            self.feed_forward,
        ];
        let positive = sizes
            .iter()
            .chain([&self.context, &self.window])
            .all(|size| *size > 0);
        if !positive || self.windowed.is_empty() {
            return Err(Error::corrupt("a size in the configuration is zero"));
        }
        if !self.heads.is_multiple_of(self.kv_heads) || !self.head_width.is_multiple_of(2) {
            return Err(Error::corrupt(
                "the heads of the configuration do not divide",
            ));
        }
        Ok(self)
    }
}

/// The `gemma3.*` keys of a GGUF file.
struct Keys<'a>(&'a HashMap<String, Value>);

impl Keys<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(&format!("gemma3.{key}"))
    }

    /// Some writers store one number per layer; Gemma 3 has the same in all of them.
    fn whole(&self, key: &str) -> Option<usize> {
        let value = match self.get(key)? {
            Value::Array(values) => values.first()?,
            value => value,
        };
        let signed = || {
            value
                .to_i32()
                .ok()
                .and_then(|whole| u64::try_from(whole).ok())
        };
        value.to_u64().ok().or_else(signed).map(to_usize)
    }

    fn required(&self, key: &str) -> Result<usize> {
        self.whole(key)
            .ok_or_else(|| Error::corrupt(format!("the key gemma3.{key} is missing")))
    }

    fn real(&self, key: &str) -> Option<f64> {
        let value = self.get(key)?;
        value
            .to_f32()
            .map(f64::from)
            .or_else(|_| value.to_f64())
            .ok()
    }

    fn windowed(&self, layers: usize) -> Vec<bool> {
        match self.get("attention.sliding_window_pattern") {
            Some(Value::Array(flags)) if flags.len() == layers => flags
                .iter()
                .map(|flag| flag.to_bool().unwrap_or(true))
                .collect(),
            _ => every(
                self.whole("attention.sliding_window_pattern")
                    .unwrap_or(PATTERN_DEFAULT),
                layers,
            ),
        }
    }
}

struct Rope {
    global: f64,
    local: f64,
    factor: f64,
}

impl Rope {
    fn from_json(json: &Json) -> Self {
        let (full, sliding, scaling) = match json.get("rope_parameters") {
            Some(by_kind) => {
                let full = &by_kind["full_attention"];
                (
                    &full["rope_theta"],
                    &by_kind["sliding_attention"]["rope_theta"],
                    full,
                )
            }
            None => (
                &json["rope_theta"],
                &json["rope_local_base_freq"],
                &json["rope_scaling"],
            ),
        };
        // The key was `type` before it was `rope_type`.
        let kind = scaling["rope_type"]
            .as_str()
            .or_else(|| scaling["type"].as_str());
        let factor = scaling["factor"]
            .as_f64()
            .filter(|_| kind == Some("linear"));
        Self {
            global: full.as_f64().unwrap_or(THETA_GLOBAL_DEFAULT),
            local: sliding.as_f64().unwrap_or(THETA_LOCAL_DEFAULT),
            factor: factor.unwrap_or(1.0),
        }
    }
}

fn windowed_layers(json: &Json, layers: usize) -> Vec<bool> {
    if let Some(kinds) = json["layer_types"]
        .as_array()
        .filter(|kinds| kinds.len() == layers)
    {
        return kinds
            .iter()
            .map(|kind| kind.as_str() == Some("sliding_attention"))
            .collect();
    }
    let named = ["sliding_window_pattern", "_sliding_window_pattern"];
    let pattern = named.iter().find_map(|key| json[*key].as_u64());
    every(pattern.map_or(PATTERN_DEFAULT, to_usize), layers)
}

fn every(pattern: usize, layers: usize) -> Vec<bool> {
    (1..=layers)
        .map(|layer| pattern == 0 || !layer.is_multiple_of(pattern))
        .collect()
}

fn inverse_root(width: usize) -> f64 {
    let width = u32::try_from(width).unwrap_or(u32::MAX);
    f64::from(width).powf(-0.5)
}

fn to_usize(whole: u64) -> usize {
    usize::try_from(whole).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_files_of_transformers_4_and_5_mean_the_same() {
        let four = json!({"model_type": "gemma3_text", "num_hidden_layers": 4,
            "sliding_window_pattern": 2, "rope_theta": 1e6, "rope_local_base_freq": 1e4,
            "rope_scaling": {"factor": 8.0, "rope_type": "linear"}});
        let five = json!({"text_config": {"model_type": "gemma3_text", "num_hidden_layers": 4,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention",
                "full_attention"],
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}}});

        let (four, five) = (Config::from_json(&four), Config::from_json(&five));

        assert_eq!(four, five);
        let config = four.expect("both are valid");
        assert_eq!(config.windowed, [true, false, true, false]);
        assert!((config.rope_factor - 8.0).abs() < f64::EPSILON);
    }

    #[test]
    fn the_27b_model_scales_queries_by_its_embedding() {
        let whole = |value| Value::U32(value);
        let entries = [
            ("block_count", whole(62)),
            ("embedding_length", whole(5376)),
            ("attention.head_count", whole(32)),
            ("attention.head_count_kv", whole(16)),
            ("attention.key_length", whole(128)),
            ("feed_forward_length", whole(21504)),
            ("context_length", whole(131_072)),
            ("attention.sliding_window", whole(1024)),
        ];
        let mut metadata: HashMap<_, _> = entries
            .into_iter()
            .map(|(key, value)| (format!("gemma3.{key}"), value))
            .collect();
        metadata.insert(
            "general.architecture".into(),
            Value::String("gemma3".into()),
        );

        let config = Config::from_gguf(&metadata).expect("the keys are complete");

        assert!((config.query_scale - 168f64.powf(-0.5)).abs() < 1e-12);
        assert_eq!(
            config
                .windowed
                .iter()
                .filter(|windowed| !**windowed)
                .count(),
            10
        );
    }

    #[test]
    fn another_architecture_is_refused() {
        let metadata = HashMap::from([(
            "general.architecture".to_owned(),
            Value::String("llama".into()),
        )]);

        assert!(matches!(
            Config::from_gguf(&metadata),
            Err(Error::Corrupt { .. })
        ));
    }
}
