//! Uploads that go on after a break (tus 1.0.0).
//!
//! Every few megabytes a piece is in the storage and in the row, so a client whose connection, or
//! whose server, broke asks how far it is and goes on from there. The last piece makes the file.

use bytes::{Bytes, BytesMut};
use models::{
    Error,
    uploads::{self, Part, Upload},
};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Header, Path},
};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::{
    arrival::{Arriving, remove},
    joining::{finish, forget},
    tus::{self, EXTENSIONS, Metadata, Piece, VERSION},
    view::path as file_path,
};
use crate::{
    app::App,
    caller::{May, Permission, Public},
    codes,
    json::Json,
    limits::UPLOAD_PIECE_BYTES,
    problem::Problem,
    request::RequestContext,
    routes::Tag,
};

/// The operations on uploads.
pub(crate) struct Uploads;

/// A file that comes piece by piece.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Upload")]
pub(crate) struct UploadView {
    /// A UUID of version 7.
    id: Uuid,
    /// What the file will be called.
    name: String,
    /// How large it will be.
    size_bytes: i64,
    /// How much of it has arrived.
    offset_bytes: i64,
    /// The file; null until all of it has arrived, and was made a file of.
    file: Option<String>,
    /// When it is forgotten.
    expires_at: chrono::DateTime<chrono::Utc>,
}

impl UploadView {
    pub(crate) fn of(upload: Upload) -> Self {
        Self {
            id: upload.id.into(),
            name: upload.name,
            size_bytes: upload.size_bytes,
            offset_bytes: upload.offset_bytes,
            file: upload.file_id.map(file_path),
            expires_at: upload.expires_at,
        }
    }
}

#[OpenApi(tag = "Tag::Files")]
impl Uploads {
    /// Tells what of tus is spoken here.
    #[oai(
        path = "/v1/uploads",
        method = "options",
        operation_id = "describe_uploads"
    )]
    #[expect(
        clippy::unused_async,
        reason = "the framework calls it as an operation"
    )]
    async fn describe_uploads(&self, _public: Public) -> Described {
        let max = models::files::FILE_BYTES_MAX;
        Described::Spoken(VERSION.into(), VERSION.into(), EXTENSIONS.into(), max)
    }

    /// Begins an upload (tus: creation).
    ///
    /// `Location` is where the pieces go. It lasts for a day. A file without bytes is made at once.
    #[oai(path = "/v1/uploads", method = "post", operation_id = "create_upload")]
    async fn create_upload(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::WriteFiles as u8 }>,
        context: RequestContext,
        /// `1.0.0`.
        #[oai(name = "Tus-Resumable")]
        version: Header<Option<String>>,
        /// How many bytes the file has, at most 4 GiB.
        #[oai(name = "Upload-Length")]
        length: Header<Option<String>>,
        /// `filename` and `sha256`, each followed by its value in base64.
        #[oai(name = "Upload-Metadata")]
        metadata: Header<Option<String>>,
    ) -> Result<Begun, Problem> {
        tus::check(version.as_deref())?;
        let length = tus::length(length.as_deref())?;
        let metadata = Metadata::parse(metadata.as_deref())?;
        app.storage()?;
        let digest = metadata.digest.map(|digest| digest.to_string());
        let (mut tx, now) = (app.begin().await?, app.db.now());
        let (owner, name) = (caller.owner, &metadata.name);
        let upload = uploads::create(&mut tx, owner, name, length, digest.as_deref(), now).await?;
        tx.commit().await?;
        let (location, expires) = (format!("/v1/uploads/{}", upload.id), expires(&upload));
        if length == 0 {
            // No piece will come.
            let arriving = Arriving::new(&app, caller, context, Some(upload.id))?;
            finish(upload, arriving).await?;
        }
        Ok(Begun::Ok(location, VERSION.into(), expires))
    }

    /// Tells how much of an upload has arrived; `HEAD` does for tus.
    #[oai(path = "/v1/uploads/:id", method = "get", operation_id = "get_upload")]
    async fn get_upload(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::WriteFiles as u8 }>,
        /// The id of the upload.
        id: Path<Uuid>,
    ) -> Result<Found, Problem> {
        let mut conn = app.conn().await?;
        let upload = uploads::get(&mut conn, caller.owner, id.0.into(), app.db.now()).await?;
        let (offset, length) = (upload.offset_bytes, upload.size_bytes);
        Ok(Found::Ok(
            Json::new(UploadView::of(upload)),
            offset,
            length,
            VERSION.into(),
            "no-store".into(),
        ))
    }

    /// Adds a piece to an upload.
    ///
    /// What has arrived when the connection breaks is kept. The piece that completes the file has it
    /// made: `Content-Location` tells where it is, or, if that takes longer, `GET` later. Should it
    /// break off, an empty piece at the end tries again.
    #[oai(
        path = "/v1/uploads/:id",
        method = "patch",
        operation_id = "append_upload"
    )]
    #[expect(clippy::too_many_arguments, reason = "each header is a parameter")]
    async fn append_upload(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::WriteFiles as u8 }>,
        context: RequestContext,
        /// The id of the upload.
        id: Path<Uuid>,
        /// `1.0.0`.
        #[oai(name = "Tus-Resumable")]
        version: Header<Option<String>>,
        /// Where the piece begins: how much has arrived.
        #[oai(name = "Upload-Offset")]
        offset: Header<Option<String>>,
        body: Piece,
    ) -> Result<Appended, Problem> {
        tus::check(version.as_deref())?;
        let offset = tus::offset(offset.as_deref())?;
        let mut conn = app.conn().await?;
        let upload = uploads::get(&mut conn, caller.owner, id.0.into(), app.db.now()).await?;
        drop(conn);
        if upload.offset_bytes != offset {
            return Err(Error::Conflict("offset_mismatch").into());
        }
        let arriving = Arriving::new(&app, caller, context, Some(upload.id))?;
        let mut upload = Appending { app: &app, upload }.receive(body).await?;
        if upload.offset_bytes == upload.size_bytes && upload.finished_at.is_none() {
            upload = finish(upload, arriving).await?;
        }
        let (offset, expires) = (upload.offset_bytes, expires(&upload));
        let file = upload.file_id.map(file_path);
        Ok(Appended::Ok(offset, VERSION.into(), expires, file))
    }

    /// Ends an upload and forgets what has arrived; a file that was made of it stays.
    #[oai(
        path = "/v1/uploads/:id",
        method = "delete",
        operation_id = "delete_upload"
    )]
    async fn delete_upload(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::WriteFiles as u8 }>,
        /// The id of the upload.
        id: Path<Uuid>,
    ) -> Result<Deleted, Problem> {
        forget(&app, caller, id.0.into()).await?;
        Ok(Deleted::Done(VERSION.into()))
    }
}

/// An upload that a piece is being added to.
struct Appending<'a> {
    app: &'a App,
    upload: Upload,
}

impl Appending<'_> {
    /// Reads a piece to its end, or to where it breaks; what came until then is kept either way.
    async fn receive(mut self, mut piece: Piece) -> Result<Upload, Problem> {
        let mut gathered = BytesMut::new();
        let ended = loop {
            match piece.next(self.app).await {
                Ok(Some(bytes)) => gathered.extend_from_slice(&bytes),
                Ok(None) => break Ok(()),
                Err(problem) => break Err(problem),
            }
            if gathered.len() >= UPLOAD_PIECE_BYTES {
                self.append(gathered.split().freeze()).await?;
            }
        };
        if !gathered.is_empty() {
            self.append(gathered.freeze()).await?;
        }
        ended.map(|()| self.upload)
    }

    async fn append(&mut self, bytes: Bytes) -> Result<(), Problem> {
        let (app, storage) = (self.app, self.app.storage()?);
        let size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        if self.upload.offset_bytes + size > self.upload.size_bytes {
            let detail = "The upload has fewer bytes than the piece would give it.";
            return Err(Problem::new(&codes::OFFSET_MISMATCH, detail));
        }
        let part = Part {
            offset_bytes: self.upload.offset_bytes,
            size_bytes: size,
            name: storage.put_part(bytes).await?,
        };
        let mut tx = app.begin().await?;
        match uploads::append(&mut tx, self.upload.id, &part).await {
            Ok(upload) => {
                tx.commit().await?;
                self.upload = upload;
                Ok(())
            }
            Err(error) => {
                drop(tx);
                remove(storage, vec![part.name]).await;
                Err(error.into())
            }
        }
    }
}

/// When an upload is forgotten, as HTTP writes dates.
fn expires(upload: &Upload) -> String {
    let format = "%a, %d %b %Y %H:%M:%S GMT";
    upload.expires_at.format(format).to_string()
}

#[derive(ApiResponse)]
enum Described {
    /// What is spoken here.
    #[oai(status = 204)]
    Spoken(
        /// The version that is spoken.
        #[oai(header = "Tus-Resumable")]
        String,
        /// The versions that are spoken.
        #[oai(header = "Tus-Version")]
        String,
        /// What is spoken beyond the core.
        #[oai(header = "Tus-Extension")]
        String,
        /// The largest file, in bytes.
        #[oai(header = "Tus-Max-Size")]
        i64,
    ),
}

#[derive(ApiResponse)]
enum Begun {
    /// The upload has begun.
    #[oai(status = 201)]
    Ok(
        /// Where the pieces go.
        #[oai(header = "Location")]
        String,
        /// The version that is spoken.
        #[oai(header = "Tus-Resumable")]
        String,
        /// When it is forgotten.
        #[oai(header = "Upload-Expires")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Found {
    /// The upload as it is now.
    #[oai(status = 200)]
    Ok(
        Json<UploadView>,
        /// How much has arrived.
        #[oai(header = "Upload-Offset")]
        i64,
        /// How large the file will be.
        #[oai(header = "Upload-Length")]
        i64,
        /// The version that is spoken.
        #[oai(header = "Tus-Resumable")]
        String,
        /// It changes with every piece.
        #[oai(header = "Cache-Control")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Appended {
    /// The piece has arrived.
    #[oai(status = 204)]
    Ok(
        /// How much has arrived now.
        #[oai(header = "Upload-Offset")]
        i64,
        /// The version that is spoken.
        #[oai(header = "Tus-Resumable")]
        String,
        /// When it is forgotten.
        #[oai(header = "Upload-Expires")]
        String,
        /// The file, if it was made by now.
        #[oai(header = "Content-Location")]
        Option<String>,
    ),
}

#[derive(ApiResponse)]
enum Deleted {
    /// It is gone.
    #[oai(status = 204)]
    Done(
        /// The version that is spoken.
        #[oai(header = "Tus-Resumable")]
        String,
    ),
}
