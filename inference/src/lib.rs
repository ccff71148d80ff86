//! Gemma 3 on candle: a model is a function from a prompt to tokens.
//!
//! [`Weights::fetch`] finds the files, [`Engine::start`] loads them for threads of their own, and
//! [`Engine::generate`] turns a [`Request`] into text, held to a JSON schema if there is one.

mod attention;
mod batch;
pub mod bench;
mod chat;
mod checkpoint;
mod config;
pub mod cpu;
mod device;
mod engine;
mod error;
mod gemma;
mod gpu;
mod grammar;
mod hub;
mod hub_api;

mod kernels;
mod lanes;
mod manifest;
mod matrix;
mod network;
mod queue;
pub mod random;
mod request;
mod rotation;
mod sampler;
mod shards;
mod source;
mod splitmix;
mod tokenizer;
mod vocabulary;
mod watch;
mod weights;
mod writer;

pub use checkpoint::Checkpoint;
pub use config::Config;
pub use device::Compute;
pub use engine::{Engine, EngineConfig, PLACES_DEFAULT, PLACES_MAX, WAITING_MAX};
pub use error::{Error, Result};
pub use gemma::{Cache, Gemma};
pub use request::{Finish, Generation, ModelInfo, Request};
pub use sampler::Sampling;
pub use source::{FetchOptions, Progress, Source};
pub use tokenizer::Tokenizer;
pub use weights::Weights;
