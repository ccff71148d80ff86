//! What a long history costs: submits and claims, before and after.

use anyhow::{Result, ensure};
use models::{Db, DbOptions, sql};

use crate::{System, drain, http::Address, process::Process, submits::submit};

/// Each figure is the median of so many.
const ROUNDS: usize = 5;

/// A system over PostgreSQL, and how much history.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    system: System,

    /// Where the system's database is.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database: String,

    /// Tasks that have ended long ago.
    #[arg(long, default_value_t = 1_000_000)]
    rows: i64,

    /// Tasks that are submitted, and then claimed, in each round.
    #[arg(long, default_value_t = 10_000)]
    tasks: usize,
}

/// Measures, and prints a line.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let address = Address::new(args.system.port);
    let (_api, _) = Process::api(&args.system.api, &address).await?;
    let db = Db::connect(&args.database, &DbOptions::default()).await?;
    // Once for nothing: buffers grow, files are made.
    round(args, &address).await?;
    let before = rates(args, &address).await?;
    make_history(&db, args.rows).await?;
    let after = rates(args, &address).await?;
    let change = |now: f64, then: f64| (then / now - 1.0) * 100.0;
    println!(
        "- {} ended tasks more: submits {:.0}/s before, {:.0}/s after, {:+.0} % time each; claims and \
         ends {:.0}/s before, {:.0}/s after, {:+.0} % time each.",
        args.rows,
        before.0,
        after.0,
        change(after.0, before.0),
        before.1,
        after.1,
        change(after.1, before.1),
    );
    Ok(())
}

/// Medians of submits in a second without a worker, and of tasks that a worker then ends in a second.
async fn rates(args: &Args, address: &Address) -> Result<(f64, f64)> {
    let (mut submits, mut drains) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (submitted, drained) = round(args, address).await?;
        submits.push(submitted);
        drains.push(drained);
    }
    submits.sort_by(f64::total_cmp);
    drains.sort_by(f64::total_cmp);
    Ok((submits[ROUNDS / 2], drains[ROUNDS / 2]))
}

async fn round(args: &Args, address: &Address) -> Result<(f64, f64)> {
    let (load, ids) = submit(&args.system, address, args.tasks, "").await?;
    Ok((
        load.rate(),
        drain::by_a_worker(&args.system, address, &ids).await?,
    ))
}

/// Copies a task that has succeeded, with its attempt and its events, into the last hour.
async fn make_history(db: &Db, rows: i64) -> Result<()> {
    ensure!(!db.is_sqlite(), "history is made in PostgreSQL");
    let mut tx = db.begin().await?;
    // More rows at once than a server ever writes.
    sql!(tx, execute, "set local statement_timeout = 0")?;
    sql!(
        tx,
        execute,
        "create temporary table model on commit drop as
        select * from tasks where state = 'succeeded' limit 1",
    )?;
    // Ids as they would be: they begin with the time.
    sql!(
        tx, execute,
        "create temporary table history on commit drop as
        select at, cast(lpad(to_hex(cast(extract(epoch from at) * 1000 as bigint)), 12, '0')
            || '7' || substr(md5(cast(n as text)), 1, 3) || '8' || substr(md5(cast(n as text)), 4, 15)
            as uuid) as id
        from (
            select n, clock_timestamp() - n * interval '3 milliseconds' as at
            from generate_series(1, $1) n
        ) t",
        rows,
    )?;
    sql!(
        tx,
        execute,
        "insert into tasks
        select r.* from history h, model m, lateral jsonb_populate_record(cast(null as tasks),
            to_jsonb(m) || jsonb_build_object('id', h.id, 'created_at', h.at, 'run_at', h.at,
                'started_at', h.at, 'finished_at', h.at, 'updated_at', h.at)) r",
    )?;
    sql!(
        tx,
        execute,
        "insert into task_attempts
        select r.* from history h, task_attempts a,
            lateral jsonb_populate_record(a, jsonb_build_object('task_id', h.id)) r
        where a.task_id = (select id from model)",
    )?;
    sql!(
        tx,
        execute,
        "insert into task_events
        select r.* from history h, task_events e,
            lateral jsonb_populate_record(e, jsonb_build_object('task_id', h.id)) r
        where e.task_id = (select id from model)",
    )?;
    tx.commit().await?;
    // As the server itself does in the background, a minute later.
    let mut conn = db.conn().await?;
    sql!(conn, execute, "set statement_timeout = 0")?;
    sql!(conn, execute, "vacuum analyze")?;
    sql!(conn, execute, "checkpoint")?;
    Ok(())
}
