//! The experiment: a private fleet under load, broken as planned, and what is left of it.

use std::{fs, path::Path, sync::Arc};

use anyhow::Context;
use models::db::{Db, DbOptions};
use reqwest::Method;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Duration, Instant, sleep},
};
use tracing::info;

use super::{
    args::{ChaosArgs, FaultKind},
    cancels,
    client::{self, Client},
    courses::{self, Redone},
    driver::{self, Load},
    duplicates,
    figures::Figures,
    fleet::Fleet,
    history::{Entry, History, What},
    injector::{self, Victims},
    plan::Plan,
    process::Launch,
    program,
    rows::Rows,
    servers::{Postgres, Redis},
    watcher,
};

/// How many poll at the same time.
const WATCHERS: usize = 6;
/// How often an API is asked whether it is ready.
const PROBE_PERIOD: Duration = Duration::from_millis(50);
/// What ended must stay as it is for so long.
const SETTLE: Duration = Duration::from_secs(2);

/// Everything that is known afterwards.
pub(crate) struct Outcome {
    pub entries: Vec<Entry>,
    pub rows: Rows,
    /// Tasks that the duplicates made.
    pub duplicates: usize,
    /// How soon cancelled tasks stopped.
    pub cancels: Figures,
    pub course: Option<Redone>,
}

/// Starts the fleet in a folder, and performs every part.
///
/// # Errors
/// When a server or the fleet does not start, or a part cannot be performed.
pub(crate) async fn perform(
    args: &ChaosArgs,
    plan: Plan,
    folder: &Path,
) -> anyhow::Result<Outcome> {
    let postgres = Postgres::create(&folder.join("postgres")).await?;
    let redis = Redis::create(&folder.join("redis")).await?;
    let db = Db::connect(&postgres.url(), &DbOptions::default()).await?;
    db.migrate().await?;
    let history = History::create(db.clone(), &folder.join("history.jsonl"))?;
    let launch = launch(args, folder, &postgres, &redis)?;
    let fleet = Fleet::start(&launch, args.apis, args.workers, &history).await?;
    let fleet = Arc::new(fleet);
    info!("{} APIs and {} workers run", args.apis, args.workers);
    let client = Client::new(fleet.clone())?;
    let duplicates = duplicates::run(args.duplicates, &client).await?;
    let seed = plan.seed;
    let mut victims = Victims {
        fleet,
        postgres,
        db: db.clone(),
        redis,
    };
    load(args, plan, &client, &history, &mut victims).await?;
    let cancels = cancels::run(args.cancels, &client, &history).await?;
    let course = match args.course_kills {
        0 => None,
        kills => Some(courses::run(kills, seed, &client).await?),
    };
    sleep(SETTLE).await;
    Ok(Outcome {
        rows: Rows::read(&mut db.conn().await?).await?,
        entries: history.entries(),
        duplicates,
        cancels,
        course,
    })
}

fn launch(
    args: &ChaosArgs,
    folder: &Path,
    postgres: &Postgres,
    redis: &Redis,
) -> anyhow::Result<Launch> {
    fs::create_dir(folder.join("data"))?;
    let faketime = args
        .has(FaultKind::Clock)
        .then(|| program::find("faketime", "faketime"));
    Ok(Launch {
        lyo: std::env::current_exe().context("this program is nowhere")?,
        database: postgres.url(),
        redis: redis.url(),
        folder: folder.to_owned(),
        faketime: faketime.transpose()?,
    })
}

/// Drives the load, breaks what the plan says, and watches until everything has ended.
async fn load(
    args: &ChaosArgs,
    plan: Plan,
    client: &Client,
    history: &History,
    victims: &mut Victims,
) -> anyhow::Result<()> {
    let load = Load {
        seed: plan.seed,
        tasks: args.tasks,
        duration: args.duration(),
    };
    let began = Instant::now();
    // These end with the load, not by themselves.
    let mut probes = JoinSet::new();
    for api in 0..u32::try_from(victims.fleet.apis())? {
        probes.spawn(probe(api, client.clone(), history.clone()));
    }
    let mut parts = JoinSet::new();
    let mut watchers = Vec::new();
    for _ in 0..WATCHERS {
        let (watcher, watched) = mpsc::unbounded_channel();
        parts.spawn(watcher::watch(client.clone(), history.clone(), watched));
        watchers.push(watcher);
    }
    parts.spawn(driver::drive(
        load,
        client.clone(),
        history.clone(),
        watchers,
    ));
    parts.spawn(injector::kill(plan.kills, victims.fleet.clone(), began));
    victims.break_servers(plan.others, history, began).await?;
    while let Some(part) = parts.join_next().await {
        part?;
    }
    for entry in history.entries() {
        if let What::Poisoned { id } = entry.what {
            let path = format!("/v1/tasks/{id}");
            client.until(&path, |task| task["done"] == true).await?;
        }
    }
    info!(
        "Everything has ended that will, after {} s",
        began.elapsed().as_secs()
    );
    Ok(())
}

/// Notes whenever an API changes its mind about whether it is ready.
async fn probe(api: u32, client: Client, history: History) {
    let mut last = true;
    loop {
        let answer = client::send(client.request(Method::GET, api, "/readyz")).await;
        // Who does not answer at all was killed.
        if let Ok(answer) = answer {
            let ready = answer.status.is_success();
            if ready != last {
                history.note(What::Ready { api, ready });
                last = ready;
            }
        }
        sleep(PROBE_PERIOD).await;
    }
}
