//! Uploads that go straight into a bucket, past the API.

use api::{App, Files};
use jobs::bell::Bell;
use models::{on_both, testing::TestResult};
use platform::{health::Health, storage::Digest};
use poem::{Route, http::Method};
use reqwest::{Client, StatusCode};
use serde_json::json;
use tempfile::TempDir;

use crate::{files::Stored, harness::Api, s3::Server};

on_both! {
    async fn a_file_goes_into_the_bucket_and_is_completed(test: &TestDb) -> TestResult {
        let folder = TempDir::new()?;
        let server = Server::start(folder.path()).await?;
        let mut app = App::new(test.db.clone(), Bell::in_process(), Health::default());
        app.files = Files::new(server.storage("s3://bucket/lyo")?);
        let api = Api::with(app, Route::new());
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
        // A link that was altered writes nothing.
        let altered = begun.word("/url").replace("X-Amz-Expires=86400", "X-Amz-Expires=86399");
        let refused = client.put(altered).body("other").send().await?;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
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
