//! Lessons: planned with the course, written one by one, each visible as soon as it is there.

use chrono::{DateTime, Utc};
use sqlx::types::Json;

use crate::{
    content::{Content, Flag, Provenance, Quiz},
    courses,
    db::{Conn, Tx},
    error::{Error, Result},
    id::{CourseId, LessonId, ModuleId},
    sql,
    sql::One,
    words,
};

words! {
    /// Where a lesson stands.
    Status {
        /// Planned.
        Pending = "pending",
        /// Being written. What an earlier round wrote stays visible meanwhile.
        Generating = "generating",
        /// Written.
        Ready = "ready",
        /// Written, with something that a person should look at: see its flags.
        NeedsReview = "needs_review",
        /// It could not be written.
        Failed = "failed",
    }
}

/// A row of `lessons`.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Lesson {
    /// Its id.
    pub id: LessonId,
    /// The course it is part of.
    pub course_id: CourseId,
    /// The module it is part of.
    pub module_id: ModuleId,
    /// Its place in the whole course, from 1.
    pub ordinal: i64,
    /// Rises with every visible change; the ETag.
    pub version: i64,
    /// Where it stands.
    pub status: Status,
    /// Its title.
    pub title: String,
    /// What learners shall be able to do after it.
    #[sqlx(json)]
    pub objectives: Vec<String>,
    /// Its text, once written.
    #[sqlx(json(nullable))]
    pub content: Option<Content>,
    /// Its questions, once written.
    #[sqlx(json(nullable))]
    pub quiz: Option<Quiz>,
    /// What the quality gates found.
    #[sqlx(json)]
    pub flags: Vec<Flag>,
    /// Who wrote it, once written.
    #[sqlx(json(nullable))]
    pub provenance: Option<Provenance>,
    /// How many times it was written.
    pub round: i64,
    /// When it was planned.
    pub created_at: DateTime<Utc>,
    /// When it last changed visibly.
    pub updated_at: DateTime<Utc>,
}

/// A lesson as one round wrote it.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// Its text.
    pub content: Content,
    /// Its questions.
    pub quiz: Quiz,
    /// What the quality gates found.
    pub flags: Vec<Flag>,
    /// Who wrote it.
    pub provenance: Provenance,
    /// `Ready` or `NeedsReview`.
    pub status: Status,
}

/// The lessons of a course, in order.
pub async fn list(conn: &mut Conn, course: CourseId) -> Result<Vec<Lesson>> {
    sql!(
        conn, fetch_all Lesson,
        "select * from lessons where course_id = $1 order by ordinal", course,
    )
}

/// A lesson by its place in the course, or `NotFound`.
pub async fn get(conn: &mut Conn, course: CourseId, ordinal: i64) -> Result<Lesson> {
    sql!(
        conn, fetch_optional Lesson,
        "select * from lessons where course_id = $1 and ordinal = $2", course, ordinal,
    )?
    .ok_or(Error::NotFound("lesson"))
}

/// A lesson by its id, or `NotFound`: for those who work on it.
pub async fn get_any(conn: &mut Conn, id: LessonId) -> Result<Lesson> {
    sql!(conn, fetch_optional Lesson, "select * from lessons where id = $1", id)?
        .ok_or(Error::NotFound("lesson"))
}

/// Marks a lesson as being written. Does nothing to one that is ready, or being written already.
pub async fn begin(tx: &mut Tx, id: LessonId, now: DateTime<Utc>) -> Result<()> {
    let course = sql!(
        tx,
        fetch_optional One<CourseId>,
        "update lessons set status = 'generating', version = version + 1, updated_at = $2
        where id = $1 and status in ('pending', 'failed', 'needs_review')
        returning course_id",
        id,
        now,
    )?;
    changed(tx, course, now).await.map(|_| ())
}

/// Stores what a round wrote; false when that round or a later one was stored before.
pub async fn finish(
    tx: &mut Tx,
    id: LessonId,
    round: i64,
    written: &Written,
    now: DateTime<Utc>,
) -> Result<bool> {
    let course = sql!(
        tx,
        fetch_optional One<CourseId>,
        "update lessons
        set status = $3, content = $4, quiz = $5, flags = $6, provenance = $7, round = $2,
            version = version + 1, updated_at = $8
        where id = $1 and round < $2
        returning course_id",
        id,
        round,
        written.status,
        Json(&written.content),
        Json(&written.quiz),
        Json(&written.flags),
        Json(&written.provenance),
        now,
    )?;
    changed(tx, course, now).await
}

/// Marks a ready lesson as in need of review, with what a gate over the whole course found.
///
/// Does nothing to a lesson that is not ready.
pub async fn flag(tx: &mut Tx, id: LessonId, flags: &[Flag], now: DateTime<Utc>) -> Result<()> {
    let course = sql!(
        tx,
        fetch_optional One<CourseId>,
        "update lessons
        set status = 'needs_review', flags = $2, version = version + 1, updated_at = $3
        where id = $1 and status = 'ready'
        returning course_id",
        id,
        Json(flags),
        now,
    )?;
    changed(tx, course, now).await.map(|_| ())
}

/// Marks a lesson as not to be had. Does nothing to one that was written.
pub async fn fail(tx: &mut Tx, id: LessonId, now: DateTime<Utc>) -> Result<()> {
    // A lesson that has text from an earlier round goes back to it: some text beats none.
    let course = sql!(
        tx,
        fetch_optional One<CourseId>,
        "update lessons
        set status = case when content is null then 'failed' else 'needs_review' end,
            version = version + 1, updated_at = $2
        where id = $1 and status in ('pending', 'generating')
        returning course_id",
        id,
        now,
    )?;
    changed(tx, course, now).await.map(|_| ())
}

/// Passes a change on to the course, if there was one.
async fn changed(tx: &mut Tx, course: Option<(CourseId,)>, now: DateTime<Utc>) -> Result<bool> {
    if let Some((course,)) = course {
        courses::touch(tx, course, now).await?;
    }
    Ok(course.is_some())
}
