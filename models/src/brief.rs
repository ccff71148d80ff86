//! What an author asks for.

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    words,
};

words! {
    /// How much the audience knows already.
    Level {
        /// Nothing.
        Beginner = "beginner",
        /// The basics.
        Intermediate = "intermediate",
        /// Most of it.
        Advanced = "advanced",
    }
}

/// The order for a course.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brief {
    /// What the course is about: 1 to 120 characters.
    pub topic: String,
    /// For whom: 1 to 120 characters, `curious beginners` unless told.
    #[serde(default = "default_audience")]
    pub audience: String,
    /// How much they know already; beginners unless told.
    #[serde(default = "default_level")]
    pub level: Level,
    /// The language to write in: 1 to 40 characters, `English` unless told.
    #[serde(default = "default_language")]
    pub language: String,
    /// How many lessons: 1 to 60, 6 unless told.
    #[serde(default = "default_lessons")]
    pub lessons: u8,
    /// What learners shall be able to do: at most 12, each of 1 to 140 characters.
    #[serde(default)]
    pub objectives: Vec<String>,
    /// Anything else the writer should know: at most 600 characters.
    #[serde(default)]
    pub notes: String,
    /// Makes the course repeatable: below 2^53, drawn when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// Seeds stay below this, so that JSON readers that keep numbers as doubles keep them exactly.
pub const SEED_END: u64 = 1 << 53;
/// Objectives at most.
pub const OBJECTIVES_MAX: usize = 12;

impl Brief {
    /// A brief with every default.
    pub fn new(topic: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            audience: default_audience(),
            level: default_level(),
            language: default_language(),
            lessons: default_lessons(),
            objectives: Vec::new(),
            notes: String::new(),
            seed: None,
        }
    }

    /// The brief with its texts trimmed, or the first rule it breaks.
    ///
    /// Line breaks in the notes become spaces; other control characters are refused everywhere: the
    /// texts go into prompts, where a line of its own would read like an instruction of ours.
    pub fn validate(mut self) -> Result<Self> {
        self.notes = self.notes.replace(['\r', '\n', '\t'], " ");
        tidy(&mut self.topic, "/topic", 1, 120)?;
        tidy(&mut self.audience, "/audience", 1, 120)?;
        tidy(&mut self.language, "/language", 1, 40)?;
        tidy(&mut self.notes, "/notes", 0, 600)?;
        if !(1..=60).contains(&self.lessons) {
            return Err(Error::invalid("/lessons", "must be from 1 to 60"));
        }
        if self.objectives.len() > OBJECTIVES_MAX {
            return Err(Error::invalid("/objectives", "must be at most 12"));
        }
        for (index, objective) in self.objectives.iter_mut().enumerate() {
            tidy(objective, &format!("/objectives/{index}"), 1, 140)?;
        }
        if self.seed.is_some_and(|seed| seed >= SEED_END) {
            return Err(Error::invalid("/seed", "must be below 9007199254740992"));
        }
        Ok(self)
    }
}

/// Trims a text and checks its characters and their number.
fn tidy(text: &mut String, field: &str, min: usize, max: usize) -> Result<()> {
    if text.contains(char::is_control) {
        return Err(Error::invalid(field, "must not contain control characters"));
    }
    let trimmed = text.trim();
    let length = trimmed.chars().count();
    if length < min {
        return Err(Error::invalid(field, "must not be empty"));
    }
    if length > max {
        return Err(Error::invalid(
            field,
            format!("must be at most {max} characters"),
        ));
    }
    *text = trimmed.to_owned();
    Ok(())
}

fn default_audience() -> String {
    "curious beginners".to_owned()
}

fn default_level() -> Level {
    Level::Beginner
}

fn default_language() -> String {
    "English".to_owned()
}

fn default_lessons() -> u8 {
    6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(brief: Brief) -> String {
        match brief.validate() {
            Err(Error::Invalid { field, .. }) => field,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn defaults_fill_what_is_absent() -> serde_json::Result<()> {
        let brief: Brief = serde_json::from_str(r#"{"topic": "Tides"}"#)?;

        assert_eq!(brief, Brief::new("Tides"));
        Ok(())
    }

    #[test]
    fn texts_are_trimmed_and_counted_in_characters() -> Result<()> {
        let brief = Brief {
            notes: " a\n b ".to_owned(),
            ..Brief::new(format!("  {} ", "é".repeat(120)))
        };

        let brief = brief.validate()?;

        assert_eq!(brief.topic.chars().count(), 120);
        assert_eq!(brief.notes, "a  b");
        Ok(())
    }

    #[test]
    fn every_rule_names_its_field() {
        let long = |length: usize| "x".repeat(length);
        let with = |change: &dyn Fn(&mut Brief)| {
            let mut brief = Brief::new("Tides");
            change(&mut brief);
            refused(brief)
        };

        assert_eq!(with(&|brief| brief.topic = "  ".to_owned()), "/topic");
        assert_eq!(with(&|brief| brief.topic = long(121)), "/topic");
        assert_eq!(with(&|brief| brief.topic = "a\u{7}b".to_owned()), "/topic");
        assert_eq!(with(&|brief| brief.audience = long(121)), "/audience");
        assert_eq!(with(&|brief| brief.language = long(41)), "/language");
        assert_eq!(with(&|brief| brief.notes = long(601)), "/notes");
        assert_eq!(with(&|brief| brief.lessons = 0), "/lessons");
        assert_eq!(with(&|brief| brief.lessons = 61), "/lessons");
        let many = vec![long(1); 13];
        assert_eq!(
            with(&|brief| brief.objectives = many.clone()),
            "/objectives"
        );
        let second = vec![long(1), long(141)];
        assert_eq!(
            with(&|brief| brief.objectives = second.clone()),
            "/objectives/1"
        );
        assert_eq!(with(&|brief| brief.seed = Some(SEED_END)), "/seed");
    }
}
