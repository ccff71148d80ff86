//! Uploads that go straight into a bucket, past this server.

use chrono::{DateTime, Utc};
use models::{
    Error, UploadId,
    files::{FILE_BYTES_MAX, clean_name},
    uploads::{self, Part, URL_LIFETIME, Upload, object},
};
use platform::storage::{self, Digest};
use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi, param::Path};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    arrival::Arriving,
    joining::finish,
    uploads::UploadView,
    view::{FileView, path},
};
use crate::{
    app::App,
    body::Body,
    caller::{May, Permission},
    codes,
    json::Json,
    problem::Problem,
    request::RequestContext,
    routes::Tag,
};

/// The operations on uploads that go straight into a bucket.
pub(crate) struct Presigned;

/// A file that will be put into the bucket.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewPresignedUpload")]
struct PresignedBody {
    /// What it is called.
    name: String,
    /// How many bytes it has, at most 4 GiB.
    #[schemars(range(min = 0, max = 4_294_967_296_i64))]
    size_bytes: i64,
    /// The SHA-256 that it must have, in hexadecimal.
    #[serde(default)]
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    sha256: Option<String>,
}

/// Where to put a file, and what to do then.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PresignedUpload")]
struct PresignedView {
    /// Where to `PUT` the bytes. Whoever has it may.
    url: String,
    /// Until when; what was begun by then may be completed for another hour.
    expires_at: DateTime<Utc>,
    /// Where to `POST` once they are there.
    complete: String,
}

#[OpenApi(tag = "Tag::Files")]
impl Presigned {
    /// Begins an upload that goes straight into the bucket.
    ///
    /// Only where files lie in one. `PUT` the bytes at `url`, then `POST` at `complete`. The URL is good
    /// for an hour, and so long the upload counts as one of its owner's, whatever becomes of it.
    #[oai(
        path = "/v1/uploads/presigned",
        method = "post",
        operation_id = "create_presigned_upload"
    )]
    async fn create_presigned_upload(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::WriteFiles as u8 }>,
        body: Body<PresignedBody>,
    ) -> Result<Begun, Problem> {
        let body = body.value;
        if !(0..=FILE_BYTES_MAX).contains(&body.size_bytes) {
            return Err(Problem::field(
                "/size_bytes",
                "invalid",
                "must be from 0 to 4294967296",
            ));
        }
        if body
            .sha256
            .as_ref()
            .is_some_and(|digest| digest.parse::<Digest>().is_err())
        {
            return Err(Problem::field("/sha256", "invalid", "must be a SHA-256"));
        }
        let storage = app.storage()?;
        if !storage.presigns() {
            let code = &codes::PRESIGNING_UNAVAILABLE;
            return Err(Problem::new(code, code.meaning));
        }
        let (id, now) = (UploadId::new(), app.db.now());
        let lifetime = URL_LIFETIME.to_std().unwrap_or_default();
        // Before anything is charged: it may fail.
        let url = storage.presign(&object(id), lifetime).await?;
        let (owner, size) = (caller.owner, body.size_bytes);
        let (name, digest) = (clean_name(&body.name), body.sha256.as_deref());
        let mut tx = app.begin().await?;
        uploads::create_presigned(&mut tx, id, owner, &name, size, digest, now).await?;
        tx.commit().await?;
        Ok(Begun::Ok(Json::new(PresignedView {
            url,
            expires_at: now + URL_LIFETIME,
            complete: format!("/v1/uploads/{id}/complete"),
        })))
    }

    /// Makes a file of what was put into the bucket; again answers the same file.
    ///
    /// Where that takes long, the answer is 202 with the upload: `GET` tells of the file later.
    #[oai(
        path = "/v1/uploads/:id/complete",
        method = "post",
        operation_id = "complete_upload"
    )]
    async fn complete_upload(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::WriteFiles as u8 }>,
        context: RequestContext,
        /// The id of the upload.
        id: Path<Uuid>,
    ) -> Result<Completed, Problem> {
        let mut conn = app.conn().await?;
        let mut upload = uploads::get(&mut conn, caller.owner, id.0.into(), app.db.now()).await?;
        drop(conn);
        if upload.finished_at.is_none() && upload.parts == 0 {
            upload = take(&app, upload).await?;
        }
        if upload.offset_bytes != upload.size_bytes {
            return Err(Error::Conflict("offset_mismatch").into());
        }
        if upload.finished_at.is_none() {
            let arriving = Arriving::new(&app, caller, context, Some(upload.id))?;
            upload = finish(upload, arriving).await?;
        }
        let file = match upload.file_id {
            Some(file) => file,
            None if upload.finished_at.is_some() => return Err(Error::NotFound("file").into()),
            None => return Ok(Completed::Later(Json::new(UploadView::of(upload)))),
        };
        let mut conn = app.conn().await?;
        let file = models::files::get(&mut conn, caller.owner, file).await?;
        let variants = models::file_variants::list(&mut conn, file.id).await?;
        let location = path(file.id);
        Ok(Completed::Ok(
            Json::new(FileView::of(file, &variants)),
            location,
        ))
    }
}

/// Takes what was put into the bucket as the only piece of an upload.
async fn take(app: &App, upload: Upload) -> Result<Upload, Problem> {
    let part = Part {
        offset_bytes: 0,
        size_bytes: upload.size_bytes,
        name: object(upload.id),
    };
    let size = match app.storage()?.part_size(&part.name).await {
        Ok(size) => i64::try_from(size).unwrap_or(i64::MAX),
        Err(storage::Error::NotFound) => -1,
        Err(error) => return Err(error.into()),
    };
    if size == upload.size_bytes && size == 0 {
        return Ok(upload);
    }
    let mut tx = app.begin().await?;
    let taken = if size == upload.size_bytes {
        uploads::append(&mut tx, upload.id, &part).await
    } else {
        Err(Error::Conflict("offset_mismatch"))
    };
    if let Ok(taken) = taken {
        tx.commit().await?;
        return Ok(taken);
    }
    // Another request may have been first.
    let found = uploads::get(&mut tx, upload.owner_id, upload.id, app.db.now()).await?;
    if found.parts > 0 {
        return Ok(found);
    }
    let detail = "The bucket does not have as many bytes as were announced.";
    Err(Problem::new(&codes::OFFSET_MISMATCH, detail))
}

#[derive(ApiResponse)]
enum Begun {
    /// Where to put the bytes.
    #[oai(status = 201)]
    Ok(Json<PresignedView>),
}

#[derive(ApiResponse)]
enum Completed {
    /// The file.
    #[oai(status = 200)]
    Ok(
        Json<FileView>,
        /// Where it is found.
        #[oai(header = "Location")]
        String,
    ),
    /// The upload, of which a file is being made.
    #[oai(status = 202)]
    Later(Json<UploadView>),
}
