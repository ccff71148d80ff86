//! Uploads that go on after a break.

use std::io;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::stream;
use models::{
    OwnerId, on_both, sql,
    testing::{TestDb, TestResult},
    uploads,
};
use platform::storage::Digest;
use poem::{Body, http::Method};
use serde_json::{Value, json};

use crate::{
    files::Stored,
    harness::{Answer, Api},
};

const TUS: (&str, &str) = ("tus-resumable", "1.0.0");
const PIECE: (&str, &str) = ("content-type", "application/offset+octet-stream");

/// Begins an upload, and answers where its pieces go.
async fn begin(api: &Api, length: usize, metadata: &str) -> TestResult<String> {
    let length = length.to_string();
    let headers = [
        TUS,
        ("upload-length", &length),
        ("upload-metadata", metadata),
    ];
    let begun = api
        .send(Method::POST, "/v1/uploads", &headers, Body::empty())
        .await?;
    assert_eq!(begun.status, 201, "{}", begun.text);
    assert_eq!(begun.header("tus-resumable"), "1.0.0");
    assert!(begun.header("upload-expires").ends_with(" GMT"));
    Ok(begun.header("location").to_owned())
}

async fn append(api: &Api, path: &str, offset: usize, body: Body) -> TestResult<Answer> {
    let offset = offset.to_string();
    let headers = [TUS, PIECE, ("upload-offset", offset.as_str())];
    api.send(Method::PATCH, path, &headers, body).await
}

/// How much has arrived, as a client of tus asks.
async fn arrived(api: &Api, path: &str) -> TestResult<usize> {
    let answer = api.send(Method::HEAD, path, &[TUS], Body::empty()).await?;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), "no-store");
    Ok(answer.header("upload-offset").parse()?)
}

/// A body that breaks off after these bytes.
fn broken(bytes: &[u8]) -> Body {
    let bytes = Bytes::copy_from_slice(bytes);
    Body::from_bytes_stream(stream::iter([Ok(bytes), Err(io::Error::other("cut off"))]))
}

fn text(length: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(length).collect()
}

on_both! {
    async fn a_broken_upload_goes_on_where_it_broke(test: &TestDb) -> TestResult {
        let stored = Stored::new(test)?;
        let api = &stored.api;
        let bytes = text(9_000_000);
        let digest = STANDARD.encode(Digest::of(&bytes).to_string());
        let metadata = format!("filename {},sha256 {digest}", STANDARD.encode("big.txt"));
        let path = begin(api, bytes.len(), &metadata).await?;
        assert_eq!(arrived(api, &path).await?, 0);

        // More than one piece, and the half of another.
        let cut = append(api, &path, 0, broken(&bytes[..5_000_000])).await?;
        assert_eq!(cut.problem(), (400, "malformed_request".to_owned()));
        assert_eq!(arrived(api, &path).await?, 5_000_000);
        assert_eq!(api.get(&path).await?.at("/file"), Value::Null);
        let rest = bytes[5_000_000..].to_vec();
        let done = append(api, &path, 5_000_000, rest.into()).await?;
        assert_eq!(done.status, 204, "{}", done.text);
        assert_eq!(done.header("upload-offset"), "9000000");

        let file = api.get(&path).await?.word("/file");
        assert_eq!(done.header("content-location"), file);
        let found = api.get(&file).await?;
        assert_eq!(found.word("/name"), "big.txt");
        let content = api.get(&found.word("/links/content")).await?;
        assert!(content.text.as_bytes() == bytes, "byte for byte");
        assert_eq!((stored.count("incoming")?, stored.count("kept")?), (0, 1));
        Ok(())
    }

    async fn a_piece_fits_or_is_refused(test: &TestDb) -> TestResult {
        let stored = Stored::new(test)?;
        let api = &stored.api;
        let path = begin(api, 10, "").await?;

        for (offset, length) in [(1, 1), (0, 11)] {
            let refused = append(api, &path, offset, text(length).into()).await?;
            assert_eq!(refused.problem(), (409, "offset_mismatch".to_owned()));
        }
        assert_eq!(append(api, &path, 0, text(4).into()).await?.status, 204);
        let again = append(api, &path, 0, text(4).into()).await?;
        assert_eq!(again.problem(), (409, "offset_mismatch".to_owned()));
        assert_eq!(arrived(api, &path).await?, 4);
        assert_eq!(stored.count("incoming")?, 1);

        assert_eq!(api.send(Method::DELETE, &path, &[TUS], Body::empty()).await?.status, 204);
        assert_eq!(api.get(&path).await?.status, 404);
        assert_eq!(stored.count("incoming")?, 0);
        Ok(())
    }

    async fn what_did_not_arrive_as_it_was_sent_is_no_file(test: &TestDb) -> TestResult {
        let stored = Stored::new(test)?;
        let api = &stored.api;
        let digest = STANDARD.encode(Digest::of(b"something else").to_string());
        let path = begin(api, 4, &format!("sha256 {digest}")).await?;

        let refused = append(api, &path, 0, text(4).into()).await?;

        assert_eq!(refused.problem(), (422, "digest_mismatch".to_owned()));
        assert_eq!(api.get(&path).await?.status, 404);
        assert_eq!(api.get("/v1/files").await?.at("/items"), json!([]));
        assert_eq!((stored.count("incoming")?, stored.count("kept")?), (0, 0));
        Ok(())
    }

    async fn a_strangers_upload_is_not_there(test: &TestDb) -> TestResult {
        let stored = Stored::new(test)?;
        let (api, db) = (&stored.api, &test.db);
        let mut tx = db.begin().await?;
        let theirs = uploads::create(&mut tx, OwnerId::new(), "x", 10, None, db.now()).await?;
        tx.commit().await?;
        let path = format!("/v1/uploads/{}", theirs.id);

        assert_eq!(api.get(&path).await?.status, 404);
        assert_eq!(append(api, &path, 0, text(10).into()).await?.status, 404);
        assert_eq!(api.delete(&path).await?.status, 404);
        assert_eq!(stored.count("incoming")?, 0);
        Ok(())
    }

    async fn a_file_that_could_not_be_made_is_made_by_an_empty_piece(test: &TestDb) -> TestResult {
        let stored = Stored::new(test)?;
        let (api, db) = (&stored.api, &test.db);
        let path = begin(api, 4, "").await?;
        append(api, &path, 0, text(2).into()).await?;
        // As if the server had died between the last piece and the file.
        let name = stored.storage.put_part(Bytes::from_static(b"cd")).await?;
        let id = path.rsplit('/').next().unwrap_or_default().parse()?;
        let mut tx = db.begin().await?;
        let part = uploads::Part { offset_bytes: 2, size_bytes: 2, name };
        uploads::append(&mut tx, id, &part).await?;
        tx.commit().await?;
        assert_eq!(api.get(&path).await?.at("/file"), Value::Null);

        let made = append(api, &path, 4, Body::empty()).await?;

        assert_eq!(made.status, 204, "{}", made.text);
        let content = format!("{}/content", made.header("content-location"));
        assert_eq!(api.get(&content).await?.text, "abcd");
        Ok(())
    }
}

#[tokio::test]
async fn an_empty_file_needs_an_empty_piece() -> TestResult {
    let test = TestDb::sqlite().await?;
    let stored = Stored::new(&test)?;
    let path = begin(&stored.api, 0, "").await?;

    let made = append(&stored.api, &path, 0, Body::empty()).await?;

    assert_eq!(made.status, 204, "{}", made.text);
    let content = format!("{}/content", made.header("content-location"));
    assert_eq!(stored.api.get(&content).await?.text, "");
    test.close().await
}

#[tokio::test]
async fn what_is_spoken_is_told_and_other_versions_are_refused() -> TestResult {
    let test = TestDb::sqlite().await?;
    let stored = Stored::new(&test)?;
    let api = &stored.api;

    let told = api
        .send(Method::OPTIONS, "/v1/uploads", &[], Body::empty())
        .await?;
    assert_eq!(told.status, 204);
    assert_eq!(told.header("tus-version"), "1.0.0");
    assert_eq!(
        told.header("tus-extension"),
        "creation,expiration,termination"
    );
    assert_eq!(told.header("tus-max-size"), "4294967296");
    for headers in [vec![], vec![("tus-resumable", "0.2.2")]] {
        let refused = api
            .send(Method::POST, "/v1/uploads", &headers, Body::empty())
            .await?;
        assert_eq!(
            refused.problem(),
            (412, "tus_version_not_supported".to_owned())
        );
    }
    let large = [TUS, ("upload-length", "4294967297")];
    let refused = api
        .send(Method::POST, "/v1/uploads", &large, Body::empty())
        .await?;
    assert_eq!(refused.problem(), (413, "file_too_large".to_owned()));
    let path = begin(api, 4, "").await?;
    let headers = [TUS, ("upload-offset", "0"), ("content-type", "text/plain")];
    let refused = api
        .send(Method::PATCH, &path, &headers, text(4).into())
        .await?;
    assert_eq!(
        refused.problem(),
        (415, "unsupported_media_type".to_owned())
    );
    // A client that stops in the middle is not charged for ever.
    let mut tx = test.db.begin().await?;
    let uploads = sql!(tx, execute, "update uploads set expires_at = created_at")?;
    tx.commit().await?;
    assert_eq!(uploads, 1);
    assert_eq!(api.get(&path).await?.status, 404);
    test.close().await
}
