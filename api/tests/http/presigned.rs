//! Uploads that go straight into a bucket, past the API.

use std::{fs, path::Path};

use api::{App, Files};
use jobs::bell::Bell;
use models::{
    OwnerId, file_usage, on_both,
    testing::{TestDb, TestResult},
};
use platform::{health::Health, storage::Digest};
use poem::{Route, http::Method};
use reqwest::{Client, StatusCode};
use serde_json::json;
use tempfile::TempDir;

use crate::{files::Stored, harness::Api, s3::Server};

/// The API over a bucket.
fn over(test: &TestDb, server: &Server) -> TestResult<Api> {
    let mut app = App::new(test.db.clone(), Bell::in_process(), Health::default());
    app.files = Files::new(server.storage("s3://bucket/lyo")?);
    Ok(Api::with(app, Route::new()))
}

/// How many objects have a temporary name.
fn left(folder: &Path) -> TestResult<usize> {
    let incoming = folder.join("bucket/lyo/incoming");
    Ok(if incoming.exists() {
        fs::read_dir(incoming)?.count()
    } else {
        0
    })
}

on_both! {
    async fn a_file_goes_into_the_bucket_and_is_completed(test: &TestDb) -> TestResult {
        let folder = TempDir::new()?;
        let server = Server::start(folder.path()).await?;
        let api = over(test, &server)?;
        let digest = Digest::of(b"bytes").to_string();
        let body = json!({"name": "../a.txt", "size_bytes": 5, "sha256": digest});

        let begun = api.post("/v1/uploads/presigned", &body).await?;
        assert_eq!(begun.status, 201, "{}", begun.text);
        let complete = begun.word("/complete");
        let early = api.send(Method::POST, &complete, &[], "".into()).await?;
        assert_eq!(early.problem(), (409, "offset_mismatch".to_owned()));
        let client = Client::builder().no_proxy().build()?;
        let put = client.put(begun.word("/url")).body("bytes").send().await?;
        assert_eq!(put.status(), StatusCode::OK);
        let done = api.send(Method::POST, &complete, &[], "".into()).await?;
        assert_eq!(done.status, 200, "{}", done.text);

        assert_eq!(done.word("/name"), "a.txt");
        assert_eq!(done.word("/sha256"), digest);
        assert_eq!(api.get(&done.word("/links/content")).await?.text, "bytes");
        let again = api.send(Method::POST, &complete, &[], "".into()).await?;
        assert_eq!(again.json(), done.json());
        assert_eq!(api.get("/v1/files").await?.at("/items").as_array().map(Vec::len), Some(1));
        assert_eq!(left(folder.path())?, 0);
        // A link that was altered writes nothing.
        let altered = begun.word("/url").replace("X-Amz-Expires=3600", "X-Amz-Expires=3599");
        let refused = client.put(altered).body("other").send().await?;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
        Ok(())
    }

    async fn what_was_put_there_goes_with_the_upload_and_is_charged_on(test: &TestDb) -> TestResult {
        let folder = TempDir::new()?;
        let server = Server::start(folder.path()).await?;
        let api = over(test, &server)?;
        let begun = api.post("/v1/uploads/presigned", &json!({"name": "a", "size_bytes": 5})).await?;
        let client = Client::builder().no_proxy().build()?;
        let put = client.put(begun.word("/url")).body("bytes").send().await?;
        assert_eq!((put.status(), left(folder.path())?), (StatusCode::OK, 1));

        let path = begun.word("/complete").replace("/complete", "");
        let tus = [("tus-resumable", "1.0.0")];
        let deleted = api.send(Method::DELETE, &path, &tus, "".into()).await?;

        assert_eq!(deleted.status, 204, "{}", deleted.text);
        assert_eq!((api.get(&path).await?.status.as_u16(), left(folder.path())?), (404, 0));
        let usage = file_usage::get(&mut test.db.conn().await?, OwnerId::LOCAL).await?;
        assert_eq!((usage.files, usage.size_bytes), (1, 5), "the URL is still good");
        Ok(())
    }

    async fn a_file_that_is_completed_twice_at_once_is_one(test: &TestDb) -> TestResult {
        let folder = TempDir::new()?;
        let server = Server::start(folder.path()).await?;
        let api = over(test, &server)?;
        let begun = api.post("/v1/uploads/presigned", &json!({"name": "a", "size_bytes": 5})).await?;
        let client = Client::builder().no_proxy().build()?;
        client.put(begun.word("/url")).body("bytes").send().await?;
        let complete = begun.word("/complete");

        let (one, other) = tokio::try_join!(
            api.send(Method::POST, &complete, &[], "".into()),
            api.send(Method::POST, &complete, &[], "".into()),
        )?;

        let status = [one.status.as_u16(), other.status.as_u16()];
        assert!(status.contains(&200), "{} {}", one.text, other.text);
        assert!(status.iter().all(|status| [200, 202].contains(status)), "{status:?}");
        assert_eq!(api.get("/v1/files").await?.at("/items").as_array().map(Vec::len), Some(1));
        Ok(())
    }

    async fn a_folder_cannot_do_that(test: &TestDb) -> TestResult {
        let stored = Stored::new(test)?;
        let body = json!({"name": "a.txt", "size_bytes": 5});

        let refused = stored.api.post("/v1/uploads/presigned", &body).await?;

        assert_eq!(refused.problem(), (409, "presigning_unavailable".to_owned()));
        for wrong in [
            json!({"name": "a.txt", "size_bytes": -1}),
            json!({"name": "a.txt", "size_bytes": 4_294_967_297_i64}),
            json!({"name": "a.txt", "size_bytes": 1, "sha256": "12"}),
        ] {
            let refused = stored.api.post("/v1/uploads/presigned", &wrong).await?;
            assert_eq!(refused.problem(), (422, "validation_failed".to_owned()), "{wrong}");
        }
        Ok(())
    }
}
