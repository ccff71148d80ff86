//! The whole system in one process: API, relay and worker over one database.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, anyhow};
use api::{ApiConfig, App, Files, Network, Operators, SigningKeys, check_address};
use jobs::{Queue, bell::Bell, relay, store};
use media::Pool;
use models::db::{Db, DbOptions};
use platform::health::Health;
use tokio::{
    net::TcpListener,
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tracing::info;
use uuid::Uuid;
use worker::{Ctx, Models, WorkerConfig, mailer::Mailer};

use crate::{config::SystemArgs, keys};

/// How long running tasks may go on after the system was asked to stop.
const GRACE: Duration = Duration::from_secs(10);

/// A running system. Dropping it aborts everything; [`Embedded::drain`] stops it well.
pub struct Embedded {
    /// Where the API listens.
    pub address: SocketAddr,
    db: Db,
    keys: SigningKeys,
    parts: JoinSet<anyhow::Result<()>>,
    stop: CancellationToken,
}

impl Embedded {
    /// Migrates the database and starts every part; `pictures` decodes images. Unfinished work is continued, at once where the
    /// database lies in the data folder: the caller must have that folder to itself.
    ///
    /// # Errors
    /// When the database cannot be reached or migrated, or the listener has no address.
    pub async fn start(
        args: &SystemArgs,
        pictures: Pool,
        listener: TcpListener,
    ) -> anyhow::Result<Self> {
        let address = listener.local_addr()?;
        // At once: what listens for nobody must not migrate a database first.
        check_address(address, args.identity.signing_keys.is_none())?;
        let data = args.data.folder()?;
        let db = connect(args).await?;
        if args.database.in_data_folder() {
            continue_at_once(&db).await?;
        }
        let (bell, health, stop) = (
            Bell::in_process(),
            Health::default(),
            CancellationToken::new(),
        );
        let mut app = App::new(db.clone(), bell.clone(), health.clone());
        app.keys = keys::of(&args.identity, &data)?;
        let keys = app.keys.clone();
        // Only this machine reaches its own address: without a token, whoever may run the system is
        // its author, and may operate it. Unless its operator wants tokens.
        app.open = address.ip().is_loopback() && args.identity.is_open();
        args.passwords.apply(&mut app);
        app.network = Network::new(args.network.clone());
        app.operators = args.operator.operators(Operators::Everybody);
        app.sendgrid_key
            .clone_from(&args.webhooks.sendgrid_webhook_key);
        let storage = args.storage.open(&args.data)?;
        app.files = Files::new(storage.clone());
        let model = Models::lazy(args.model.config(&data), health.clone());
        let ctx = Ctx {
            db: db.clone(),
            bell: bell.clone(),
            model,
            mailer: Mailer::new(args.email.config(&data)?)?,
            pictures: Arc::new(pictures),
            storage: Some(storage),
            health,
        };
        let worker = WorkerConfig {
            // A name of its own for each start: the heartbeat keeps alive what runs under it.
            name: format!("embedded-{}", Uuid::now_v7().simple()),
            queues: Queue::ALL.to_vec(),
            concurrency: args.worker.concurrency.into(),
            grace: GRACE,
        };
        let mut parts = JoinSet::new();
        let serving = api::serve(app, ApiConfig::default(), listener, stop.clone());
        parts.spawn(serving);
        parts.spawn(worker::run(worker, ctx, stop.clone()));
        let relay = relay::run(db.clone(), bell, stop.clone());
        parts.spawn(async move {
            relay.await;
            Ok(())
        });
        Ok(Self {
            address,
            db,
            keys,
            parts,
            stop,
        })
    }

    /// A token for the author of this machine, good for a day.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn token(&self) -> anyhow::Result<String> {
        keys::token(&self.db, &self.keys).await
    }

    /// Waits until a part fails; none ends by itself otherwise.
    pub async fn failed(&mut self) -> anyhow::Error {
        match self.parts.join_next().await {
            Some(ended) => failure(ended),
            None => std::future::pending().await,
        }
    }

    /// Whether every part still runs.
    ///
    /// # Errors
    /// Why a part does not.
    pub fn check(&mut self) -> anyhow::Result<()> {
        self.parts
            .try_join_next()
            .map_or(Ok(()), |ended| Err(failure(ended)))
    }

    /// Stops fetching, gives running tasks some time, puts back what is not done, and closes.
    ///
    /// # Errors
    /// The first failure of a part; the others are still stopped well.
    pub async fn drain(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        let mut result = Ok(());
        while let Some(ended) = self.parts.join_next().await {
            let ended = ended.map_err(anyhow::Error::from).flatten();
            result = result.and(ended);
        }
        self.db.close().await;
        result
    }
}

/// Why a part that should run for ever has ended.
fn failure(ended: Result<anyhow::Result<()>, JoinError>) -> anyhow::Error {
    match ended {
        Ok(Err(error)) => error,
        Ok(Ok(())) => anyhow!("a part of the system has stopped by itself"),
        Err(panic) => panic.into(),
    }
}

/// The database, at this release.
async fn connect(args: &SystemArgs) -> anyhow::Result<Db> {
    let url = args.database.url(&args.data)?;
    let unusable = "the database cannot be used: check DATABASE_URL, or the data folder";
    let db = Db::connect(url.expose(), &DbOptions::default())
        .await
        .context(unusable)?;
    db.migrate()
        .await
        .context("the database cannot be brought to this release")?;
    Ok(db)
}

/// Takes back what a process that was killed left running: nobody waits for its leases to end.
async fn continue_at_once(db: &Db) -> anyhow::Result<()> {
    let tasks = store::take_over(db, db.now())
        .await
        .context("unfinished work cannot be continued")?;
    if tasks > 0 {
        info!(tasks, "Continuing {tasks} unfinished tasks");
    }
    Ok(())
}
