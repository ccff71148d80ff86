//! One lesson as the model writes it: its form, its schema, and the content it becomes.

use models::content::{Content, Exercise, Misconception, Section};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    limits::Limits,
    schema::{list, object, text},
    text::tidy,
};

/// Sections of a lesson, and its key points: what the prompt asks for.
const SECTIONS: usize = 3;
const KEY_POINTS: usize = 3;

/// The answer to the lesson prompt. The order of the fields is the order in which they are written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LessonDraft {
    pub(crate) summary: String,
    pub(crate) sections: Vec<SectionDraft>,
    pub(crate) key_points: Vec<String>,
    pub(crate) misconception: MisconceptionDraft,
    pub(crate) exercise: ExerciseDraft,
}

/// One section of a lesson.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SectionDraft {
    pub(crate) heading: String,
    pub(crate) text: String,
}

/// What people often believe, and what is true.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MisconceptionDraft {
    pub(crate) claim: String,
    pub(crate) truth: String,
}

/// Something to do, and how it is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ExerciseDraft {
    pub(crate) task: String,
    pub(crate) solution: String,
}

/// The JSON schema of [`LessonDraft`], with counts and lengths that the decoder enforces.
pub(crate) fn schema(limits: &Limits) -> Value {
    let section = object([
        ("heading", text(&limits.title)),
        ("text", text(&limits.section)),
    ]);
    object([
        ("summary", text(&limits.summary)),
        ("sections", list(&section, SECTIONS)),
        ("key_points", list(&text(&limits.key_point), KEY_POINTS)),
        (
            "misconception",
            object([
                ("claim", text(&limits.claim)),
                ("truth", text(&limits.claim)),
            ]),
        ),
        (
            "exercise",
            object([
                ("task", text(&limits.task)),
                ("solution", text(&limits.task)),
            ]),
        ),
    ])
}

impl LessonDraft {
    /// The content of the lesson, with every text tidied.
    pub(crate) fn into_content(self) -> Content {
        let section = |section: SectionDraft| Section {
            heading: tidy(&section.heading),
            text: tidy(&section.text),
        };
        Content {
            summary: tidy(&self.summary),
            sections: self.sections.into_iter().map(section).collect(),
            key_points: self.key_points.iter().map(|point| tidy(point)).collect(),
            misconception: Misconception {
                claim: tidy(&self.misconception.claim),
                truth: tidy(&self.misconception.truth),
            },
            exercise: Exercise {
                task: tidy(&self.exercise.task),
                solution: tidy(&self.exercise.solution),
            },
        }
    }
}

/// What a lesson teaches, as one running text: what its quiz is made from and what is compared with
/// other lessons.
pub(crate) fn running_text(content: &Content) -> String {
    let sections = content.sections.iter().map(|section| section.text.as_str());
    let points = content.key_points.iter().map(String::as_str);
    let parts = std::iter::once(content.summary.as_str())
        .chain(sections)
        .chain(points);
    parts.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// A lesson that passes every gate, about `topic`.
    pub(crate) fn good(topic: &str) -> LessonDraft {
        let section = |heading: &str, text: String| SectionDraft {
            heading: heading.to_owned(),
            text,
        };
        LessonDraft {
            summary: format!("You learn what {topic} is and where it helps."),
            sections: vec![
                section(
                    "First look",
                    format!("Look at {topic} closely. Note two things you see."),
                ),
                section(
                    "How it works",
                    "Each part has a job, and the parts depend on order.".to_owned(),
                ),
                section(
                    "Using it",
                    format!("Try {topic} in a small case and compare the outcome."),
                ),
            ],
            key_points: vec![
                format!("{topic} has parts that work together."),
                "Order matters more than speed.".to_owned(),
                "A small trial shows a mistake early.".to_owned(),
            ],
            misconception: MisconceptionDraft {
                claim: format!("Only experts can use {topic}."),
                truth: "Anybody can begin with a small case.".to_owned(),
            },
            exercise: ExerciseDraft {
                task: format!("Explain {topic} to a friend in three sentences."),
                solution: "Name the parts, give their order, and add one example.".to_owned(),
            },
        }
    }

    #[test]
    fn the_schema_is_written_in_the_order_of_the_draft() {
        let schema = schema(&Limits::of(1_024));
        let draft = serde_json::to_value(good("tides")).expect("a draft is JSON");

        let keys = |value: &Value| -> Vec<String> {
            value
                .as_object()
                .expect("an object")
                .keys()
                .cloned()
                .collect()
        };
        assert_eq!(keys(&schema["properties"]), keys(&draft));
        assert_eq!(schema["required"], json!(keys(&draft)));
        assert_eq!(
            schema["properties"]["sections"]["minItems"],
            json!(SECTIONS)
        );
    }

    #[test]
    fn content_is_tidied() {
        let mut draft = good("tides");
        draft.summary = " Tides\u{0} rise.\n".to_owned();

        assert_eq!(draft.into_content().summary, "Tides rise.");
    }
}
