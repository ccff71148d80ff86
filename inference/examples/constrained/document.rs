//! A document with everything the schemas of a course use, as a schema and as a type.

use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Module {
    title: String,
    level: Level,
    minutes: u8,
    ready: bool,
    lessons: Vec<Lesson>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lesson {
    title: String,
    body: String,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Level {
    Easy,
    Medium,
    Hard,
}

/// What a document has to look like.
pub(crate) fn schema() -> Value {
    let text = |max: u32| json!({"type": "string", "minLength": 1, "maxLength": max});
    let lesson = json!({"type": "object", "additionalProperties": false,
        "required": ["title", "body"], "properties": {"title": text(40), "body": text(120)}});
    json!({"type": "object", "additionalProperties": false,
        "required": ["title", "level", "minutes", "ready", "lessons"],
        "properties": {
            "title": text(60),
            "level": {"enum": ["easy", "medium", "hard"]},
            "minutes": {"type": "integer", "minimum": 1, "maximum": 90},
            "ready": {"type": "boolean"},
            "lessons": {"type": "array", "minItems": 1, "maxItems": 2, "items": lesson}}})
}

/// Does it parse into its type and keep the bounds of the schema?
pub(crate) fn is_valid(text: &str) -> bool {
    let Ok(module) = serde_json::from_str::<Module>(text) else {
        return false;
    };
    let bounded = |text: &str, max| (1..=max).contains(&text.chars().count());
    let lesson = |lesson: &Lesson| bounded(&lesson.title, 40) && bounded(&lesson.body, 120);
    bounded(&module.title, 60)
        && (1..=90).contains(&module.minutes)
        && (1..=2).contains(&module.lessons.len())
        && module.lessons.iter().all(lesson)
        && (module.ready || module.level != Level::Easy || !module.title.is_empty())
}
