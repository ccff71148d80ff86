//! Uploads that go on after a break.

use std::{io, sync::Arc, time::Duration};

use api::App;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::stream;
use jobs::bell::Bell;
use models::{
    OwnerId, UploadId, file_usage, on_both,
    testing::{TestDb, TestResult},
    uploads,
};
use platform::{
    health::Health,
    storage::{Digest, Storage},
};
use poem::{Body, http::Method};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    select,
    sync::Semaphore,
    time::{sleep, timeout},
};

use crate::{
    files::Stored,
    harness::{Answer, Api},
};

pub(crate) const TUS: (&str, &str) = ("tus-resumable", "1.0.0");
pub(crate) const PIECE: (&str, &str) = ("content-type", "application/offset+octet-stream");

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

/// How long a test waits for something to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// The file of an upload, once it was made.
async fn made(api: &Api, path: &str) -> TestResult<Answer> {
    let making = async {
        loop {
            let upload = api.get(path).await?;
            if !upload.at("/file").is_null() {
                return api.get(&upload.word("/file")).await;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, making).await?
}

/// The API over a folder where each reading needs a permit, with as much patience.
fn gated(test: &TestDb, gate: &Arc<Semaphore>, join: Duration) -> TestResult<Stored> {
    let mut app = App::new(test.db.clone(), Bell::in_process(), Health::default());
    app.timeouts.join = join;
    let folder = TempDir::new()?;
    let storage = Storage::folder(folder.path())?.gated(gate.clone());
    Ok(Stored::with(app, folder, storage))
}

/// What the caller's files and uploads add up to: how many, and how many bytes.
async fn usage(api: &Api) -> TestResult<(i64, i64)> {
    let usage = file_usage::get(&mut api.app.db.conn().await?, OwnerId::LOCAL).await?;
    Ok((usage.files, usage.size_bytes))
}

fn id(path: &str) -> TestResult<UploadId> {
    Ok(path.rsplit('/').next().unwrap_or_default().parse()?)
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
        let mut tx = db.begin().await?;
        let part = uploads::Part { offset_bytes: 2, size_bytes: 2, name };
        uploads::append(&mut tx, id(&path)?, &part).await?;
        tx.commit().await?;
        assert_eq!(api.get(&path).await?.at("/file"), Value::Null);

        let made = append(api, &path, 4, Body::empty()).await?;

        assert_eq!(made.status, 204, "{}", made.text);
        let content = format!("{}/content", made.header("content-location"));
        assert_eq!(api.get(&content).await?.text, "abcd");
        Ok(())
    }
    async fn a_file_is_made_though_nobody_waits_for_it(test: &TestDb) -> TestResult {
        let gate = Arc::new(Semaphore::new(1));
        let stored = gated(test, &gate, PATIENCE)?;
        let api = &stored.api;
        let path = begin(api, 4, "").await?;
        append(api, &path, 0, "ab".into()).await?;

        let one_piece_read = async {
            while gate.available_permits() > 0 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        // The connection breaks while the file is being made.
        select! {
            answer = append(api, &path, 2, "cd".into()) => panic!("it was not waited for: {answer:?}"),
            () = one_piece_read => {}
        }
        gate.add_permits(10);

        let content = made(api, &path).await?.word("/links/content");
        assert_eq!(api.get(&content).await?.text, "abcd");
        Ok(())
    }

    async fn a_file_that_takes_long_is_not_waited_for_and_made_once(test: &TestDb) -> TestResult {
        let gate = Arc::new(Semaphore::new(0));
        let stored = gated(test, &gate, Duration::from_millis(50))?;
        let api = &stored.api;
        let path = begin(api, 4, "").await?;

        let whole = append(api, &path, 0, "abcd".into()).await?;
        let again = append(api, &path, 4, Body::empty()).await?;
        let status = (whole.status.as_u16(), again.status.as_u16());
        assert_eq!(status, (204, 204), "{} {}", whole.text, again.text);
        let files = (whole.header("content-location"), again.header("content-location"));
        assert_eq!(files, ("", ""));
        gate.add_permits(10);

        let file = made(api, &path).await?;
        let listed = api.get("/v1/files").await?;
        assert_eq!(listed.at("/items"), json!([file.json()]));
        assert_eq!(usage(api).await?, (1, 4));
        Ok(())
    }

    async fn two_pieces_of_the_same_place_become_one(test: &TestDb) -> TestResult {
        let stored = Stored::new(test)?;
        let api = &stored.api;
        let path = begin(api, 4, "").await?;

        let (one, other) = tokio::try_join!(
            append(api, &path, 0, "abcd".into()),
            append(api, &path, 0, "efgh".into()),
        )?;

        let mut status = [one.status.as_u16(), other.status.as_u16()];
        status.sort_unstable();
        assert_eq!(status, [204, 409], "{} {}", one.text, other.text);
        let content = made(api, &path).await?.word("/links/content");
        let expected = if one.status == 204 { "abcd" } else { "efgh" };
        assert_eq!(api.get(&content).await?.text, expected);
        assert_eq!((stored.count("incoming")?, stored.count("kept")?), (0, 1));
        assert_eq!(usage(api).await?, (1, 4));
        Ok(())
    }

    async fn an_upload_that_goes_with_its_last_piece_leaves_nothing(test: &TestDb) -> TestResult {
        let stored = Stored::new(test)?;
        let api = &stored.api;
        for _ in 0..10 {
            let path = begin(api, 4, "").await?;
            let (appended, deleted) =
                tokio::try_join!(append(api, &path, 0, text(4).into()), api.delete(&path))?;

            assert_eq!(deleted.status, 204, "{}", deleted.text);
            assert!([204, 404, 409].contains(&appended.status.as_u16()), "{}", appended.text);
            assert_eq!(api.get(&path).await?.status, 404);
            assert_eq!(stored.count("incoming")?, 0);
            let files = api.get("/v1/files").await?.at("/items").as_array().map_or(0, Vec::len);
            let files = i64::try_from(files)?;
            assert_eq!(usage(api).await?, (files, 4 * files));
        }
        Ok(())
    }

    async fn lost_pieces_end_the_upload(test: &TestDb) -> TestResult {
        let stored = Stored::new(test)?;
        let api = &stored.api;
        let path = begin(api, 4, "").await?;
        append(api, &path, 0, text(2).into()).await?;
        let pieces = uploads::parts(&mut test.db.conn().await?, id(&path)?).await?;
        stored.storage.delete_part(&pieces[0].name).await?;

        let whole = append(api, &path, 2, text(2).into()).await?;

        assert_eq!(whole.problem(), (500, "internal".to_owned()));
        assert_eq!(api.get(&path).await?.status, 404);
        assert_eq!(stored.count("incoming")?, 0);
        assert_eq!(usage(api).await?, (0, 0));
        Ok(())
    }

    async fn an_empty_file_needs_no_piece(test: &TestDb) -> TestResult {
        let stored = Stored::new(test)?;
        let path = begin(&stored.api, 0, "").await?;

        let content = made(&stored.api, &path).await?.word("/links/content");

        assert_eq!(stored.api.get(&content).await?.text, "");
        assert_eq!(usage(&stored.api).await?, (1, 0));
        Ok(())
    }
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
        assert_eq!(refused.header("tus-version"), "1.0.0");
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
    test.close().await
}

#[tokio::test]
async fn a_client_that_stops_in_the_middle_is_not_charged_for_ever() -> TestResult {
    let test = TestDb::sqlite().await?;
    let stored = Stored::new(&test)?;
    let (api, db) = (&stored.api, &test.db);
    let path = begin(api, 4, "").await?;
    assert_eq!(append(api, &path, 0, text(2).into()).await?.status, 204);
    assert_eq!(usage(api).await?, (1, 4));

    db.disturb_clock(uploads::LIFETIME);

    assert_eq!(api.get(&path).await?.status, 404);
    // As the sweep of a worker does.
    let mut tx = db.begin().await?;
    let expired = uploads::expired(&mut tx, 10, db.now()).await?;
    assert_eq!(expired.len(), 1);
    uploads::delete(&mut tx, OwnerId::LOCAL, expired[0].id, db.now()).await?;
    tx.commit().await?;
    assert_eq!(usage(api).await?, (0, 0));
    test.close().await
}
