//! What an author asks for, as a request. The rules are those of `models`; here they are described.

use models::courses::{Brief, Level};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::problem::Problem;

/// What an author asks for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Brief", example = example())]
pub(crate) struct BriefBody {
    /// What the course is about.
    #[schemars(
        length(min = 1, max = 120),
        pattern(r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$")
    )]
    topic: String,
    /// Who it is for; `curious beginners` unless told.
    #[serde(default)]
    #[schemars(
        length(min = 1, max = 120),
        pattern(r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$")
    )]
    audience: Option<String>,
    /// How much they know already; nothing unless told.
    #[serde(default)]
    #[schemars(with = "Option<CourseLevel>")]
    level: Option<Level>,
    /// The language that it is written in; English unless told.
    #[serde(default)]
    #[schemars(
        length(min = 1, max = 40),
        pattern(r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$")
    )]
    language: Option<String>,
    /// How many lessons it has; 6 unless told.
    #[serde(default)]
    #[schemars(range(min = 1, max = 60))]
    lessons: Option<u8>,
    /// What learners can do afterwards; each lesson gets its own as well.
    #[serde(default)]
    #[schemars(
        length(max = 12),
        inner(
            length(min = 1, max = 140),
            pattern(r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$")
        )
    )]
    objectives: Vec<String>,
    /// Anything else that the writer should know.
    #[serde(default)]
    #[schemars(
        length(max = 600),
        pattern(r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$")
    )]
    notes: String,
    /// The same brief and seed give the same course; drawn when it is absent.
    #[serde(default)]
    #[schemars(range(max = 9_007_199_254_740_991_u64))]
    seed: Option<u64>,
}

fn example() -> serde_json::Value {
    serde_json::json!({"topic": "Tide pools", "lessons": 6})
}

impl BriefBody {
    /// The brief with its defaults, or the first rule that it breaks.
    pub(crate) fn into_brief(self) -> Result<Brief, Problem> {
        let usual = Brief::new(self.topic);
        let brief = Brief {
            audience: self.audience.unwrap_or(usual.audience),
            level: self.level.unwrap_or(usual.level),
            language: self.language.unwrap_or(usual.language),
            lessons: self.lessons.unwrap_or(usual.lessons),
            objectives: self.objectives,
            notes: self.notes,
            seed: self.seed,
            topic: usual.topic,
        };
        Ok(brief.validate()?)
    }
}

/// How much the audience knows already.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the words of `models` to clients")]
enum CourseLevel {
    /// Nothing.
    Beginner,
    /// The basics.
    Intermediate,
    /// Most of it.
    Advanced,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::agreement::words;

    #[test]
    fn the_levels_are_those_of_the_model() {
        let levels = Level::ALL.iter().map(|level| level.as_str());
        words::<CourseLevel>(&levels.collect::<Vec<_>>());
    }
}
