//! Write a whole course.

use std::time::Duration;

use chrono::{DateTime, Utc};
use models::{CourseId, Result, Tx, courses};
use serde::{Deserialize, Serialize};

use crate::{
    job::{Job, Queue},
    retry::Retry,
};

/// Write a whole course: its outline, then a child task for each lesson, then the quality gates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerateCourse {
    /// The course, created from a brief.
    pub course_id: CourseId,
}

impl Job for GenerateCourse {
    const KIND: &'static str = "course.generate";
    const QUEUE: Queue = Queue::Generation;
    const RETRY: Retry = Retry::attempts(8);
    const TIMEOUT: Duration = Duration::from_mins(30);
    const PER_OWNER_MAX: Option<u16> = Some(4);

    fn subject(&self) -> Option<String> {
        Some(format!("courses/{}", self.course_id))
    }

    async fn given_up(self, tx: &mut Tx, now: DateTime<Utc>) -> Result<()> {
        courses::fail(tx, self.course_id, now).await
    }
}
