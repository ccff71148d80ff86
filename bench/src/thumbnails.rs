//! Photographs that wait already, made into thumbnails by one worker and then by two.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use models::{Db, DbOptions, sql, sql::One};

use crate::{
    System,
    http::{Address, Connection},
    process::Process,
};

/// How many workers there are, one after the other.
const WORKERS: [usize; 2] = [1, 2];
/// What is made of each photograph: three sizes in two formats.
const VARIANTS: usize = 6;
/// How long all of them may take.
const PATIENCE: Duration = Duration::from_mins(10);
/// Between two looks at how many are done.
const POLL: Duration = Duration::from_millis(200);

/// A system of several processes, and the photographs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    system: System,

    /// Where the system's database is.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database: String,

    /// A folder of photographs, no two the same.
    #[arg(long, value_name = "FOLDER")]
    photographs: PathBuf,
}

/// Measures, and prints a line.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let photographs = photographs(&args.photographs)?;
    let worker = args.system.worker.as_deref().context("no worker")?;
    let address = Address::new(args.system.port);
    let (_api, _) = Process::api(&args.system.api, &address).await?;
    let db = Db::connect(&args.database, &DbOptions::default()).await?;
    let mut rates = Vec::new();
    for (round, workers) in WORKERS.into_iter().enumerate() {
        let mut connection = address.connect().await?;
        for photograph in &photographs {
            bring(&mut connection, photograph).await?;
        }
        let began = db.now();
        let running: Result<Vec<Process>> = (0..workers).map(|_| Process::start(worker)).collect();
        let running = running?;
        let took = until_done(&db, began, photographs.len()).await?;
        drop(running);
        let (variants,) = sql!(
            db.conn().await?, fetch_one One<i64>,
            "select count(*) from file_variants",
        )?;
        let expected = VARIANTS * photographs.len() * (round + 1);
        ensure!(
            usize::try_from(variants)? == expected,
            "{variants} variants"
        );
        let rate = f64::from(u32::try_from(photographs.len())?) / took.as_seconds_f64();
        rates.push(format!("{rate:.1} a second by {workers} worker(s)"));
    }
    println!(
        "- {} photographs, {VARIANTS} variants each: {}.",
        photographs.len(),
        rates.join(", "),
    );
    Ok(())
}

fn photographs(folder: &Path) -> Result<Vec<Vec<u8>>> {
    let mut photographs = Vec::new();
    for entry in fs::read_dir(folder)? {
        photographs.push(fs::read(entry?.path())?);
    }
    ensure!(!photographs.is_empty(), "{} is empty", folder.display());
    Ok(photographs)
}

async fn bring(connection: &mut Connection, photograph: &[u8]) -> Result<()> {
    let head = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jpg\"\r\n\r\n";
    let form = [head.as_bytes(), photograph, b"\r\n--b--\r\n"].concat();
    let answer = connection
        .send("/v1/files", "multipart/form-data; boundary=b", "", &form)
        .await?;
    ensure!(answer.status == 201, "{:?}", answer.json());
    Ok(())
}

/// From the first start after `began` to the last end, once so many have succeeded since.
async fn until_done(db: &Db, began: DateTime<Utc>, wanted: usize) -> Result<TimeDelta> {
    let waiting = Instant::now();
    while waiting.elapsed() < PATIENCE {
        let (done, first, last) = sql!(
            db.conn().await?,
            fetch_one(i64, Option<DateTime<Utc>>, Option<DateTime<Utc>>),
            "select count(*), min(started_at), max(finished_at) from tasks
            where kind = 'image.thumbnail' and state = 'succeeded' and finished_at >= $1",
            began,
        )?;
        if usize::try_from(done)? >= wanted {
            return Ok(last.context("no end")? - first.context("no start")?);
        }
        tokio::time::sleep(POLL).await;
    }
    anyhow::bail!("not all thumbnails were made within {PATIENCE:?}")
}
