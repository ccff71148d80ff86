//! Courses: ask for one, list them, read one, also while it is being written.

pub(crate) mod brief;
pub(crate) mod export;
pub(crate) mod lessons;
pub(crate) mod schema;
pub(crate) mod view;

use jobs::{
    Priority,
    kinds::GenerateCourse,
    store::{self, Options},
};
use models::{courses, lessons as rows, modules};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Header, Path, Query},
};
use uuid::Uuid;

use self::{
    brief::BriefBody,
    view::{CourseView, Summary},
};
use super::{Tag, tasks::answer::Submitted};
use crate::{
    app::App,
    body::Body,
    caller::{Caller, May, Permission},
    conditional::{etag, is_known, require},
    idempotency::{Attempt, Replay},
    json::Json,
    page::{self, PageView},
    problem::Problem,
    request::{RequestContext, wait},
};

/// The operations on courses.
pub(crate) struct Courses;

#[OpenApi(tag = "Tag::Courses")]
impl Courses {
    /// Asks for a course on a topic.
    ///
    /// The answer is the task that writes it, whose `links.subject` is the course: it can be read
    /// at once, and its lessons appear in it one by one.
    #[oai(path = "/v1/courses", method = "post", operation_id = "create_course")]
    async fn create_course(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::WriteCourses as u8 }>,
        context: RequestContext,
        /// Repeating a request with its key does nothing twice.
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<String>>,
        /// `wait=SECONDS`, at most 60.
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        body: Body<BriefBody>,
    ) -> Result<Submitted, Problem> {
        let attempt = Attempt::new(caller, "create_course", key.as_deref(), &body.fingerprint)?;
        let brief = body.value.into_brief()?;
        let (mut tx, now) = (app.begin().await?, app.db.now());
        if let Some(replay) = attempt.claim(&mut tx, now).await? {
            drop(tx);
            return Submitted::again(&app, caller, replay, wait(prefer.as_deref())).await;
        }
        let course = courses::create(&mut tx, caller.owner, &brief, now).await?;
        let job = GenerateCourse {
            course_id: course.id,
        };
        let task = store::enqueue(&mut tx, &job, options(caller, context), now).await?;
        courses::attach(&mut tx, course.id, task.id).await?;
        attempt.answer(&mut tx, &Replay::Task(task.id)).await?;
        tx.commit().await?;
        Submitted::first(&app, caller, task, wait(prefer.as_deref())).await
    }

    /// Lists the caller's courses, newest first.
    #[oai(path = "/v1/courses", method = "get", operation_id = "list_courses")]
    async fn list_courses(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ReadCourses as u8 }>,
        /// Where to go on: `next` of the page before.
        #[oai(validator(pattern = "^0[0-9a-f]{47}$"))]
        cursor: Query<Option<String>>,
        /// How many, at most 100; 20 unless told.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<u32>>,
    ) -> Result<Listed, Problem> {
        let (cursor, limit) = page::bounds(cursor.as_deref(), limit.0)?;
        let mut conn = app.conn().await?;
        let page = courses::list(&mut conn, caller.owner, cursor, limit).await?;
        Ok(Listed::Ok(Json::new(PageView::of(page, Summary::of))))
    }

    /// Reads a course with its modules and lessons, also while it is being written.
    #[oai(path = "/v1/courses/:id", method = "get", operation_id = "get_course")]
    async fn get_course(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ReadCourses as u8 }>,
        /// The id of the course.
        id: Path<Uuid>,
        /// The ETag of the last answer.
        #[oai(name = "If-None-Match")]
        known: Header<Option<String>>,
    ) -> Result<Read, Problem> {
        let mut conn = app.conn().await?;
        // The course comes first: if it changes while the rest is read, the ETag is the older one,
        // and the client asks again; the other way round it would miss the change.
        let course = courses::get(&mut conn, caller.owner, id.0.into()).await?;
        let version = etag(course.version);
        if is_known(known.as_deref(), course.version) {
            return Ok(Read::NotModified(version));
        }
        let modules = modules::list(&mut conn, course.id).await?;
        let lessons = rows::list(&mut conn, course.id).await?;
        Ok(Read::Ok(
            Json::new(CourseView::of(course, modules, lessons)),
            version,
        ))
    }

    /// Deletes a course with everything in it, and cancels the task that writes it.
    #[oai(
        path = "/v1/courses/:id",
        method = "delete",
        operation_id = "delete_course"
    )]
    async fn delete_course(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::DeleteCourses as u8 }>,
        /// The id of the course.
        id: Path<Uuid>,
        /// Deletes only this version.
        #[oai(name = "If-Match")]
        version: Header<Option<String>>,
    ) -> Result<Deleted, Problem> {
        let mut tx = app.begin().await?;
        let course = courses::get(&mut tx, caller.owner, id.0.into()).await?;
        require(version.as_deref(), course.version)?;
        let cancelled = match course.task_id {
            Some(task) => Some(store::cancel(&mut tx, caller.owner, task, app.db.now()).await?),
            None => None,
        };
        courses::delete(&mut tx, caller.owner, course.id).await?;
        tx.commit().await?;
        if let Some(changed) = cancelled {
            app.bell.tell_all(&changed, app.db.now());
        }
        Ok(Deleted::Done)
    }
}

/// Somebody waits for the course, so it goes before work in bulk.
fn options(caller: Caller, context: RequestContext) -> Options {
    Options {
        priority: Priority::Interactive,
        request_id: Some(context.request_id),
        trace_id: context.trace_id,
        ..Options::by(caller.owner)
    }
}

#[derive(ApiResponse)]
enum Listed {
    /// A page of courses.
    #[oai(status = 200)]
    Ok(Json<PageView<Summary>>),
}

#[derive(ApiResponse)]
enum Read {
    /// The course as it is now.
    #[oai(status = 200)]
    Ok(
        Json<CourseView>,
        /// The version of the course; it rises with every change of its lessons too.
        #[oai(header = "ETag")]
        String,
    ),
    /// The course is as `If-None-Match` says.
    #[oai(status = 304)]
    NotModified(
        /// The version of the course.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Deleted {
    /// It is gone.
    #[oai(status = 204)]
    Done,
}
