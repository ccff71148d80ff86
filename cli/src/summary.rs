//! What a person reads when the course is there.

use std::{fmt, time::Duration};

use crate::{client::Task, display::plain, files::Files, outline::Outline};

/// How many notes are shown; the JSON file has all.
const NOTES_MAX: usize = 5;

/// A finished course in a few lines.
pub(crate) struct Summary {
    /// The course.
    pub outline: Outline,
    /// The task that wrote it.
    pub task: Task,
    /// From the request to the last lesson, as the user waited.
    pub elapsed: Duration,
    /// Where it was written.
    pub files: Files,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outline = &self.outline;
        let title = outline.title.as_deref().unwrap_or(&outline.brief.topic);
        let lessons = outline
            .lessons()
            .filter(|lesson| lesson.is_written())
            .count();
        let model = outline
            .provenance
            .as_ref()
            .map_or("?", |provenance| &provenance.model_id);
        writeln!(f, "{}", plain(title))?;
        let seconds = self.elapsed.as_secs_f64();
        writeln!(
            f,
            "{lessons} lessons with quizzes in {seconds:.0} s, written by {model}"
        )?;
        let warnings = &self.task.warnings;
        for warning in warnings.iter().take(NOTES_MAX) {
            writeln!(f, "Note: {}", plain(warning))?;
        }
        if warnings.len() > NOTES_MAX {
            writeln!(
                f,
                "Note: {} more in the JSON file",
                warnings.len() - NOTES_MAX
            )?;
        }
        write!(
            f,
            "{}\n{}",
            self.files.markdown.display(),
            self.files.json.display()
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_summary_says_what_was_written_and_where() -> Result<(), serde_json::Error> {
        let lesson = |status: &str| json!({"ordinal": 1, "title": "Tides", "status": status});
        let summary = Summary {
            outline: serde_json::from_value(json!({
                "brief": {"topic": "Tide pools"},
                "title": "Life in Tide Pools",
                "modules": [{"lessons": [lesson("ready"), lesson("needs_review"), lesson("failed")]}],
                "provenance": {"model_id": "lyo-starter"},
            }))?,
            task: serde_json::from_value(json!({
                "id": "1", "state": "succeeded", "done": true, "links": {"subject": null},
                "progress": {"percent": 100.0, "message": null}, "waiting": null, "error": null,
                "warnings": ["One", "Two", "Three", "Four", "Five", "Six"],
            }))?,
            elapsed: Duration::from_millis(41_600),
            files: Files {
                markdown: "tide-pools.md".into(),
                json: "tide-pools.json".into(),
            },
        };

        let expected = "Life in Tide Pools
2 lessons with quizzes in 42 s, written by lyo-starter
Note: One
Note: Two
Note: Three
Note: Four
Note: Five
Note: 1 more in the JSON file
tide-pools.md
tide-pools.json";
        assert_eq!(summary.to_string(), expected);
        Ok(())
    }
}
