//! A file as clients see it.

use chrono::{DateTime, Utc};
use models::{
    FileId,
    file_types::FileType,
    file_variants::{Format, Variant},
    files::File,
};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::routes::tasks::view::path as task_path;

/// A file, and what was made of it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "File")]
pub(crate) struct FileView {
    /// A UUID of version 7: ids sort by the time they were made.
    id: Uuid,
    /// What its owner calls it; never a path.
    name: String,
    /// What it is, by its first bytes.
    #[schemars(with = "String")]
    media_type: FileType,
    /// How many bytes it has.
    size_bytes: i64,
    /// The SHA-256 of its bytes, in hexadecimal.
    sha256: String,
    /// What is known of a picture; null until its thumbnails were made, and of anything else.
    picture: Option<PictureView>,
    /// What was made of it, the smallest first.
    variants: Vec<VariantView>,
    /// When it came.
    created_at: DateTime<Utc>,
    /// Where to go from here.
    links: FileLinks,
}

/// What is known of a picture.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Picture")]
struct PictureView {
    /// Its width in pixels, turned as it is to be seen.
    width: i64,
    /// Its height.
    height: i64,
    /// A small stand-in until it is there: a thumbhash, in base64.
    thumbhash: String,
    /// The colour that it has most of, as `#rrggbb`.
    colour: String,
}

/// A picture in another size.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Variant")]
struct VariantView {
    /// Which size: a preset, or what was asked for.
    name: String,
    /// `webp` or `jpeg`.
    #[schemars(with = "String")]
    format: Format,
    /// Its width in pixels.
    width: i64,
    /// Its height.
    height: i64,
    /// How many bytes it has.
    size_bytes: i64,
    /// Where its bytes are.
    content: String,
}

/// Where to go from a file.
#[derive(Debug, Serialize, JsonSchema)]
struct FileLinks {
    /// The file.
    #[serde(rename = "self")]
    itself: String,
    /// Its bytes.
    content: String,
    /// The task that last made variants of it; null where there was none, or it is forgotten.
    task: Option<String>,
}

/// Where a file is found.
pub(crate) fn path(id: FileId) -> String {
    format!("/v1/files/{id}")
}

impl FileView {
    /// The view of a file, with those of these variants that are its own.
    pub(crate) fn of(file: File, variants: &[Variant]) -> Self {
        let path = path(file.id);
        let own = variants.iter().filter(|variant| variant.file_id == file.id);
        Self {
            id: file.id.into(),
            variants: own.map(|variant| VariantView::of(&path, variant)).collect(),
            links: FileLinks {
                content: format!("{path}/content"),
                task: file.task_id.map(task_path),
                itself: path,
            },
            picture: picture(&file),
            name: file.name,
            media_type: file.media_type,
            size_bytes: file.size_bytes,
            sha256: file.digest,
            created_at: file.created_at,
        }
    }
}

fn picture(file: &File) -> Option<PictureView> {
    Some(PictureView {
        width: file.width?,
        height: file.height?,
        thumbhash: file.thumbhash.clone()?,
        colour: file.colour.clone()?,
    })
}

impl VariantView {
    fn of(path: &str, variant: &Variant) -> Self {
        Self {
            name: variant.name.clone(),
            format: variant.format,
            width: variant.width,
            height: variant.height,
            size_bytes: variant.size_bytes,
            content: format!("{path}/variants/{}.{}", variant.name, variant.format),
        }
    }
}
