//! Files as a browser uses them: bring a picture, wait for its thumbnails, link to one; and what is
//! left of many thumbnails whose workers are killed.
//!
//! `LYO_TEST_THUMBNAILS=200` makes that a long story.

use std::{
    collections::BTreeSet,
    fs, io,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use e2e::{
    app::{Http, PATIENCE, TestApp, send},
    everywhere,
    fleet::{Fleet, program},
};
use jpeg_encoder::{ColorType, Encoder};
use media::{Fit, Format, Limits, Pool, Wanted};
use models::{
    Db,
    file_variants::Variant,
    sql,
    sql::One,
    testing::{TestDb, TestResult},
};
use platform::storage::{Digest, Storage};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::sleep;

/// A PNG of 40 x 30 pixels.
const PICTURE: &str = "iVBORw0KGgoAAAANSUhEUgAAACgAAAAeCAIAAADRv8uKAAAAK0lEQVR42u3NMQ0AAAgDsElBCtKRhgw4mvRvputExGKxWCwWi8VisVj8N153RkZMTWy+WAAAAABJRU5ErkJggg==";

/// How often all workers are killed. A thumbnail has five attempts.
const KILLS: usize = 3;
/// Width and height of the pictures whose workers are killed.
const SIDES: [u16; 2] = [1600, 1200];
/// Three sizes in two formats.
const VARIANTS: usize = 6;

fn form(picture: &[u8]) -> Vec<u8> {
    let head = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n\r\n";
    [head.as_bytes(), picture, b"\r\n--b--\r\n"].concat()
}

everywhere! {
    async fn a_picture_gets_thumbnails_that_a_link_shows(stage: &Stage) -> TestResult {
        let app = TestApp::start(stage).await?;
        let request = app
            .http
            .request(Method::POST, "/v1/files")
            .header("content-type", "multipart/form-data; boundary=b");

        let made = send(request.body(form(&STANDARD.decode(PICTURE)?))).await?;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        let task = made.body["links"]["task"].as_str().context("a task")?;
        let id = task.rsplit('/').next().context("an id")?;
        let ended = app.http.ended(id).await?;
        assert_eq!(ended["state"], "succeeded", "{ended}");

        let path = made.body["links"]["self"].as_str().context("a link")?;
        let file = app.http.get(path).await?.body;
        assert_eq!(file["picture"]["width"], 40, "{file}");
        assert_eq!(file["variants"].as_array().map(Vec::len), Some(6), "{file}");
        let link = app
            .http
            .post(&format!("{path}/links"), &json!({"variant": "avatar.webp"}))
            .await?;
        let shown = app.http.request(Method::GET, &link.text("url")?).send().await?;
        assert_eq!(shown.status(), StatusCode::OK);
        assert_eq!(shown.headers()["content-type"], "image/webp");
        assert!(shown.bytes().await?.starts_with(b"RIFF"));
        app.close().await?;
        Ok(())
    }
}

/// How many pictures have workers that are killed.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no command line to configure them"
)]
fn pictures() -> usize {
    let wanted = std::env::var("LYO_TEST_THUMBNAILS").ok();
    wanted.and_then(|text| text.parse().ok()).unwrap_or(40)
}

/// A picture like no other: its number decides on its waves and its colours.
fn drawn(n: usize) -> anyhow::Result<Vec<u8>> {
    let [width, height] = SIDES.map(usize::from);
    let pixel = |x: usize| [x * (n + 1) / 16, x * 3 / 8, n * 7].map(|it| it.to_le_bytes()[0]);
    let mut row: Vec<u8> = (0..width).flat_map(pixel).collect();
    let mut pixels = Vec::with_capacity(row.len() * height);
    for _ in 0..height {
        pixels.extend_from_slice(&row);
        row.rotate_left(3);
    }
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes, 90).encode(&pixels, SIDES[0], SIDES[1], ColorType::Rgb)?;
    Ok(bytes)
}

async fn bring(http: &Http, picture: &[u8]) -> anyhow::Result<()> {
    let request = http
        .request(Method::POST, "/v1/files")
        .header("content-type", "multipart/form-data; boundary=b");
    let made = send(request.body(form(picture))).await?;
    ensure!(made.status == StatusCode::CREATED, "{made:?}");
    Ok(())
}

/// Waits until so many tasks have ended while others run; with all of them, until none is left.
async fn until_ended(db: &Db, wanted: usize, of: usize) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let (running, ended) = sql!(
            db.conn().await?,
            fetch_one(i64, i64),
            "select count(*) filter (where state = 'running'),
                count(*) filter (where finished_at is not null)
            from tasks",
        )?;
        let ended = usize::try_from(ended)?;
        if ended >= wanted && (running > 0 || ended == of) {
            ensure!(wanted == of || ended < of, "all were done before the kill");
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "{ended} of {of} have ended");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_are_killed_leave_every_variant_whole_and_once() -> TestResult {
    let (database, data, wanted) = (TestDb::postgres().await?, TempDir::new()?, pictures());
    let temporary = data.path().join("temporary");
    fs::create_dir(&temporary)?;
    let settings = [("TMPDIR", temporary.display().to_string())];
    let mut fleet = Fleet::start_with(&database.url, data.path(), &settings).await?;
    let http = Http::new(&fleet.bases())?;
    // What is killed has much to do: nobody works until all of it is there.
    fleet.stop_workers().await?;
    for n in 0..wanted {
        bring(&http, &drawn(n)?).await?;
    }
    fleet.start_workers().await?;

    for kill in 1..=KILLS {
        until_ended(&database.db, wanted * kill / (KILLS + 1), wanted).await?;
        for worker in fleet.workers.drain(..) {
            worker.kill().await?;
        }
        fleet.start_workers().await?;
    }
    until_ended(&database.db, wanted, wanted).await?;
    fleet.stop().await?;

    check_tasks(&database.db, wanted).await?;
    let storage = Storage::folder(&data.path().join("files"))?;
    check_variants(&database.db, &storage, wanted, &temporary).await?;
    check_stored(&database.db, &storage, &data.path().join("files")).await?;
    database.close().await
}

async fn check_tasks(db: &Db, wanted: usize) -> anyhow::Result<()> {
    let (succeeded,) = sql!(
        db.conn().await?, fetch_one One<i64>,
        "select count(*) from tasks where state = 'succeeded'",
    )?;
    let (lost,) = sql!(
        db.conn().await?, fetch_one One<i64>,
        "select count(*) from task_attempts where outcome = 'lost'",
    )?;
    eprintln!("{succeeded} of {wanted} succeeded; {KILLS} kills took {lost} attempts");
    ensure!(
        usize::try_from(succeeded)? == wanted,
        "{succeeded} succeeded"
    );
    ensure!(lost > 0, "nobody was killed at work");
    Ok(())
}

/// Every picture has all variants, each with the bytes that its row names, and these are a picture
/// from the first to the last.
async fn check_variants(
    db: &Db,
    storage: &Storage,
    wanted: usize,
    folder: &Path,
) -> anyhow::Result<()> {
    let variants = sql!(
        db.conn().await?, fetch_all Variant,
        "select * from file_variants order by file_id",
    )?;
    let of_each: Vec<_> = variants
        .chunk_by(|one, other| one.file_id == other.file_id)
        .collect();
    ensure!(of_each.len() == wanted, "{} have variants", of_each.len());
    for of_one in of_each {
        ensure!(of_one.len() == VARIANTS, "{of_one:?}");
    }
    let pool = Pool::of_program(Limits::default(), program("lyo")?);
    let small = [Wanted {
        name: "small".to_owned(),
        width: 8,
        height: 8,
        fit: Fit::Inside,
        formats: vec![Format::Jpeg],
    }];
    for variant in &variants {
        let to = folder.join(format!("{}.{}", variant.digest, variant.name));
        let size = variant.size_bytes.unsigned_abs();
        storage.fetch(variant.digest.parse()?, size, &to).await?;
        let made = pool.variants(&to, &small, folder).await?;
        let sides = (i64::from(made.width), i64::from(made.height));
        ensure!(sides == (variant.width, variant.height), "{variant:?}");
        fs::remove_file(to)?;
    }
    Ok(())
}

/// What can be seen in the storage is what rows refer to, and nothing else; what the killed had begun
/// has no name there, and goes when it is swept.
async fn check_stored(db: &Db, storage: &Storage, folder: &Path) -> anyhow::Result<()> {
    let referred = sql!(
        db.conn().await?, fetch_all One<String>,
        "select digest from files union select digest from file_variants",
    )?;
    let referred: BTreeSet<String> = referred.into_iter().map(|(digest,)| digest).collect();
    let mut kept = BTreeSet::new();
    for start in names(&folder.join("kept"))? {
        for rest in names(&folder.join("kept").join(&start))? {
            let bytes = fs::read(folder.join("kept").join(&start).join(&rest))?;
            let digest = format!("{start}{rest}");
            ensure!(Digest::of(&bytes).to_string() == digest, "{digest} is torn");
            kept.insert(digest);
        }
    }
    ensure!(kept == referred, "the storage keeps something else");
    storage
        .sweep(db.now() + Duration::from_mins(1), usize::MAX)
        .await?;
    let left = names(&folder.join("incoming"))?;
    ensure!(left.is_empty(), "{left:?} stays");
    Ok(())
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().display().to_string());
    fs::read_dir(folder)?.map(name).collect()
}
