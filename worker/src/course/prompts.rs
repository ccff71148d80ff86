//! The prompts: Markdown files that are compiled in, filled with what the course is about.
//!
//! A prompt is named in the provenance of what it produced, by file and by digest of its text.

use std::{fmt::Write as _, sync::LazyLock};

use minijinja::{Environment, UndefinedBehavior, Value, value::Serde};
use models::courses::Brief;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// One prompt file.
#[derive(Debug)]
pub(crate) struct Prompt {
    /// The file it comes from, under `worker/prompts`.
    pub(crate) id: &'static str,
    source: &'static str,
}

pub(crate) static OUTLINE: Prompt = Prompt {
    id: "outline.md",
    source: include_str!("../../prompts/outline.md"),
};
pub(crate) static LESSON: Prompt = Prompt {
    id: "lesson.md",
    source: include_str!("../../prompts/lesson.md"),
};
pub(crate) static QUIZ: Prompt = Prompt {
    id: "quiz.md",
    source: include_str!("../../prompts/quiz.md"),
};

/// What every prompt is told about the course.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Setting<'a> {
    pub(crate) topic: &'a str,
    pub(crate) audience: &'a str,
    pub(crate) level: &'a str,
    pub(crate) language: &'a str,
}

/// What the outline prompt is told.
#[derive(Debug, Serialize)]
pub(crate) struct OutlineVariables<'a> {
    #[serde(flatten)]
    pub(crate) setting: Setting<'a>,
    pub(crate) lessons: usize,
    pub(crate) objectives: &'a [String],
    pub(crate) notes: &'a str,
}

/// What the lesson prompt is told.
#[derive(Debug, Serialize)]
pub(crate) struct LessonVariables<'a> {
    #[serde(flatten)]
    pub(crate) setting: Setting<'a>,
    pub(crate) notes: &'a str,
    pub(crate) course: &'a str,
    pub(crate) lesson: &'a str,
    pub(crate) objective: &'a str,
    pub(crate) number: usize,
    pub(crate) total: usize,
}

/// What the quiz prompt is told.
#[derive(Debug, Serialize)]
pub(crate) struct QuizVariables<'a> {
    #[serde(flatten)]
    pub(crate) setting: Setting<'a>,
    pub(crate) lesson: &'a str,
    pub(crate) objective: &'a str,
    pub(crate) text: &'a str,
}

impl<'a> Setting<'a> {
    /// The setting that an author asked for.
    pub(crate) fn of(brief: &'a Brief) -> Self {
        Self {
            topic: &brief.topic,
            audience: &brief.audience,
            level: brief.level.as_str(),
            language: &brief.language,
        }
    }
}

impl Prompt {
    /// The digest of the file, hexadecimal SHA-256.
    pub(crate) fn sha256(&self) -> String {
        hex(&Sha256::digest(self.source.as_bytes()))
    }

    /// The prompt with the variables filled in; space at both ends is taken off, as in training.
    pub(crate) fn render(&self, variables: &impl Serialize) -> anyhow::Result<String> {
        static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
            let mut environment = Environment::new();
            // A variable that is not there is a fault of ours, not an empty line.
            environment.set_undefined_behavior(UndefinedBehavior::Strict);
            environment
        });
        let variables = Value::from(Serde(variables));
        let text = ENVIRONMENT.render_named_str(self.id, self.source, variables)?;
        Ok(text.trim().to_owned())
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTING: Setting<'static> = Setting {
        topic: "Tide pools <&> \"more\"",
        audience: "curious beginners",
        level: "beginner",
        language: "English",
    };

    #[test]
    fn the_outline_prompt_reads_as_in_training() {
        let mut variables = OutlineVariables {
            setting: SETTING,
            lessons: 6,
            objectives: &[],
            notes: "",
        };
        insta::assert_snapshot!(OUTLINE.render(&variables).expect("every variable is given"));

        let objectives = [
            "Name three animals".to_owned(),
            "Read a tide table".to_owned(),
        ];
        variables.objectives = &objectives;
        variables.notes = "Use examples from sailing.";
        insta::assert_snapshot!(OUTLINE.render(&variables).expect("every variable is given"));
    }

    #[test]
    fn the_lesson_prompt_reads_as_in_training() {
        let variables = LessonVariables {
            setting: SETTING,
            notes: "Mention the safety rules.",
            course: "Tide pools step by step",
            lesson: "What tide pools are",
            objective: "Explain what a tide pool is",
            number: 1,
            total: 6,
        };
        insta::assert_snapshot!(LESSON.render(&variables).expect("every variable is given"));
    }

    #[test]
    fn the_quiz_prompt_reads_as_in_training() {
        let variables = QuizVariables {
            setting: SETTING,
            lesson: "What tide pools are",
            objective: "Explain what a tide pool is",
            text: "A tide pool is water that the sea leaves behind.",
        };
        insta::assert_snapshot!(QUIZ.render(&variables).expect("every variable is given"));
    }

    #[test]
    fn a_missing_variable_is_an_error() {
        assert!(QUIZ.render(&SETTING).is_err());
    }

    #[test]
    fn a_digest_is_64_hexadecimal_digits() {
        assert_eq!(LESSON.sha256().len(), 64);
        assert_ne!(LESSON.sha256(), QUIZ.sha256());
    }
}
