//! What a worker needs to know: its model, and how much to do at once. The environment comes first.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum, builder::RangedU64ValueParser};
use inference::{Compute, EngineConfig, FetchOptions};
use platform::config::Secret;

use crate::{ModelConfig, Place};

/// How much to do at once.
#[derive(Clone, Copy, Debug, Args)]
pub struct ConcurrencyArgs {
    /// How many tasks of a queue run at the same time; lessons are counted by `--places`.
    #[arg(
        long,
        help_heading = "Worker",
        value_name = "NUMBER",
        env = "LYO_CONCURRENCY",
        default_value_t = 2,
        value_parser = clap::value_parser!(u16).range(1..=64)
    )]
    pub concurrency: u16,
}

/// Which model writes when the chosen one cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fallback {
    /// The small model that comes with lyo; the course then says so.
    Starter,
}

/// Which model writes, and where it comes from.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// `starter`, `path:FILE_OR_FOLDER`, `hf:OWNER/NAME[/FILE][@REVISION]`, or a GGUF file of a bucket:
    /// `s3://BUCKET/FILE#sha256=DIGEST` or `gs://BUCKET/FILE#sha256=DIGEST`.
    #[arg(
        long,
        value_name = "MODEL",
        env = "LYO_MODEL",
        default_value = "starter"
    )]
    pub model: Place,

    /// What to use when the model cannot be had [default: nothing, the work waits and tries again]
    #[arg(long, value_enum, env = "LYO_MODEL_FALLBACK")]
    pub model_fallback: Option<Fallback>,

    /// Where downloaded models are kept [default: `models` in the data folder]
    #[arg(long, value_name = "FOLDER", env = "LYO_MODEL_CACHE")]
    pub model_cache: Option<PathBuf>,

    /// Use only what was downloaded before.
    #[arg(long, env = "LYO_OFFLINE")]
    pub offline: bool,

    /// The Hugging Face token, for models that ask for one.
    #[arg(long, value_name = "TOKEN", env = "HF_TOKEN", hide_env_values = true)]
    pub hf_token: Option<Secret>,

    /// The Hugging Face hub or a mirror of it [default: <https://huggingface.co>]
    #[arg(long, value_name = "URL", env = "HF_ENDPOINT")]
    pub hf_endpoint: Option<String>,

    /// Where to compute: `cpu`, or `cuda` when built with that feature.
    #[arg(long, env = "LYO_DEVICE", default_value = "cpu")]
    pub device: Compute,

    /// Threads that compute [default: one a core]
    #[arg(long, value_name = "NUMBER", env = "LYO_THREADS")]
    pub threads: Option<usize>,

    /// Lessons that are written at the same time, 1 to 32; a worker takes as many.
    #[arg(
        long,
        value_name = "NUMBER",
        env = "LYO_PLACES",
        default_value_t = inference::PLACES_DEFAULT,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=inference::PLACES_MAX as u64)
    )]
    pub places: usize,
}

impl ModelArgs {
    /// How to have the model, with downloads in the given data folder.
    pub fn config(&self, data: &Path) -> ModelConfig {
        ModelConfig {
            source: self.model.clone(),
            fallback: self.model_fallback == Some(Fallback::Starter),
            fetch: self.fetch(data),
            engine: self.engine(),
        }
    }

    /// How to fetch the model.
    pub fn fetch(&self, data: &Path) -> FetchOptions {
        let cache = self
            .model_cache
            .clone()
            .unwrap_or_else(|| data.join("models"));
        FetchOptions {
            token: self
                .hf_token
                .as_ref()
                .map(|token| token.expose().to_owned()),
            endpoint: self.hf_endpoint.clone(),
            offline: self.offline,
            ..FetchOptions::new(cache)
        }
    }

    /// How to run the model.
    pub fn engine(&self) -> EngineConfig {
        EngineConfig {
            threads: self.threads,
            device: self.device,
            places: self.places,
            ..EngineConfig::default()
        }
    }
}
