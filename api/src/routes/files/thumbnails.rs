//! Thumbnails in other sizes than the usual ones.

use jobs::{Priority, kinds::ThumbnailImage, store::Options};
use models::{
    file_variants::{self, Format},
    files,
    sizes::{Fit, Named, Preset, SIDE_MAX, SIZES_MAX, Size},
};
use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Header, Path},
};
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use crate::{
    app::App,
    body::Body,
    caller::{Caller, May, Permission},
    codes,
    idempotency::{Attempt, Replay},
    problem::Problem,
    request::{RequestContext, wait},
    routes::{Tag, tasks::answer::Submitted},
};

/// The operations on thumbnails.
pub(crate) struct Thumbnails;

/// Which sizes to make: 1 to 8 in all, each in every format.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewThumbnails")]
struct ThumbnailsBody {
    /// Sizes with a name.
    #[serde(default)]
    presets: Vec<PresetName>,
    /// Sizes of one's own, found as `640x480.webp` or `640x480-cover.webp`.
    #[serde(default)]
    sizes: Vec<SizeBody>,
}

/// A size with a name.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ThumbnailPreset")]
enum PresetName {
    /// 96 x 96 pixels, filled.
    Avatar,
    /// 320 pixels wide or high.
    Card,
    /// 1,080 pixels wide or high.
    Cover,
}

/// A box that the picture is put into. It is never made larger than it is.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ThumbnailSize")]
struct SizeBody {
    /// The width of the box, in pixels.
    #[schemars(range(min = 1, max = 2_048))]
    width: u32,
    /// Its height.
    #[schemars(range(min = 1, max = 2_048))]
    height: u32,
    /// `inside`, unless told: all of the picture is there. `cover`: it fills the box.
    #[serde(default)]
    fit: FitName,
}

/// How a picture is put into a box.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ThumbnailFit")]
enum FitName {
    /// All of it is there; one side may be shorter than the box.
    #[default]
    Inside,
    /// It fills the box; what sticks out is cut off evenly.
    Cover,
}

#[OpenApi(tag = "Tag::Files")]
impl Thumbnails {
    /// Makes thumbnails of a picture.
    ///
    /// The answer is the task that makes them, whose `links.subject` is the file.
    #[oai(
        path = "/v1/files/:id/thumbnails",
        method = "post",
        operation_id = "create_thumbnails"
    )]
    #[expect(clippy::too_many_arguments, reason = "each header is a parameter")]
    async fn create_thumbnails(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::WriteFiles as u8 }>,
        context: RequestContext,
        /// The id of the file.
        id: Path<Uuid>,
        /// Repeating a request with its key does nothing twice.
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<String>>,
        /// `wait=SECONDS`, at most 60.
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        body: Body<ThumbnailsBody>,
    ) -> Result<Submitted, Problem> {
        let route = format!("create_thumbnails {}", id.0);
        let attempt = Attempt::new(caller, &route, key.as_deref(), &body.fingerprint)?;
        let sizes = body.value.sizes()?;
        let (mut tx, now) = (app.begin().await?, app.db.now());
        let file = files::get(&mut tx, caller.owner, id.0.into()).await?;
        if !file.media_type.is_picture() {
            let detail = format!("It is {}.", file.media_type);
            return Err(Problem::new(&codes::NOT_A_PICTURE, detail));
        }
        if let Some(replay) = attempt.claim(&mut tx, now).await? {
            drop(tx);
            return Submitted::again(&app, caller, replay, wait(prefer.as_deref())).await;
        }
        let there = file_variants::list(&mut tx, file.id).await?;
        file_variants::check(&there, variants(&sizes))?;
        let options = options(caller, context);
        let task = ThumbnailImage::submit(&mut tx, file.id, sizes, options, now).await?;
        attempt.answer(&mut tx, &Replay::Task(task.id)).await?;
        tx.commit().await?;
        Submitted::first(&app, caller, task, wait(prefer.as_deref())).await
    }
}

impl ThumbnailsBody {
    fn sizes(&self) -> Result<Vec<Named>, Problem> {
        let presets = self
            .presets
            .iter()
            .map(|preset| Preset::from(*preset).named());
        let mut sizes: Vec<Named> = presets.collect();
        for (index, size) in self.sizes.iter().enumerate() {
            let size = Size::from(*size);
            if size.check().is_err() {
                let reason = format!("must have sides from 1 to {SIDE_MAX}");
                return Err(Problem::field(
                    &format!("/sizes/{index}"),
                    "invalid",
                    reason,
                ));
            }
            sizes.push(size.named());
        }
        sizes.sort_by(|one, other| one.name.cmp(&other.name));
        sizes.dedup();
        if !(1..=SIZES_MAX).contains(&sizes.len()) {
            let reason = format!("must ask for 1 to {SIZES_MAX} presets and sizes");
            return Err(Problem::field("", "invalid", reason));
        }
        Ok(sizes)
    }
}

impl From<PresetName> for Preset {
    fn from(name: PresetName) -> Self {
        match name {
            PresetName::Avatar => Self::Avatar,
            PresetName::Card => Self::Card,
            PresetName::Cover => Self::Cover,
        }
    }
}

impl From<SizeBody> for Size {
    fn from(body: SizeBody) -> Self {
        Self {
            width: body.width,
            height: body.height,
            fit: match body.fit {
                FitName::Inside => Fit::Inside,
                FitName::Cover => Fit::Cover,
            },
        }
    }
}

/// What is made of these sizes.
fn variants(sizes: &[Named]) -> impl Iterator<Item = (&str, Format)> {
    let formats = Format::ALL.iter().copied();
    sizes
        .iter()
        .flat_map(move |size| formats.clone().map(|format| (&*size.name, format)))
}

/// Somebody waits for the pictures, so they go before work in bulk.
fn options(caller: Caller, context: RequestContext) -> Options {
    Options {
        priority: Priority::Interactive,
        request_id: Some(context.request_id),
        trace_id: context.trace_id,
        ..Options::by(caller.owner)
    }
}
