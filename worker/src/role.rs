//! `lyo worker`, which is `lyo-worker`: runs tasks as one process of a fleet.

use std::{
    io::{Write as _, stdout},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use fleet::{FleetArgs, Process, Role, check, config::ListenArgs, probe};
use jobs::Queue;
use media::{Limits, Pool};
use platform::{config::DataArgs, storage::StorageArgs};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::{
    Ctx, Models, WorkerConfig,
    config::{ConcurrencyArgs, ModelArgs},
    mailer::{EmailArgs, Mailer},
};

/// What a worker of a fleet needs to know.
#[derive(Clone, Debug, Args)]
pub struct WorkerArgs {
    #[command(flatten)]
    fleet: FleetArgs,

    // Probes only.
    #[command(flatten)]
    listen: ListenArgs,

    /// The queues to serve.
    #[arg(
        long,
        help_heading = "Worker",
        value_name = "QUEUES",
        env = "LYO_QUEUES",
        value_delimiter = ',',
        default_value = "generation,email,media,default"
    )]
    queues: Vec<Queue>,

    #[command(flatten)]
    concurrency: ConcurrencyArgs,

    /// Seconds that running tasks may go on after SIGTERM; then they are put back.
    #[arg(
        long,
        help_heading = "Worker",
        value_name = "SECONDS",
        env = "LYO_GRACE",
        default_value_t = 20,
        value_parser = clap::value_parser!(u64).range(0..=3_600)
    )]
    grace: u64,

    #[command(flatten)]
    data: DataArgs,

    #[command(flatten)]
    storage: StorageArgs,

    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    email: EmailArgs,
}

/// Runs tasks until it is asked to stop, then drains.
///
/// # Errors
/// When the address of the probe is taken, the database cannot be reached, or a part fails.
pub async fn run(args: &WorkerArgs) -> anyhow::Result<()> {
    let address = args.listen.address();
    if args.listen.check {
        return check::ready(address).await;
    }
    let mut queues = args.queues.clone();
    queues.sort();
    queues.dedup();
    let mut process = Process::start(&args.fleet, Role::Worker(queues.clone())).await?;
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr()?;
    let (db, health, stop) = (
        process.db.clone(),
        process.health.clone(),
        process.stop.clone(),
    );
    let data = args.data.folder()?;
    let model = args.model.config(&data);
    let ctx = Ctx {
        db: db.clone(),
        bell: process.bell.clone(),
        model: Models::lazy(model, health.clone()),
        mailer: Mailer::new(args.email.config(&data)?)?,
        pictures: Arc::new(Pool::new(Limits::default())),
        storage: Some(args.storage.open(&args.data)?),
        health: health.clone(),
    };
    // A name of its own for each start: the heartbeat keeps alive what runs under it.
    let name = format!("worker-{}", Uuid::now_v7().simple());
    let config = WorkerConfig {
        name: name.clone(),
        queues,
        concurrency: args.concurrency.concurrency.into(),
        grace: Duration::from_secs(args.grace),
    };
    process.part(probe::serve(db, health, listener, stop.clone()));
    process.part(crate::run(config, ctx, stop));
    // Whoever started it may have stopped listening: that is no reason to stop working.
    let _ = writeln!(stdout(), "{name} answers probes on http://{address}");
    process.run().await
}
