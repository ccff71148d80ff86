//! What is inside a course: the documents that its JSON columns hold.
//!
//! They are read by the release before and the one after, so fields are only ever added, each with a
//! default, and unknown ones are ignored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::words;

/// The text of a lesson.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Content {
    /// What the lesson is about, in a few sentences.
    pub summary: String,
    /// The body, in order.
    pub sections: Vec<Section>,
    /// What to remember.
    pub key_points: Vec<String>,
    /// What learners often believe, and what is true instead.
    pub misconception: Misconception,
    /// Something to do.
    pub exercise: Exercise,
}

/// A part of a lesson's body.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// Its heading, plain text.
    pub heading: String,
    /// Its text, plain paragraphs separated by line breaks.
    pub text: String,
}

/// A common mistake.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Misconception {
    /// What is often believed.
    pub claim: String,
    /// What is true.
    pub truth: String,
}

/// Something for the learner to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Exercise {
    /// What to do.
    pub task: String,
    /// How it is done.
    pub solution: String,
}

/// The questions after a lesson.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quiz {
    /// Share of right answers that passes, in percent.
    pub passing_grade: u8,
    /// The questions, in order.
    pub items: Vec<Item>,
}

/// One question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// How it is answered.
    pub kind: ItemKind,
    /// The question.
    pub stem: String,
    /// The answers to choose from.
    pub options: Vec<Choice>,
    /// Why the right answer is right.
    pub explanation: String,
    /// Which objective of the lesson it tests: an index from 0.
    pub objective: usize,
}

words! {
    /// How a question is answered.
    ItemKind {
        /// Exactly one option is right.
        Single = "single",
    }
}

/// One answer to choose.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The answer.
    pub text: String,
    /// Whether it is right. Never shown to learners.
    pub correct: bool,
}

/// Who wrote something, and from what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The kind of writer, such as `gemma`.
    pub generator: String,
    /// The name of the model.
    pub model_id: String,
    /// SHA-256 of its weights, hexadecimal.
    pub model_sha256: String,
    /// The name of the prompt.
    pub prompt_id: String,
    /// SHA-256 of its text, hexadecimal.
    pub prompt_sha256: String,
    /// The seed of the sampler, below 2^53.
    pub seed: u64,
    /// How tokens were sampled, in the order of the names, whichever database stored them.
    pub params: BTreeMap<String, Value>,
    /// Tokens read.
    pub tokens_in: u64,
    /// Tokens written.
    pub tokens_out: u64,
}

/// Something that a quality gate found in a lesson.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flag {
    /// The gate, such as `unfinished_sentence`.
    pub gate: String,
    /// What it found, for a person to read.
    pub detail: String,
}

/// The report of the quality gates over a whole course.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quality {
    /// One entry a gate, in the order they ran.
    pub gates: Vec<GateReport>,
    /// Whether every gate passed.
    pub passed: bool,
}

/// What one quality gate said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateReport {
    /// The gate.
    pub gate: String,
    /// Whether it passed.
    pub passed: bool,
    /// What it counted or found, for a person to read.
    pub detail: String,
}
