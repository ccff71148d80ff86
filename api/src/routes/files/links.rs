//! Signed links: for `<img>` tags and others who cannot say who they are.

use chrono::{DateTime, TimeDelta, Utc};
use models::{
    file_variants::{self, VariantName},
    files,
};
use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi, param::Path};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::view::path;
use crate::{
    app::App,
    body::Body,
    caller::Caller,
    json::Json,
    limits::{LINK_SECONDS, LINK_SECONDS_MAX},
    problem::Problem,
    routes::Tag,
};

/// The operations on links.
pub(crate) struct Links;

/// What a link is for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewFileLink")]
struct LinkBody {
    /// A variant rather than the file: `card.webp`.
    #[serde(default)]
    variant: Option<String>,
    /// How long it is good, in seconds: 1 to 86,400; 900 unless told.
    #[serde(default)]
    #[schemars(range(min = 1, max = 86_400))]
    seconds: Option<u32>,
}

/// A link that needs nothing else to be followed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FileLink")]
struct LinkView {
    /// Where the bytes are, relative to this API.
    url: String,
    /// Until when.
    expires_at: DateTime<Utc>,
}

#[OpenApi(tag = "Tag::Files")]
impl Links {
    /// Makes a link by which whoever has it reads the bytes of a file for a while.
    ///
    /// Nothing is stored, so a link cannot be called back; deleting the file ends them all.
    #[oai(
        path = "/v1/files/:id/links",
        method = "post",
        operation_id = "create_file_link"
    )]
    async fn create_file_link(
        &self,
        app: Data<&App>,
        caller: Caller,
        /// The id of the file.
        id: Path<Uuid>,
        body: Body<LinkBody>,
    ) -> Result<Made, Problem> {
        let LinkBody { variant, seconds } = body.value;
        let seconds = seconds.unwrap_or(LINK_SECONDS);
        if !(1..=LINK_SECONDS_MAX).contains(&seconds) {
            return Err(Problem::field(
                "/seconds",
                "invalid",
                "must be from 1 to 86400",
            ));
        }
        let mut conn = app.conn().await?;
        let file = files::get(&mut conn, caller.owner, id.0.into()).await?;
        if let Some(name) = &variant {
            let found =
                file_variants::find(&mut conn, file.id, &name.parse::<VariantName>()?).await?;
            found.ok_or(models::Error::NotFound("variant"))?;
        }
        drop(conn);
        let until = app.db.now() + TimeDelta::seconds(seconds.into());
        let expires = until.timestamp();
        let signature = app.sign(file.id, variant.as_deref(), expires).await?;
        // What was found has no character that a query has to escape.
        let variant = variant
            .map(|name| format!("&variant={name}"))
            .unwrap_or_default();
        let path = path(file.id);
        Ok(Made::Ok(Json::new(LinkView {
            url: format!("{path}/signed?expires={expires}&signature={signature}{variant}"),
            expires_at: DateTime::from_timestamp(expires, 0).unwrap_or(until),
        })))
    }
}

#[derive(ApiResponse)]
enum Made {
    /// The link.
    #[oai(status = 200)]
    Ok(Json<LinkView>),
}
