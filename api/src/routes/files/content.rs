//! The bytes of a file and of its variants.
//!
//! They were brought by somebody, so a browser must never run them in our name: their type is told
//! by their first bytes, what could run is saved and not shown, and a policy takes the rest away.

use models::{
    FileId,
    file_types::FileType,
    file_variants::{self, Format, Variant, VariantName},
    files::{self, File},
};
use platform::storage::Digest;
use poem::{
    Body, FromRequest, IntoResponse, Request, RequestBody, Response,
    http::{HeaderMap, HeaderName, StatusCode, header},
    web::Data,
};
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
    registry::{
        MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
    },
};
use uuid::Uuid;

use super::{
    disposition::disposition,
    range::{Asked, asked},
};
use crate::{
    app::App,
    caller::{May, Permission, Public},
    codes,
    conditional::is_known_tag,
    problem::Problem,
    request::text,
    routes::Tag,
};

/// The same bytes for ever: another content is another file.
const FOR_EVER: &str = "private, max-age=31536000, immutable";
/// What a browser may do with the bytes when somebody opens them as a page: nothing.
const POLICY: &str = "default-src 'none'; sandbox";

/// The operations that answer with bytes.
pub(crate) struct Contents;

#[OpenApi(tag = "Tag::Files")]
impl Contents {
    /// Reads the bytes of a file, or a part of them.
    ///
    /// `Range`, `If-Range` and `If-None-Match` are understood. The bytes behind an id never change.
    #[oai(
        path = "/v1/files/:id/content",
        method = "get",
        operation_id = "get_file_content"
    )]
    async fn get_file_content(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ReadFiles as u8 }>,
        /// The id of the file.
        id: Path<Uuid>,
        asking: Asking,
    ) -> Result<Content, Problem> {
        let mut conn = app.conn().await?;
        let file = files::get(&mut conn, caller.owner, id.0.into()).await?;
        drop(conn);
        Bytes::of(&file)?.answer(&app, &asking, FOR_EVER).await
    }

    /// Reads the bytes of a variant: `card.webp`, for example.
    #[oai(
        path = "/v1/files/:id/variants/:name",
        method = "get",
        operation_id = "get_file_variant"
    )]
    async fn get_file_variant(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ReadFiles as u8 }>,
        /// The id of the file.
        id: Path<Uuid>,
        /// The name of the size and the format: `card.webp`.
        name: Path<String>,
        asking: Asking,
    ) -> Result<Content, Problem> {
        let mut conn = app.conn().await?;
        let file = files::get(&mut conn, caller.owner, id.0.into()).await?;
        let variant = variant(&mut conn, file.id, &name).await?;
        drop(conn);
        // Asked for in other sizes, a variant may be made anew.
        let caching = "private, no-cache";
        Bytes::of_variant(&file, &variant)?
            .answer(&app, &asking, caching)
            .await
    }

    /// Reads the bytes behind a signed link, whoever has it.
    #[oai(
        path = "/v1/files/:id/signed",
        method = "get",
        operation_id = "get_signed_file"
    )]
    #[expect(
        clippy::too_many_arguments,
        reason = "each part of the link is a parameter"
    )]
    async fn get_signed_file(
        &self,
        app: Data<&App>,
        _public: Public,
        /// The id of the file.
        id: Path<Uuid>,
        /// Until when the link is good, in seconds since 1970.
        expires: Query<i64>,
        /// What proves that we made the link.
        signature: Query<String>,
        /// A variant rather than the file: `card.webp`.
        variant: Query<Option<String>>,
        asking: Asking,
    ) -> Result<Content, Problem> {
        let (id, wanted) = (FileId::from(id.0), variant.0.as_deref());
        app.verify(id, wanted, expires.0, &signature).await?;
        let mut conn = app.conn().await?;
        let file = files::get_any(&mut conn, id).await?;
        let bytes = match wanted {
            None => Bytes::of(&file)?,
            Some(name) => Bytes::of_variant(&file, &self::variant(&mut conn, id, name).await?)?,
        };
        drop(conn);
        let left = (expires.0 - app.db.now().timestamp()).max(0);
        bytes
            .answer(&app, &asking, &format!("private, max-age={left}"))
            .await
    }
}

async fn variant(conn: &mut models::Conn, file: FileId, name: &str) -> Result<Variant, Problem> {
    let found = file_variants::find(conn, file, &name.parse::<VariantName>()?).await?;
    Ok(found.ok_or(models::Error::NotFound("variant"))?)
}

/// Bytes to be answered.
struct Bytes {
    digest: Digest,
    size: u64,
    media_type: &'static str,
    shown: bool,
    name: String,
}

impl Bytes {
    fn of(file: &File) -> Result<Self, Problem> {
        Ok(Self {
            digest: digest(&file.digest)?,
            size: file.size_bytes.unsigned_abs(),
            media_type: match file.media_type {
                FileType::Text => "text/plain; charset=utf-8",
                other => other.as_str(),
            },
            shown: file.media_type.is_shown(),
            name: file.name.clone(),
        })
    }

    fn of_variant(file: &File, variant: &Variant) -> Result<Self, Problem> {
        let (media_type, ending) = match variant.format {
            Format::Webp => ("image/webp", "webp"),
            Format::Jpeg => ("image/jpeg", "jpg"),
        };
        let stem = file
            .name
            .rsplit_once('.')
            .map_or(&*file.name, |(stem, _)| stem);
        Ok(Self {
            digest: digest(&variant.digest)?,
            size: variant.size_bytes.unsigned_abs(),
            media_type,
            shown: true,
            name: format!("{stem}-{}.{ending}", variant.name),
        })
    }

    async fn answer(self, app: &App, asking: &Asking, caching: &str) -> Result<Content, Problem> {
        let tag = format!("\"{}\"", self.digest);
        let response = Response::builder()
            .header(header::ETAG, &tag)
            .header(header::CACHE_CONTROL, caching);
        if is_known_tag(asking.if_none_match.as_deref(), &tag) {
            return Ok(Content(response.status(StatusCode::NOT_MODIFIED).finish()));
        }
        let fits = asking.if_range.as_ref().is_none_or(|range| *range == tag);
        let range = asking.range.as_deref().filter(|_| fits);
        let (status, part) = match asked(range, self.size) {
            Asked::Whole => (StatusCode::OK, None),
            Asked::Part(part) => (StatusCode::PARTIAL_CONTENT, Some(part)),
            Asked::Beyond => {
                let detail = format!("It has {} bytes.", self.size);
                return Err(Problem::new(&codes::RANGE_NOT_SATISFIABLE, detail));
            }
        };
        let mut response = response
            .status(status)
            .header(header::ACCEPT_RANGES, "bytes")
            .header(header::CONTENT_SECURITY_POLICY, POLICY)
            .header(
                header::CONTENT_DISPOSITION,
                disposition(self.shown, &self.name),
            );
        let mut length = self.size;
        if let Some(part) = &part {
            let (first, last) = (part.start, part.end - 1);
            let value = format!("bytes {first}-{last}/{}", self.size);
            response = response.header(header::CONTENT_RANGE, value);
            length = part.end - part.start;
        }
        let bytes = app.storage()?.read(self.digest, self.size, part).await?;
        let body = Body::from_bytes_stream(futures_util::TryStreamExt::map_err(
            bytes,
            std::io::Error::other,
        ));
        let mut response = response.content_type(self.media_type).body(body);
        // A client must see that a body which breaks off is not whole.
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, length.into());
        Ok(Content(response))
    }
}

fn digest(text: &str) -> Result<Digest, Problem> {
    let digest = text.parse();
    digest.map_err(|_| Problem::internal("a digest in the database is none"))
}

/// What a request says about the bytes that it wants.
struct Asking {
    range: Option<String>,
    if_range: Option<String>,
    if_none_match: Option<String>,
}

impl Asking {
    fn new(headers: &HeaderMap) -> Self {
        let owned = |name: HeaderName| text(headers, name.as_str()).map(str::to_owned);
        Self {
            range: owned(header::RANGE),
            if_range: owned(header::IF_RANGE),
            if_none_match: owned(header::IF_NONE_MATCH),
        }
    }
}

impl<'a> FromRequest<'a> for Asking {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self::new(request.headers()))
    }
}

/// An answer whose media type is that of the bytes.
struct Content(Response);

impl IntoResponse for Content {
    fn into_response(self) -> Response {
        self.0
    }
}

impl ApiResponse for Content {
    fn meta() -> MetaResponses {
        let response = |status, description, headers: &[&str]| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content: if status == StatusCode::NOT_MODIFIED.as_u16() {
                Vec::new()
            } else {
                vec![MetaMediaType {
                    content_type: "*/*",
                    schema: MetaSchemaRef::Inline(Box::new(MetaSchema {
                        format: Some("binary"),
                        ..MetaSchema::new("string")
                    })),
                }]
            },
            headers: headers.iter().copied().map(described).collect(),
        };
        let usual = [
            "ETag",
            "Cache-Control",
            "Content-Disposition",
            "Accept-Ranges",
        ];
        let part = [&usual[..], &["Content-Range"]].concat();
        MetaResponses {
            responses: vec![
                response(200, "The bytes.", &usual),
                response(206, "The part of the bytes that `Range` asks for.", &part),
                response(304, "The client has the bytes already.", &usual[..2]),
            ],
        }
    }

    fn register(_registry: &mut Registry) {}
}

fn described(name: &str) -> MetaHeader {
    MetaHeader {
        name: name.to_owned(),
        description: None,
        required: true,
        deprecated: false,
        schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))),
    }
}
