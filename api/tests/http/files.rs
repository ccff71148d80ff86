//! Files over HTTP: what comes in, what goes out, and what nobody else gets.

use api::{App, Files};
use chrono::TimeDelta;
use jobs::bell::Bell;
use models::{
    OwnerId,
    file_types::FileType,
    file_usage,
    files::{self, File, NewFile},
    on_both, sql,
    testing::{self, TestDb, TestResult},
};
use platform::{
    health::Health,
    storage::{Digest, Storage},
};
use poem::{Body, Route, http::Method};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Answer, Api};

/// The API with a folder for files.
pub(crate) struct Stored {
    pub(crate) api: Api,
    pub(crate) storage: Storage,
    pub(crate) folder: TempDir,
}

impl Stored {
    pub(crate) fn new(test: &TestDb) -> TestResult<Self> {
        Self::over(App::new(
            test.db.clone(),
            Bell::in_process(),
            Health::default(),
        ))
    }

    pub(crate) fn over(app: App) -> TestResult<Self> {
        let folder = TempDir::new()?;
        let storage = Storage::folder(folder.path())?;
        Ok(Self::with(app, folder, storage))
    }

    pub(crate) fn with(mut app: App, folder: TempDir, storage: Storage) -> Self {
        app.files = Files::new(storage.clone());
        Self {
            api: Api::with(app, Route::new()),
            storage,
            folder,
        }
    }

    /// Brings a file, as a form does.
    async fn bring(&self, name: &str, bytes: &str, headers: &[(&str, &str)]) -> TestResult<Answer> {
        bring(&self.api, &form(name, bytes), headers).await
    }

    /// What lies in a folder of the storage, at any depth.
    pub(crate) fn count(&self, folder: &str) -> TestResult<usize> {
        fn count(folder: &std::path::Path) -> std::io::Result<usize> {
            let mut files = 0;
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                files += if entry.file_type()?.is_dir() {
                    count(&entry.path())?
                } else {
                    1
                };
            }
            Ok(files)
        }
        let folder = self.folder.path().join(folder);
        Ok(if folder.exists() { count(&folder)? } else { 0 })
    }

    /// A file of somebody else, with its bytes.
    async fn strangers(&self, bytes: &str) -> TestResult<File> {
        let mut incoming = self.storage.begin().await?;
        incoming.write(&bytes.to_owned().into()).await?;
        let arrived = incoming.finish().await?;
        self.storage.keep(&arrived).await?;
        let new = NewFile {
            owner: OwnerId::new(),
            digest: arrived.digest.to_string(),
            size: i64::try_from(arrived.size)?,
            name: "theirs.txt".to_owned(),
            media_type: FileType::Gif,
        };
        testing::file(&self.api.app.db, &new).await
    }
}

pub(crate) fn form(name: &str, bytes: &str) -> String {
    format!(
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
         Content-Type: text/html\r\n\r\n{bytes}\r\n--b--\r\n"
    )
}

/// What [`form`] is.
pub(crate) const FORM: (&str, &str) = ("content-type", "multipart/form-data; boundary=b");

pub(crate) async fn bring(api: &Api, body: &str, headers: &[(&str, &str)]) -> TestResult<Answer> {
    let headers = [&[FORM], headers].concat();
    api.send(Method::POST, "/v1/files", &headers, body.to_owned().into())
        .await
}

on_both! {
    async fn a_file_comes_is_listed_read_and_goes(test: &TestDb) -> TestResult {
        let stored = Stored::new(test)?;
        let api = &stored.api;

        let made = stored.bring("../../notes.txt", "hello", &[]).await?;
        assert_eq!(made.status, 201, "{}", made.text);
        assert_eq!(made.word("/name"), "notes.txt");
        assert_eq!(made.word("/media_type"), "text/plain");
        assert_eq!(made.at("/size_bytes"), 5);
        assert_eq!(made.word("/sha256"), Digest::of(b"hello").to_string());
        let path = made.header("location").to_owned();
        assert_eq!(path, made.word("/links/self"));

        assert_eq!(api.get(&path).await?.json(), made.json());
        let list = api.get("/v1/files").await?;
        assert_eq!(list.at("/items/0"), made.json());
        let content = api.get(&made.word("/links/content")).await?;
        assert_eq!(content.text, "hello");
        assert_eq!(stored.count("incoming")?, 0);

        assert_eq!(api.delete(&path).await?.status, 204);
        assert_eq!(api.get(&path).await?.problem(), (404, "not_found".to_owned()));
        assert_eq!(api.delete(&path).await?.status, 404);
        assert_eq!(api.get("/v1/files").await?.at("/items"), json!([]));
        Ok(())
    }

    async fn a_repeated_request_stores_nothing_twice(test: &TestDb) -> TestResult {
        let stored = Stored::new(test)?;
        let key = [("idempotency-key", "once")];

        let first = stored.bring("a.txt", "same", &key).await?;
        let again = stored.bring("a.txt", "same", &key).await?;
        let other = stored.bring("a.txt", "different", &key).await?;

        assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 201));
        assert_eq!(again.json(), first.json());
        assert_eq!(again.header("idempotent-replayed"), "true");
        assert_eq!(other.problem(), (422, "idempotency_mismatch".to_owned()));
        let list = stored.api.get("/v1/files").await?;
        assert_eq!(list.at("/items").as_array().map(Vec::len), Some(1));
        Ok(())
    }

    async fn the_same_bytes_are_stored_once_and_are_two_files(test: &TestDb) -> TestResult {
        let stored = Stored::new(test)?;
        let theirs = stored.strangers("GIF89a, the same").await?;

        let first = stored.bring("a.gif", "GIF89a, the same", &[]).await?;
        let second = stored.bring("b.gif", "GIF89a, the same", &[]).await?;

        assert_ne!(first.word("/id"), second.word("/id"));
        assert_eq!(stored.count("kept")?, 1);
        // Who has the same bytes learns nothing of others who have them.
        assert!(!first.text.contains(&theirs.id.to_string()));
        assert_eq!(stored.api.delete(first.header("location")).await?.status, 204);
        let left = stored.api.get(&second.word("/links/content")).await?;
        assert_eq!(left.text, "GIF89a, the same");
        Ok(())
    }

    async fn a_strangers_file_is_not_there_on_any_route(test: &TestDb) -> TestResult {
        let stored = Stored::new(test)?;
        let theirs = stored.strangers("GIF89a secret").await?;
        let path = format!("/v1/files/{}", theirs.id);
        let api = &stored.api;

        for (method, path, body) in [
            (Method::GET, path.clone(), Value::Null),
            (Method::HEAD, path.clone(), Value::Null),
            (Method::GET, format!("{path}/content"), Value::Null),
            (Method::GET, format!("{path}/variants/card.webp"), Value::Null),
            (Method::GET, format!("{path}/signed?expires=4000000000&signature=AAAA"), Value::Null),
            (Method::POST, format!("{path}/links"), json!({})),
            (
                Method::POST,
                format!("{path}/thumbnails"),
                json!({"presets": ["card"]}),
            ),
            (Method::DELETE, path.clone(), Value::Null),
        ] {
            let json = [("content-type", "application/json")];
            let body = if body.is_null() { Body::empty() } else { body.to_string().into() };
            let answer = api.send(method.clone(), &path, &json, body).await?;
            assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
            assert!(!answer.text.contains("secret"), "{method} {path}");
        }
        assert_eq!(api.get("/v1/files").await?.at("/items"), json!([]));
        let there = files::get_any(&mut api.app.db.conn().await?, theirs.id).await?;
        assert_eq!(there, theirs);
        Ok(())
    }

    async fn a_signed_link_expires_and_cannot_be_altered(test: &TestDb) -> TestResult {
        let stored = Stored::new(test)?;
        let (api, made) = (&stored.api, stored.bring("a.gif", "GIF89a!", &[]).await?);
        let other = stored.bring("b.gif", "GIF89a?", &[]).await?;
        let links = format!("{}/links", made.header("location"));

        let link = api.post(&links, &json!({"seconds": 60})).await?;
        assert_eq!(link.status, 200, "{}", link.text);
        let url = link.word("/url");
        let read = api.get(&url).await?;
        assert_eq!((read.status.as_u16(), read.text.as_str()), (200, "GIF89a!"));
        assert!(read.header("cache-control").starts_with("private, max-age="));

        let expires = url.split_once("expires=").and_then(|(_, rest)| rest.split_once('&'));
        let expires: i64 = expires.ok_or("it expires")?.0.parse()?;
        let altered = [
            url.replace(&expires.to_string(), &(expires + 1).to_string()),
            url.replace(&made.word("/id"), &other.word("/id")),
            format!("{url}&variant=card.webp"),
            format!("{url}A"),
            url.replace("signature=", "signature=A"),
            url.split('?').next().unwrap_or_default().to_owned() + "?expires=1&signature=",
        ];
        for url in altered {
            let refused = api.get(&url).await?;
            assert_eq!(refused.problem(), (404, "link_invalid".to_owned()), "{url}");
        }
        // Time is moved, not waited for.
        api.app.db.disturb_clock(TimeDelta::seconds(61));
        assert_eq!(api.get(&url).await?.problem(), (404, "link_invalid".to_owned()));
        for seconds in [0, 86_401] {
            let refused = api.post(&links, &json!({"seconds": seconds})).await?;
            assert_eq!(refused.status, 422, "{seconds}");
        }
        Ok(())
    }
}

#[tokio::test]
async fn bytes_are_answered_so_that_no_browser_runs_them() -> TestResult {
    let test = TestDb::sqlite().await?;
    let stored = Stored::new(&test)?;
    let cases = [
        (
            "<svg onload=alert(1)>",
            "text/plain; charset=utf-8",
            "attachment",
        ),
        (
            "<!doctype html><script>",
            "text/plain; charset=utf-8",
            "attachment",
        ),
        ("GIF89a<script>", "image/gif", "inline"),
        ("%PDF-1.7", "application/pdf", "attachment"),
        ("\u{1}\u{2}", "application/octet-stream", "attachment"),
    ];
    for (bytes, media_type, kind) in cases {
        let made = stored.bring("page.html", bytes, &[]).await?;
        let content = stored.api.get(&made.word("/links/content")).await?;

        assert_eq!(content.text, bytes);
        assert_eq!(content.header("content-type"), media_type, "{bytes}");
        assert!(
            content.header("content-disposition").starts_with(kind),
            "{bytes}"
        );
        assert_eq!(content.header("x-content-type-options"), "nosniff");
        assert_eq!(
            content.header("content-security-policy"),
            "default-src 'none'; sandbox"
        );
    }
    test.close().await
}

#[tokio::test]
async fn a_name_steers_neither_paths_nor_headers() -> TestResult {
    let test = TestDb::sqlite().await?;
    let stored = Stored::new(&test)?;
    let names = [
        "../../../etc/passwd",
        "..\\..\\boot.ini",
        "/etc/cron.d/x",
        "a%0d%0aSet-Cookie: b=c",
        "x; filename=y.html",
        "\u{202e}gnp.exe",
        "%2e%2e%2fx",
        "..",
        "",
    ];
    for name in names {
        let made = stored.bring(name, "text", &[]).await?;
        assert_eq!(made.status, 201, "{name}: {}", made.text);
        let kept = made.word("/name");
        assert!(
            !kept.contains(['/', '\\', '\u{202e}', '\r', '\n']) && !kept.is_empty(),
            "{kept}"
        );

        let content = stored.api.get(&made.word("/links/content")).await?;
        let disposition = content.header("content-disposition");
        assert_eq!(disposition.matches('"').count(), 2, "{disposition}");
        assert!(content.headers.get("set-cookie").is_none(), "{name}");
    }
    // Whatever the names were, there is one place, named by the bytes.
    assert_eq!(stored.count("kept")?, 1);
    assert_eq!(stored.count("")?, 1);
    test.close().await
}

#[tokio::test]
async fn parts_and_known_versions_of_bytes_are_answered() -> TestResult {
    let test = TestDb::sqlite().await?;
    let stored = Stored::new(&test)?;
    let made = stored.bring("a.txt", "0123456789", &[]).await?;
    let path = made.word("/links/content");
    let get = async |headers: &[(&str, &str)]| stored.api.get_with(&path, headers).await;

    let whole = get(&[]).await?;
    let tag = whole.header("etag").to_owned();
    assert_eq!(tag, format!("\"{}\"", made.word("/sha256")));
    assert_eq!(
        whole.header("cache-control"),
        "private, max-age=31536000, immutable"
    );
    assert_eq!(whole.header("accept-ranges"), "bytes");
    assert_eq!(whole.header("content-length"), "10");

    let part = get(&[("range", "bytes=2-4")]).await?;
    assert_eq!((part.status.as_u16(), part.text.as_str()), (206, "234"));
    assert_eq!(part.header("content-range"), "bytes 2-4/10");
    assert_eq!(get(&[("range", "bytes=-1")]).await?.text, "9");
    assert_eq!(
        get(&[("range", "bytes=2-4"), ("if-range", &tag)])
            .await?
            .status,
        206
    );
    assert_eq!(
        get(&[("range", "bytes=2-4"), ("if-range", "\"other\"")])
            .await?
            .status,
        200
    );
    let beyond = get(&[("range", "bytes=10-")]).await?;
    assert_eq!(beyond.problem(), (416, "range_not_satisfiable".to_owned()));
    let known = get(&[("if-none-match", &tag)]).await?;
    assert_eq!((known.status.as_u16(), known.text.as_str()), (304, ""));
    assert_eq!(get(&[("accept", "image/webp")]).await?.status, 200);
    test.close().await
}

#[tokio::test]
async fn a_body_that_is_no_whole_form_leaves_nothing() -> TestResult {
    let test = TestDb::sqlite().await?;
    let stored = Stored::new(&test)?;
    let whole = form("a.txt", "some text");
    let cut = &whole[..whole.len() - 8];
    let nameless = whole.replace("name=\"file\"", "name=\"other\"");
    let two = whole.replace("--b--\r\n", &form("b.txt", "more"));
    let endless = format!("--b\r\nContent-Disposition: {}", "x".repeat(3_000_000));
    for (body, expected) in [
        (cut, (400, "malformed_request")),
        (nameless.as_str(), (422, "validation_failed")),
        (two.as_str(), (422, "validation_failed")),
        (endless.as_str(), (400, "malformed_request")),
        ("--b--\r\n", (422, "validation_failed")),
        ("", (400, "malformed_request")),
    ] {
        let answer = bring(&stored.api, body, &[]).await?;
        let (status, code) = answer.problem();
        assert_eq!((status, code.as_str()), expected, "{}", answer.text);
    }
    let json = [("content-type", "application/json")];
    let answer = stored
        .api
        .send(Method::POST, "/v1/files", &json, "{}".into())
        .await?;
    assert_eq!(answer.problem(), (415, "unsupported_media_type".to_owned()));
    assert_eq!(stored.api.get("/v1/files").await?.at("/items"), json!([]));
    assert_eq!((stored.count("kept")?, stored.count("incoming")?), (0, 0));
    test.close().await
}

#[tokio::test]
async fn a_quota_that_is_used_up_stops_a_file_on_its_way() -> TestResult {
    let test = TestDb::sqlite().await?;
    let stored = Stored::new(&test)?;
    let mut tx = test.db.begin().await?;
    let room = file_usage::OWNER_BYTES_MAX - 4;
    file_usage::charge(&mut tx, OwnerId::LOCAL, room).await?;
    tx.commit().await?;

    let refused = stored.bring("a.txt", "12345", &[]).await?;
    let fits = stored.bring("a.txt", "1234", &[]).await?;

    assert_eq!(refused.problem(), (413, "quota_exceeded".to_owned()));
    assert_eq!(fits.status, 201, "{}", fits.text);
    assert_eq!(stored.count("kept")?, 1);
    let mut conn = test.db.conn().await?;
    let files = sql!(conn, fetch_one models::sql::One<i64>, "select count(*) from files")?;
    assert_eq!(files, (1,));
    drop(conn);
    test.close().await
}
