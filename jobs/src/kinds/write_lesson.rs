//! Write one lesson.

use std::time::Duration;

use chrono::{DateTime, Utc};
use models::{CourseId, Error, LessonId, Result, Tx, lessons};
use serde::{Deserialize, Serialize};

use crate::{
    job::{Job, Queue},
    retry::Retry,
};

/// Write one lesson of a planned course, with its quiz.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteLesson {
    /// The course it is part of.
    pub course_id: CourseId,
    /// The lesson.
    pub lesson_id: LessonId,
    /// Which time it is written, from 1.
    pub round: i64,
    /// Why it is written again: what the quality gates found.
    #[serde(default)]
    pub reason: Option<String>,
}

impl Job for WriteLesson {
    const KIND: &'static str = "lesson.write";
    const QUEUE: Queue = Queue::Generation;
    // Many lessons are written at once, and all of them lose an attempt when their worker dies.
    const RETRY: Retry = Retry::attempts(16);
    const TIMEOUT: Duration = Duration::from_mins(10);
    const PER_OWNER_MAX: Option<u16> = Some(16);

    fn subject(&self) -> Option<String> {
        Some(format!("courses/{}", self.course_id))
    }

    fn check(&self) -> Result<()> {
        if self.round < 1 {
            return Err(Error::invalid("/round", "must be at least 1"));
        }
        Ok(())
    }

    async fn given_up(self, tx: &mut Tx, now: DateTime<Utc>) -> Result<()> {
        lessons::fail(tx, self.lesson_id, now).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::job::Definition;

    #[test]
    fn rounds_count_from_one_and_the_reason_may_be_absent() {
        let payload = |round| json!({"course_id": CourseId::new(), "lesson_id": LessonId::new(), "round": round});
        let check = Definition::of::<WriteLesson>().check;

        assert!(check(&payload(1)).is_ok());
        let refused = check(&payload(0));
        assert!(matches!(refused, Err(Error::Invalid { field, .. }) if field == "/payload/round"));
    }
}
