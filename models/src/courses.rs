//! Courses: created from a brief, planned, written lesson by lesson, finished as a draft.
//!
//! A course becomes visible while it is being written. Every visible change of it or of one of its
//! lessons raises its version, which is its ETag.

use chrono::{DateTime, Utc};
use sqlx::types::Json;

pub use crate::brief::{Brief, Level, SEED_END};
use crate::{
    content::{Provenance, Quality},
    db::{Conn, Tx},
    error::{Error, Result},
    id::{CourseId, OwnerId, TaskId},
    outline,
    page::{Cursor, Limit, Page},
    sql, words,
};

words! {
    /// Where a course stands.
    Status {
        /// A task is at work on it.
        Writing = "writing",
        /// Written; for the author to look at.
        Draft = "draft",
        /// Somebody looks at it before it is published.
        InReview = "in_review",
        /// Open to learners.
        Published = "published",
        /// No longer offered.
        Archived = "archived",
        /// It could not be written.
        Failed = "failed",
    }
}

/// A row of `courses`.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Course {
    /// Its id.
    pub id: CourseId,
    /// Whose it is.
    pub owner_id: OwnerId,
    /// The task that writes it.
    pub task_id: Option<TaskId>,
    /// Rises with every visible change; the ETag.
    pub version: i64,
    /// Where it stands.
    pub status: Status,
    /// What the author asked for.
    #[sqlx(json)]
    pub brief: Brief,
    /// The seed it is written with, below 2^53.
    #[sqlx(try_from = "i64")]
    pub seed: u64,
    /// Its title, once planned.
    pub title: Option<String>,
    /// Its summary, once planned.
    pub summary: Option<String>,
    /// Who planned it, once planned.
    #[sqlx(json(nullable))]
    pub provenance: Option<Provenance>,
    /// What the quality gates said, once finished.
    #[sqlx(json(nullable))]
    pub quality: Option<Quality>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it last changed visibly.
    pub updated_at: DateTime<Utc>,
    /// When it was finished or failed.
    pub finished_at: Option<DateTime<Utc>>,
}

/// The outline: what [`plan`] turns into rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The title of the course.
    pub title: String,
    /// Its summary.
    pub summary: String,
    /// Who planned it.
    pub provenance: Provenance,
    /// Its modules, in order.
    pub modules: Vec<PlannedModule>,
}

/// A module of the outline.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlannedModule {
    /// Its title.
    pub title: String,
    /// Its lessons, in order.
    pub lessons: Vec<PlannedLesson>,
}

/// A lesson of the outline.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlannedLesson {
    /// Its title.
    pub title: String,
    /// What learners shall be able to do after it.
    pub objectives: Vec<String>,
}

/// Creates a course to be written from a valid brief. Draws the seed when the brief has none.
pub async fn create(
    tx: &mut Tx,
    owner: OwnerId,
    brief: &Brief,
    now: DateTime<Utc>,
) -> Result<Course> {
    let seed = brief
        .seed
        .unwrap_or_else(|| rand::random_range(0..SEED_END));
    let seed = i64::try_from(seed).map_err(|_| Error::invalid("/seed", "must be below 2^53"))?;
    sql!(
        tx, fetch_one Course,
        "insert into courses
            (id, owner_id, version, status, brief, seed, created_at, updated_at)
        values ($1, $2, 1, 'writing', $3, $4, $5, $5)
        returning *",
        CourseId::new(), owner, Json(brief), seed, now,
    )
}

/// Names the task that writes the course. Part of creating it: the version does not rise.
pub async fn attach(tx: &mut Tx, id: CourseId, task: TaskId) -> Result<()> {
    let rows = sql!(
        tx,
        execute,
        "update courses set task_id = $2 where id = $1",
        id,
        task
    )?;
    found(rows)
}

/// A course of this owner, or `NotFound`.
pub async fn get(conn: &mut Conn, owner: OwnerId, id: CourseId) -> Result<Course> {
    sql!(
        conn, fetch_optional Course,
        "select * from courses where id = $1 and owner_id = $2", id, owner,
    )?
    .ok_or(Error::NotFound("course"))
}

/// A course whoever owns it, or `NotFound`: for those who work on it.
pub async fn get_any(conn: &mut Conn, id: CourseId) -> Result<Course> {
    sql!(conn, fetch_optional Course, "select * from courses where id = $1", id)?
        .ok_or(Error::NotFound("course"))
}

/// The courses of an owner, newest first, from the cursor on.
pub async fn list(
    conn: &mut Conn,
    owner: OwnerId,
    after: Option<Cursor>,
    limit: Limit,
) -> Result<Page<Course>> {
    let after = after.unwrap_or_else(Cursor::start);
    let rows = sql!(
        conn, fetch_all Course,
        "select * from courses
        where owner_id = $1 and (created_at, id) < ($2, $3)
        order by created_at desc, id desc
        limit $4",
        owner, after.created_at, after.id, limit.and_one(),
    )?;
    Ok(Page::new(rows, limit, |course| Cursor {
        created_at: course.created_at,
        id: course.id.into(),
    }))
}

/// Puts a failed course back to being written: its task is tried again.
pub async fn resume(tx: &mut Tx, id: CourseId, now: DateTime<Utc>) -> Result<()> {
    sql!(
        tx,
        execute,
        "update courses
        set status = 'writing', finished_at = null, version = version + 1, updated_at = $2
        where id = $1 and status = 'failed'",
        id,
        now,
    )
    .map(|_| ())
}

/// Gives the course its title, modules and lessons. A second plan changes nothing.
pub async fn plan(tx: &mut Tx, id: CourseId, plan: &Plan, now: DateTime<Utc>) -> Result<()> {
    let first = sql!(
        tx,
        execute,
        "update courses
        set title = $2, summary = $3, provenance = $4, version = version + 1, updated_at = $5
        where id = $1 and title is null",
        id,
        &plan.title,
        &plan.summary,
        Json(&plan.provenance),
        now,
    )?;
    if first == 0 {
        return Ok(());
    }
    outline::insert(tx, id, plan, now).await
}

/// Ends the writing with a draft and the report of the gates. Does nothing to a course that is not
/// being written.
pub async fn finish(
    tx: &mut Tx,
    id: CourseId,
    quality: &Quality,
    now: DateTime<Utc>,
) -> Result<()> {
    sql!(
        tx,
        execute,
        "update courses
        set status = 'draft', quality = $2, version = version + 1, updated_at = $3, finished_at = $3
        where id = $1 and status = 'writing'",
        id,
        Json(quality),
        now,
    )
    .map(|_| ())
}

/// Ends the writing without a course. Does nothing to a course that is not being written.
pub async fn fail(tx: &mut Tx, id: CourseId, now: DateTime<Utc>) -> Result<()> {
    sql!(
        tx,
        execute,
        "update courses
        set status = 'failed', version = version + 1, updated_at = $2, finished_at = $2
        where id = $1 and status = 'writing'",
        id,
        now,
    )
    .map(|_| ())
}

/// Forgets a course with everything in it. Its task stays and ends without a course to write.
pub async fn delete(tx: &mut Tx, owner: OwnerId, id: CourseId) -> Result<()> {
    let rows = sql!(
        tx,
        execute,
        "delete from courses where id = $1 and owner_id = $2",
        id,
        owner
    )?;
    found(rows)
}

/// Raises the version because one of the lessons changed.
pub(crate) async fn touch(tx: &mut Tx, id: CourseId, now: DateTime<Utc>) -> Result<()> {
    let rows = sql!(
        tx,
        execute,
        "update courses set version = version + 1, updated_at = $2 where id = $1",
        id,
        now,
    )?;
    found(rows)
}

fn found(rows: u64) -> Result<()> {
    if rows == 0 {
        Err(Error::NotFound("course"))
    } else {
        Ok(())
    }
}
