//! What goes into an engine and what comes out.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::sampler::Sampling;

/// What is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// Where it came from, as a person would name it.
    pub id: String,
    /// SHA-256 of the weights in hexadecimal.
    pub sha256: String,
    /// Positions that prompt and answer can use together.
    pub context: usize,
    /// Number of weights.
    pub parameters: u64,
    /// Number of tokens.
    pub vocabulary: usize,
    /// How most weights are stored, such as `q8_0`.
    pub quantisation: String,
}

/// Something to be answered.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// What the user says, without any template.
    pub prompt: String,
    /// The answer is a JSON document of this schema: compact, properties in the schema's order.
    pub schema: Option<serde_json::Value>,
    /// How tokens are picked.
    pub sampling: Sampling,
    /// The answer is cut off after so many tokens.
    pub tokens_max: usize,
    /// Goes before others that wait, and is hardly delayed by their prompts: somebody looks on.
    pub urgent: bool,
    /// Ends the work between two tokens.
    pub cancel: CancellationToken,
    /// Gets the text piece by piece; a piece is dropped when the channel is full.
    pub on_token: Option<mpsc::Sender<String>>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// The text of the answer.
    pub text: String,
    /// Tokens of the prompt, its template included.
    pub tokens_in: usize,
    /// Tokens of the answer.
    pub tokens_out: usize,
    /// Why it ended.
    pub finish: Finish,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The model, or the grammar, was done.
    Stop,
    /// `tokens_max` was reached: the text may stop anywhere, also inside of a document.
    Length,
}
