//! Many tasks that become due at one moment.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use models::{Db, DbOptions, sql};

use crate::{System, http::Address, latency, process::Process};

/// Tasks in one request.
const BATCH: usize = 1_000;
/// How long all of them may take.
const PATIENCE: Duration = Duration::from_mins(10);

/// A system of several processes, and how many tasks.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    system: System,

    /// Where the system's database is.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database: String,

    /// Where its Redis is.
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    redis: String,

    /// Tasks that are due at one moment.
    #[arg(long, default_value_t = 100_000)]
    tasks: usize,
}

/// Measures, and prints a line.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let address = Address::new(args.system.port);
    let (_api, _) = Process::api(&args.system.api, &address).await?;
    let _worker = args
        .system
        .worker
        .as_deref()
        .map(Process::start)
        .transpose()?;
    latency::warm_up(&address).await?;
    let db = Db::connect(&args.database, &DbOptions::default()).await?;
    let before = memory_mib(&args.redis).await?;
    let run_at = submit(args, &address, db.now()).await?;
    let left = (run_at - db.now())
        .to_std()
        .context("submitting took too long")?;
    tokio::time::sleep(left).await;
    let last = last_end(&db, args.tasks).await?;
    let seconds = (last - run_at).as_seconds_f64();
    let after = memory_mib(&args.redis).await?;
    println!(
        "- {} tasks due at one moment: all succeeded within {seconds:.1} s; Redis {before:.2} MiB \
         before, {after:.2} MiB after.",
        args.tasks,
    );
    Ok(())
}

/// Submits the tasks, and answers when they are due.
async fn submit(args: &Args, address: &Address, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
    // A batch takes less than 100 ms.
    let patience = TimeDelta::milliseconds(i64::try_from(args.tasks)? / 10) + TimeDelta::seconds(5);
    let run_at = (now + patience).to_rfc3339_opts(SecondsFormat::Secs, true);
    let item = format!("{{\"kind\":\"noop\",\"payload\":{{\"n\":1}},\"run_at\":\"{run_at}\"}}");
    let mut connection = address.connect().await?;
    for done in (0..args.tasks).step_by(BATCH) {
        let items = vec![item.as_str(); BATCH.min(args.tasks - done)];
        let body = format!("{{\"items\":[{}]}}", items.join(","));
        let answer = connection.post("/v1/tasks/batch", "", &body).await?;
        ensure!(
            answer.status == 200,
            "{}",
            String::from_utf8_lossy(answer.body)
        );
    }
    Ok(run_at.parse()?)
}

/// Waits until so many tasks have succeeded, and answers when the last one did.
async fn last_end(db: &Db, tasks: usize) -> Result<DateTime<Utc>> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let (done, last) = sql!(
            db.conn().await?,
            fetch_one(i64, Option<DateTime<Utc>>),
            "select count(*), max(finished_at) from tasks where state = 'succeeded'",
        )?;
        if usize::try_from(done)? >= tasks {
            return last.context("nothing has ended");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    anyhow::bail!("not all tasks have ended within {PATIENCE:?}")
}

async fn memory_mib(url: &str) -> Result<f64> {
    let mut redis = redis::Client::open(url)?
        .get_multiplexed_async_connection()
        .await?;
    let info: String = redis::cmd("INFO")
        .arg("memory")
        .query_async(&mut redis)
        .await?;
    let bytes = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    let bytes: u32 = bytes.context("no used_memory")?.trim().parse()?;
    Ok(f64::from(bytes) / 1024.0 / 1024.0)
}
