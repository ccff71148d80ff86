//! The schemas of what `models` keeps inside a course. They describe its types to clients; a test
//! holds the two together.

#![expect(dead_code, reason = "only the schemas of these types are used")]

use std::{borrow::Cow, collections::BTreeMap};

use models::export;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::Value;

/// Where a course is.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CourseStatus {
    /// A worker is writing it.
    Writing,
    /// It is written; its author can look at it.
    Draft,
    /// Somebody checks it.
    InReview,
    /// Learners can see it.
    Published,
    /// It is kept, and no longer offered.
    Archived,
    /// It could not be written.
    Failed,
}

/// Where a lesson is.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LessonStatus {
    /// It is planned.
    Pending,
    /// A worker is writing it.
    Generating,
    /// It is written.
    Ready,
    /// It is written, and a quality gate found something.
    NeedsReview,
    /// It could not be written.
    Failed,
}

/// What the author asked for, with the defaults filled in.
#[derive(JsonSchema)]
pub(crate) struct CourseBrief {
    /// What the course is about.
    topic: String,
    /// Who it is for.
    audience: String,
    /// How much they know already: `beginner`, `intermediate` or `advanced`.
    level: String,
    /// The language that it is written in.
    language: String,
    /// How many lessons it has.
    lessons: u8,
    /// What learners can do afterwards.
    objectives: Vec<String>,
    /// Anything else that the writer should know.
    notes: String,
    /// The seed, if the author chose one.
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
}

/// The text of a lesson.
#[derive(JsonSchema)]
pub(crate) struct Content {
    /// What it is about.
    summary: String,
    /// The text.
    sections: Vec<Section>,
    /// What to remember.
    key_points: Vec<String>,
    /// What people get wrong.
    misconception: Misconception,
    /// Something to do.
    exercise: Exercise,
}

/// A part of the text.
#[derive(JsonSchema)]
struct Section {
    /// Its heading.
    heading: String,
    /// Its paragraphs.
    text: String,
}

/// What people get wrong.
#[derive(JsonSchema)]
struct Misconception {
    /// What they believe.
    claim: String,
    /// What is true.
    truth: String,
}

/// Something to do.
#[derive(JsonSchema)]
struct Exercise {
    /// What to do.
    task: String,
    /// How it is done.
    solution: String,
}

/// The questions of a lesson.
#[derive(JsonSchema)]
pub(crate) struct Quiz {
    /// How many percent of the answers must be right.
    passing_grade: u8,
    /// The questions.
    items: Vec<Question>,
}

/// A question.
#[derive(JsonSchema)]
struct Question {
    /// `single`: one option is right. More kinds may come.
    kind: String,
    /// What is asked.
    stem: String,
    /// What can be answered.
    options: Vec<Choice>,
    /// Why the right option is right.
    explanation: String,
    /// Which objective of the lesson it tests, from 0.
    objective: usize,
}

/// A possible answer.
#[derive(JsonSchema)]
struct Choice {
    /// The answer.
    text: String,
    /// Whether it is right.
    correct: bool,
}

/// Who wrote it, and from what.
#[derive(JsonSchema)]
pub(crate) struct Provenance {
    /// The kind of writer, such as `gemma`.
    generator: String,
    /// The name of the model.
    model_id: String,
    /// The SHA-256 of its weights.
    model_sha256: String,
    /// The name of the prompt.
    prompt_id: String,
    /// The SHA-256 of its text.
    prompt_sha256: String,
    /// The seed of the sampler.
    seed: u64,
    /// How tokens were sampled.
    params: BTreeMap<String, Value>,
    /// Tokens read.
    tokens_in: u64,
    /// Tokens written.
    tokens_out: u64,
}

/// What a quality gate found in a lesson.
#[derive(JsonSchema)]
pub(crate) struct Flag {
    /// The name of the gate.
    gate: String,
    /// What it found.
    detail: String,
}

/// What the quality gates found in a course.
#[derive(JsonSchema)]
pub(crate) struct Quality {
    /// What each gate found.
    gates: Vec<GateReport>,
    /// Whether all were passed.
    passed: bool,
}

/// What one quality gate found.
#[derive(JsonSchema)]
struct GateReport {
    /// The name of the gate.
    gate: String,
    /// Whether it was passed.
    passed: bool,
    /// What it found.
    detail: String,
}

/// A finished course as one document.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Document(pub export::Document);

impl JsonSchema for Document {
    fn schema_name() -> Cow<'static, str> {
        "CourseDocument".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": "object",
            "description": "A finished course as one document. Its ids are local to it.",
            "required": ["title", "modules"],
        })
    }
}

#[cfg(test)]
mod tests {
    use models::{content, courses, lessons};

    use super::*;
    use crate::json::agreement::{members, words};

    #[test]
    fn schemas_have_the_members_of_the_types_they_describe() -> serde_json::Result<()> {
        let brief = courses::Brief {
            seed: Some(1),
            ..courses::Brief::new("Tides")
        };
        let item = content::Item {
            kind: content::ItemKind::Single,
            stem: String::new(),
            options: Vec::new(),
            explanation: String::new(),
            objective: 0,
        };
        members::<CourseBrief>(&brief)?;
        members::<Question>(&item)?;
        members::<Content>(&content::Content::default())?;
        members::<Section>(&content::Section::default())?;
        members::<Misconception>(&content::Misconception::default())?;
        members::<Exercise>(&content::Exercise::default())?;
        members::<Quiz>(&content::Quiz::default())?;
        members::<Choice>(&content::Choice::default())?;
        members::<Provenance>(&content::Provenance::default())?;
        members::<Flag>(&content::Flag::default())?;
        members::<Quality>(&content::Quality::default())?;
        members::<GateReport>(&content::GateReport::default())
    }

    #[test]
    fn schemas_have_the_words_of_the_types_they_describe() {
        let statuses = courses::Status::ALL.iter().map(|status| status.as_str());
        words::<CourseStatus>(&statuses.collect::<Vec<_>>());
        let statuses = lessons::Status::ALL.iter().map(|status| status.as_str());
        words::<LessonStatus>(&statuses.collect::<Vec<_>>());
    }
}
