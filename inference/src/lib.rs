//! Gemma 3 on candle: a model is a function from a prompt to tokens.
//!
//! [`Weights::fetch`] finds the files, [`Engine::start`] loads them on a thread of their own, and
//! [`Engine::generate`] turns a [`Request`] into text, held to a JSON schema if there is one.

mod attention;
mod checkpoint;
mod config;
mod error;
mod gemma;
mod shards;

pub use checkpoint::Checkpoint;
pub use config::Config;
pub use error::{Error, Result};
pub use gemma::{Cache, Gemma};
