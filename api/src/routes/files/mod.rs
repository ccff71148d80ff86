//! Files: bring them, read them, list them, delete them.

pub(crate) mod arrival;
pub(crate) mod content;
pub(crate) mod disposition;
pub(crate) mod joining;
pub(crate) mod links;
pub(crate) mod multipart;
pub(crate) mod presigned;
pub(crate) mod range;
pub(crate) mod thumbnails;
pub(crate) mod tus;
pub(crate) mod uploads;
pub(crate) mod view;

use models::{file_variants, files};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Header, Path, Query},
};
use uuid::Uuid;

use self::{
    arrival::Arriving,
    multipart::Multipart,
    view::{FileView, path},
};
use super::Tag;
use crate::{
    app::App,
    caller::{May, Permission},
    json::Json,
    page::{self, PageView},
    problem::Problem,
    request::RequestContext,
};

/// The operations on files.
pub(crate) struct Files;

#[OpenApi(tag = "Tag::Files")]
impl Files {
    /// Stores a file.
    ///
    /// The body is `multipart/form-data` with one part named `file`, of at most 4 GiB. What the file
    /// is, is told by its first bytes. Of a
    /// picture, the usual thumbnails are made by themselves: `links.task` is the task that does it.
    /// For large files on bad lines see `/v1/uploads`.
    #[oai(path = "/v1/files", method = "post", operation_id = "create_file")]
    async fn create_file(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::WriteFiles as u8 }>,
        context: RequestContext,
        /// Repeating a request with its key stores nothing twice.
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<String>>,
        body: Multipart,
    ) -> Result<Created, Problem> {
        let arriving = Arriving::new(&app, caller, context, None)?;
        let (name, arrived) = body.receive(&app, caller).await?;
        let stored = arriving.store(name, arrived, key.as_deref()).await?;
        let location = path(stored.file.id);
        let mut conn = app.conn().await?;
        let variants = file_variants::list(&mut conn, stored.file.id).await?;
        let view = Json::new(FileView::of(stored.file, &variants));
        let replayed = stored.replayed.then(|| "true".to_owned());
        Ok(Created::Ok(view, location, replayed))
    }

    /// Lists the caller's files, newest first.
    #[oai(path = "/v1/files", method = "get", operation_id = "list_files")]
    async fn list_files(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ReadFiles as u8 }>,
        /// Where to go on: `next` of the page before.
        #[oai(validator(pattern = "^0[0-9a-f]{47}$"))]
        cursor: Query<Option<String>>,
        /// How many, at most 100; 20 unless told.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<u32>>,
    ) -> Result<Listed, Problem> {
        let (cursor, limit) = page::bounds(cursor.as_deref(), limit.0)?;
        let mut conn = app.conn().await?;
        let page = files::list(&mut conn, caller.owner, cursor, limit).await?;
        let ids: Vec<_> = page.items.iter().map(|file| file.id).collect();
        let variants = file_variants::list_of(&mut conn, &ids).await?;
        let view = PageView::of(page, |file| FileView::of(file, &variants));
        Ok(Listed::Ok(Json::new(view)))
    }

    /// Reads what is known of a file.
    #[oai(path = "/v1/files/:id", method = "get", operation_id = "get_file")]
    async fn get_file(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ReadFiles as u8 }>,
        /// The id of the file.
        id: Path<Uuid>,
    ) -> Result<Found, Problem> {
        let mut conn = app.conn().await?;
        let file = files::get(&mut conn, caller.owner, id.0.into()).await?;
        let variants = file_variants::list(&mut conn, file.id).await?;
        Ok(Found::Ok(Json::new(FileView::of(file, &variants))))
    }

    /// Deletes a file with everything that was made of it.
    #[oai(
        path = "/v1/files/:id",
        method = "delete",
        operation_id = "delete_file"
    )]
    async fn delete_file(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::DeleteFiles as u8 }>,
        /// The id of the file.
        id: Path<Uuid>,
    ) -> Result<Deleted, Problem> {
        let (mut tx, now) = (app.begin().await?, app.db.now());
        files::delete(&mut tx, caller.owner, id.0.into(), now).await?;
        tx.commit().await?;
        Ok(Deleted::Done)
    }
}

#[derive(ApiResponse)]
enum Created {
    /// The file is stored.
    #[oai(status = 201)]
    Ok(
        Json<FileView>,
        /// Where it is found.
        #[oai(header = "Location")]
        String,
        /// `true` when an earlier request with the same key had stored it.
        #[oai(header = "Idempotent-Replayed")]
        Option<String>,
    ),
}

#[derive(ApiResponse)]
enum Listed {
    /// A page of files.
    #[oai(status = 200)]
    Ok(Json<PageView<FileView>>),
}

#[derive(ApiResponse)]
enum Found {
    /// What is known of the file.
    #[oai(status = 200)]
    Ok(Json<FileView>),
}

#[derive(ApiResponse)]
enum Deleted {
    /// It is gone.
    #[oai(status = 204)]
    Done,
}
