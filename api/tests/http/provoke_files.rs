//! The problems of files and uploads.

use api::{Files, Seats};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use models::{
    OwnerId, blobs, file_usage,
    file_variants::{self, Format, VARIANTS_MAX, Variant},
    sql,
    testing::TestResult,
    uploads::{self, PARTS_MAX, UPLOADS_MAX},
};
use platform::storage::{Digest, Storage};
use poem::{Body, Route, http::Method};

use crate::{
    files::{Stored, bring, form},
    harness::{Answer, Api},
};

const TUS: (&str, &str) = ("tus-resumable", "1.0.0");
const PIECE: (&str, &str) = ("content-type", "application/offset+octet-stream");

pub(crate) async fn provoke_by_files(
    api: &Api,
    code: &str,
    id: (&str, &str),
) -> TestResult<Answer> {
    let stored = Stored::over(api.app.clone())?;
    let text = form("a.txt", "text");
    match code {
        "storage_full" => {
            let mut app = api.app.clone();
            app.files = Files::new(Storage::full());
            bring(&Api::with(app, Route::new()), &text, &[id]).await
        }
        "not_a_picture" => {
            let made = bring(&stored.api, &text, &[]).await?;
            let path = format!("{}/thumbnails", made.header("location"));
            let body = serde_json::json!({"presets": ["card"]});
            stored.api.post_with(&path, &body, &[id]).await
        }
        "storage_unavailable" => bring(api, &text, &[id]).await,
        "range_not_satisfiable" => {
            let made = bring(&stored.api, &text, &[]).await?;
            let headers = [id, ("range", "bytes=4-")];
            stored
                .api
                .get_with(&made.word("/links/content"), &headers)
                .await
        }
        "quota_exceeded" => {
            charge(api, true).await?;
            let refused = bring(&stored.api, &text, &[id]).await;
            charge(api, false).await?;
            refused
        }
        "tus_version_not_supported" => {
            stored
                .api
                .send(Method::POST, "/v1/uploads", &[id], Body::empty())
                .await
        }
        "presigning_unavailable" => {
            let body = serde_json::json!({"name": "a.txt", "size_bytes": 4});
            stored
                .api
                .post_with("/v1/uploads/presigned", &body, &[id])
                .await
        }
        "file_too_large" => begin(&stored.api, "4294967297", "", id).await,
        _ => provoke_by_arrivals(&stored, code, id).await,
    }
}

/// The problems of what is there already, or arrives at the same time.
async fn provoke_by_arrivals(stored: &Stored, code: &str, id: (&str, &str)) -> TestResult<Answer> {
    let (api, db) = (&stored.api, &stored.api.app.db);
    let text = form("a.txt", "doomed");
    match code {
        "too_many_arriving" | "server_busy" => {
            let mut app = api.app.clone();
            let most = usize::from(code == "server_busy");
            app.arrivals = Seats::new(most, 0);
            bring(&Api::with(app, Route::new()), &text, &[id]).await
        }
        "bytes_being_deleted" => {
            let (mut tx, now) = (db.begin().await?, db.now());
            let digest = Digest::of(b"doomed").to_string();
            blobs::reserve(&mut tx, &digest, 6, now).await?;
            sql!(
                tx,
                execute,
                "update blobs set doomed_at = $2 where digest = $1",
                &digest,
                now
            )?;
            tx.commit().await?;
            bring(api, &text, &[id]).await
        }
        "too_many_variants" => {
            let made = bring(api, &form("a.gif", "GIF89a..."), &[]).await?;
            let file = made.word("/id").parse()?;
            let variants = (0..VARIANTS_MAX).map(|n| Variant {
                file_id: file,
                name: format!("{n}x1"),
                format: Format::Webp,
                width: n,
                height: 1,
                digest: made.word("/sha256"),
                size_bytes: 9,
                created_at: db.now(),
            });
            let variants: Vec<Variant> = variants.collect();
            let mut tx = db.begin().await?;
            file_variants::put(&mut tx, file, &variants, db.now()).await?;
            tx.commit().await?;
            let body = serde_json::json!({"presets": ["card"]});
            let path = format!("{}/thumbnails", made.word("/links/self"));
            api.post_with(&path, &body, &[id]).await
        }
        _ => provoke_by_uploads(api, code, id).await,
    }
}

async fn provoke_by_uploads(api: &Api, code: &str, id: (&str, &str)) -> TestResult<Answer> {
    let db = &api.app.db;
    match code {
        "offset_mismatch" => {
            let path = begin(api, "4", "", id).await?.header("location").to_owned();
            append(api, &path, "1", id).await
        }
        "digest_mismatch" => {
            let digest = STANDARD.encode(Digest::of(b"another").to_string());
            let begun = begin(api, "4", &format!("sha256 {digest}"), id).await?;
            append(api, begun.header("location"), "0", id).await
        }
        "too_many_parts" => {
            let path = begin(api, "4", "", id).await?.header("location").to_owned();
            let mut tx = db.begin().await?;
            sql!(tx, execute, "update uploads set parts = $1", PARTS_MAX)?;
            tx.commit().await?;
            append(api, &path, "0", id).await
        }
        "too_many_uploads" => {
            let mut tx = db.begin().await?;
            for _ in 0..UPLOADS_MAX {
                // The database may have some already.
                drop(uploads::create(&mut tx, OwnerId::LOCAL, "x", 1, None, db.now()).await);
            }
            tx.commit().await?;
            let refused = begin(api, "4", "", id).await;
            let mut tx = db.begin().await?;
            sql!(tx, execute, "delete from uploads")?;
            tx.commit().await?;
            refused
        }
        other => Err(format!("no test provokes `{other}`").into()),
    }
}

async fn begin(api: &Api, length: &str, metadata: &str, id: (&str, &str)) -> TestResult<Answer> {
    let headers = [
        id,
        TUS,
        ("upload-length", length),
        ("upload-metadata", metadata),
    ];
    api.send(Method::POST, "/v1/uploads", &headers, Body::empty())
        .await
}

async fn append(api: &Api, path: &str, offset: &str, id: (&str, &str)) -> TestResult<Answer> {
    let headers = [id, TUS, PIECE, ("upload-offset", offset)];
    api.send(Method::PATCH, path, &headers, "text".into()).await
}

/// Uses all of the quota up, or gives it back.
async fn charge(api: &Api, all: bool) -> TestResult {
    let mut tx = api.app.db.begin().await?;
    let usage = file_usage::get(&mut tx, OwnerId::LOCAL).await?;
    if all {
        file_usage::charge(&mut tx, OwnerId::LOCAL, usage.room()).await?;
    } else {
        sql!(tx, execute, "delete from file_usage")?;
    }
    Ok(tx.commit().await?)
}
