//! One lesson, also while it is being written.

use models::{courses, lessons};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Header, Path},
};
use uuid::Uuid;

use super::view::LessonView;
use crate::{
    app::App,
    caller::{May, Permission},
    conditional::{etag, is_known},
    json::Json,
    problem::Problem,
    routes::Tag,
};

/// The operations on lessons.
pub(crate) struct Lessons;

#[OpenApi(tag = "Tag::Courses")]
impl Lessons {
    /// Reads a lesson with its text and its quiz.
    ///
    /// Before it is written it has a title and objectives only; `status` says where it is.
    #[oai(
        path = "/v1/courses/:id/lessons/:n",
        method = "get",
        operation_id = "get_lesson"
    )]
    async fn get_lesson(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ReadCourses as u8 }>,
        /// The id of the course.
        id: Path<Uuid>,
        /// The place of the lesson in the course, from 1.
        n: Path<u32>,
        /// The ETag of the last answer.
        #[oai(name = "If-None-Match")]
        known: Header<Option<String>>,
    ) -> Result<Read, Problem> {
        let mut conn = app.conn().await?;
        let course = courses::get(&mut conn, caller.owner, id.0.into()).await?;
        let lesson = lessons::get(&mut conn, course.id, n.0.into()).await?;
        let version = etag(lesson.version);
        if is_known(known.as_deref(), lesson.version) {
            return Ok(Read::NotModified(version));
        }
        Ok(Read::Ok(Json::new(LessonView::of(lesson)), version))
    }
}

#[derive(ApiResponse)]
enum Read {
    /// The lesson as it is now.
    #[oai(status = 200)]
    Ok(
        Json<LessonView>,
        /// The version of the lesson.
        #[oai(header = "ETag")]
        String,
    ),
    /// The lesson is as `If-None-Match` says.
    #[oai(status = 304)]
    NotModified(
        /// The version of the lesson.
        #[oai(header = "ETag")]
        String,
    ),
}
