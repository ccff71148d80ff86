//! A Gemma 3 on a CPU: many sequences in one step, each as if it were alone.
//!
//! The step is written for the kernels, without a graph in between; `tests/parity.rs` compares its
//! logits with those of transformers. [`crate::Gemma`] is the same model on candle, for GPUs.

#[cfg(test)]
mod agreement;
mod load;
mod pages;
mod pass;
mod prefixes;
mod rough;
mod step;

pub use load::Model;
pub use pages::Sequence;
pub use step::{Logits, Part, Row};
