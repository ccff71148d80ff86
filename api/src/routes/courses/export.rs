//! A finished course as a document to take away.

use models::{
    courses::{self, Status},
    export, lessons, modules,
};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, Enum, OpenApi, ResponseContent,
    param::{Path, Query},
    payload::PlainText,
};
use uuid::Uuid;

use super::schema::Document;
use crate::{
    app::App,
    caller::{May, Permission},
    codes,
    conditional::etag,
    json::Json,
    problem::Problem,
    routes::Tag,
};

/// The operations that export.
pub(crate) struct Exports;

#[OpenApi(tag = "Tag::Courses")]
impl Exports {
    /// Exports a finished course as one document.
    ///
    /// The same brief and seed give the same document, byte for byte.
    #[oai(
        path = "/v1/courses/:id/export",
        method = "get",
        operation_id = "export_course"
    )]
    async fn export_course(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ExportCourses as u8 }>,
        /// The id of the course.
        id: Path<Uuid>,
        /// The form of the document; Markdown unless told.
        format: Query<Option<Format>>,
    ) -> Result<Exported, Problem> {
        let mut conn = app.conn().await?;
        let course = courses::get(&mut conn, caller.owner, id.0.into()).await?;
        if matches!(course.status, Status::Writing | Status::Failed) {
            let detail = format!("The status of the course is `{}`.", course.status);
            return Err(Problem::new(&codes::COURSE_NOT_FINISHED, detail));
        }
        let modules = modules::list(&mut conn, course.id).await?;
        let lessons = lessons::list(&mut conn, course.id).await?;
        let document = export::document(&course, &modules, &lessons);
        let form = match format.0.unwrap_or(Format::Markdown) {
            Format::Markdown => Form::Markdown(PlainText(export::markdown(&document))),
            Format::Json => Form::Json(Json::new(Document(document))),
        };
        Ok(Exported::Ok(form, etag(course.version)))
    }
}

/// The form of an exported course.
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename_all = "snake_case", rename = "ExportFormat")]
enum Format {
    /// A text to read and to edit.
    Markdown,
    /// A document for programs.
    Json,
}

#[derive(ApiResponse)]
enum Exported {
    /// The course.
    #[oai(status = 200)]
    Ok(
        Form,
        /// The version of the course.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ResponseContent)]
enum Form {
    #[oai(content_type = "text/markdown; charset=utf-8")]
    Markdown(PlainText<String>),
    Json(Json<Document>),
}
