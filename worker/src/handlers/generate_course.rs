//! Writes a course: plans it, has its lessons written by children, reviews the whole.
//!
//! The handler runs several times, and what it does follows from the rows: without lessons it plans,
//! while children live it waits, lessons that nobody wrote it asks for again, and then it reviews.

use chrono::{DateTime, Utc};
use jobs::{
    Definition, Progress, Wait,
    kinds::{GenerateCourse, WriteLesson},
    store::{self, New, Options, checkpoint},
};
use models::{
    Tx,
    courses::{self, Course, Status},
    lessons::{self, Lesson},
};
use serde_json::{Value, json};

use super::Handle;
use crate::{
    course::{
        announce::announce,
        planning,
        review::{Review, review},
    },
    ctx::Ctx,
    error::{JobError, Outcome},
    run::Run,
};

const LESSON: &Definition = &Definition::of::<WriteLesson>();
/// How the percent of a course is shared out: outline, lessons with their quizzes, review.
const PERCENT_OUTLINE: f64 = 15.0;
const PERCENT_LESSONS: f64 = 90.0;
const PERCENT_AGAIN: f64 = 95.0;
/// How often a lesson that repeats an earlier one is written at most.
const ROUNDS_MAX: i64 = 3;
/// A checkpoint that follows from nothing but the task has one digest for ever.
const ROUND: &str = "round";
const DIGEST: &str = "1";

impl Handle for GenerateCourse {
    async fn run(self, ctx: &Ctx, run: &Run) -> Result<Outcome, JobError> {
        let mut conn = ctx.db.conn().await?;
        let course = courses::get_any(&mut conn, self.course_id).await?;
        let lessons = lessons::list(&mut conn, self.course_id).await?;
        drop(conn);
        let work = Work {
            ctx,
            run,
            course,
            lessons,
        };
        if !matches!(work.course.status, Status::Writing | Status::Failed) {
            // An earlier attempt finished it and died before it could say so.
            return Ok(work.done());
        }
        work.resume().await?;
        if work.lessons.is_empty() {
            work.plan().await
        } else if run.children_live() {
            Ok(wait(PERCENT_OUTLINE, PERCENT_LESSONS))
        } else {
            work.review().await
        }
    }
}

/// The course as one attempt found it.
struct Work<'a> {
    ctx: &'a Ctx,
    run: &'a Run,
    course: Course,
    lessons: Vec<Lesson>,
}

impl Work<'_> {
    /// A failed course whose task a client tries again is being written again. The failed tasks of its
    /// lessons are tried again by the same request.
    async fn resume(&self) -> Result<(), JobError> {
        if self.course.status == Status::Failed {
            let mut tx = self.run.begin().await?;
            courses::resume(&mut tx, self.course.id, self.ctx.db.now()).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Stage 1: asks for the outline, makes it visible, and has the lessons written.
    async fn plan(&self) -> Result<Outcome, JobError> {
        let model = self.ctx.model.get(self.run).await?;
        self.run.say("outline", "Planning the course");
        let plan = planning::plan(&self.course, &model, self.run).await?;

        let now = self.ctx.db.now();
        let mut tx = self.run.begin().await?;
        courses::plan(&mut tx, self.course.id, &plan, now).await?;
        let lessons = lessons::list(&mut tx, self.course.id).await?;
        self.spawn(tx, lessons.iter(), 1, now).await?;
        Ok(wait(PERCENT_OUTLINE, PERCENT_LESSONS))
    }

    /// Has each lesson written by a child, with whatever else the transaction makes true.
    async fn spawn(
        &self,
        mut tx: Tx,
        lessons: impl Iterator<Item = &Lesson>,
        round: i64,
        now: DateTime<Utc>,
    ) -> Result<(), JobError> {
        let children: Result<Vec<New>, JobError> =
            lessons.map(|lesson| self.child(lesson, round)).collect();
        let children = store::enqueue_many(&mut tx, children?, now).await?;
        tx.commit().await?;
        for child in &children {
            self.ctx.bell.tell(child, now);
        }
        Ok(())
    }

    fn child(&self, lesson: &Lesson, round: i64) -> Result<New, JobError> {
        let task = self.run.task();
        let job = WriteLesson {
            course_id: self.course.id,
            lesson_id: lesson.id,
            round,
            reason: (round > 1).then(|| "near_duplicate".to_owned()),
        };
        let options = Options {
            priority: task.priority,
            parent: Some(task.id),
            child_key: Some(format!("lesson/{}/{round}", lesson.ordinal)),
            request_id: task.request_id.clone(),
            trace_id: task.trace_id.clone(),
            ..Options::by(task.owner_id)
        };
        let payload = serde_json::to_value(&job).map_err(anyhow::Error::from)?;
        Ok(New {
            definition: LESSON,
            payload,
            options,
        })
    }

    /// Stage 3: looks at the whole, has repeated lessons written once more, and ends the course.
    async fn review(&self) -> Result<Outcome, JobError> {
        self.run.progress(Progress {
            percent: PERCENT_LESSONS,
            step: Some("review".to_owned()),
            message: Some("Reviewing the course".to_owned()),
            ..Progress::default()
        });
        if self.lessons.iter().all(|lesson| lesson.content.is_none()) {
            return Err(JobError::fail(
                "no_lesson_written",
                "not one lesson could be written",
            ));
        }
        let title = self.course.title.as_deref().unwrap_or_default();
        let review = review(&self.course.brief, title, &self.lessons);
        let round = self.round().await? + 1;
        if !review.again.is_empty() && round <= ROUNDS_MAX {
            return self.ask_again(&review.again, round).await;
        }
        self.finish(&review).await?;
        Ok(self.done())
    }

    /// How often the lessons have been asked for, those that were asked for most.
    async fn round(&self) -> Result<i64, JobError> {
        let mut conn = self.ctx.db.conn().await?;
        let kept = checkpoint::get(&mut conn, self.run.task().id, ROUND, DIGEST).await?;
        Ok(kept.and_then(|kept| kept["round"].as_i64()).unwrap_or(1))
    }

    async fn ask_again(&self, places: &[usize], round: i64) -> Result<Outcome, JobError> {
        let lessons = places.iter().filter_map(|place| self.lessons.get(*place));
        let now = self.ctx.db.now();
        let mut tx = self.run.begin().await?;
        let kept = json!({"round": round, "lessons": places});
        checkpoint::put(&mut tx, self.run.lease(), ROUND, DIGEST, &kept, now).await?;
        self.spawn(tx, lessons, round, now).await?;
        Ok(wait(PERCENT_LESSONS, PERCENT_AGAIN))
    }

    /// Writes the findings and turns the course into a draft, all at once.
    async fn finish(&self, review: &Review) -> Result<(), JobError> {
        let now = self.ctx.db.now();
        let mut tx = self.run.begin().await?;
        for (place, lesson) in self.lessons.iter().enumerate() {
            let found = review.findings.iter().filter(|(found, _)| *found == place);
            let found: Vec<_> = found.map(|(_, flag)| flag.clone()).collect();
            let flags = [lesson.flags.clone(), found].concat();
            for flag in &flags {
                self.run
                    .warn(format!("Lesson {}: {}", lesson.ordinal, flag.detail));
            }
            if flags.len() > lesson.flags.len() {
                lessons::flag(&mut tx, lesson.id, &flags, now).await?;
            }
            if lesson.content.is_none() {
                self.run
                    .warn(format!("Lesson {} could not be written", lesson.ordinal));
                lessons::fail(&mut tx, lesson.id, now).await?;
            }
        }
        courses::finish(&mut tx, self.course.id, &review.quality, now).await?;
        let mail = announce(&mut tx, &self.course, self.written(), now).await?;
        tx.commit().await?;
        if let Some(mail) = mail {
            self.ctx.bell.tell(&mail, now);
        }
        Ok(())
    }

    fn written(&self) -> usize {
        let written = |lesson: &&Lesson| lesson.content.is_some();
        self.lessons.iter().filter(written).count()
    }

    fn done(&self) -> Outcome {
        let total = self.lessons.len();
        let result: Value = json!({
            "course_id": self.course.id,
            "title": self.course.title,
            "lessons": total,
            "lessons_written": self.written(),
        });
        Outcome::Done(Some(result))
    }
}

fn wait(from: f64, to: f64) -> Outcome {
    Outcome::Wait(Wait {
        from,
        to,
        step: "lessons".to_owned(),
        message: "Writing the lessons".to_owned(),
    })
}
