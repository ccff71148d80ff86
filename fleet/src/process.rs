//! The parts that every process of a fleet has, from its start to its end.

use anyhow::{Context, anyhow};
use jobs::{
    Queue,
    bell::{Bell, RedisOptions},
    relay,
};
use models::db::{Db, DbOptions};
use platform::health::Health;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{config::FleetArgs, pulse, signal};

/// What a process is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// It answers requests and watches tasks.
    Api,
    /// It takes tasks from these queues.
    Worker(Vec<Queue>),
}

/// A process that has reached its database and runs a relay.
#[derive(Debug)]
pub struct Process {
    /// The database.
    pub db: Db,
    /// The bell.
    pub bell: Bell,
    /// Where parts say how they are.
    pub health: Health,
    /// Cancelled when the process is to end.
    pub stop: CancellationToken,
    parts: JoinSet<anyhow::Result<()>>,
}

impl Process {
    /// Connects, migrates, and starts the relay. Redis is not waited for.
    ///
    /// # Errors
    /// When the database cannot be reached or migrated, or the address of Redis cannot be used.
    pub async fn start(args: &FleetArgs, role: Role) -> anyhow::Result<Self> {
        let options = RedisOptions {
            url: args.redis_url.expose().to_owned(),
            queues: match &role {
                Role::Api => Vec::new(),
                Role::Worker(queues) => queues.clone(),
            },
            watches: role == Role::Api,
        };
        let db = connect(args).await?;
        let bell = Bell::redis(&options)?;
        let (health, stop) = (Health::default(), CancellationToken::new());
        let mut process = Self {
            db,
            bell,
            health,
            stop,
            parts: JoinSet::new(),
        };
        let (db, bell, health) = (
            process.db.clone(),
            process.bell.clone(),
            process.health.clone(),
        );
        let stop = process.stop.clone();
        process.part(endless(relay::run(db, bell.clone(), stop.clone())));
        process.part(endless(pulse::report(bell, health, role, stop)));
        Ok(process)
    }

    /// Adds a part that runs until `stop` is cancelled.
    pub fn part(&mut self, part: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        self.parts.spawn(part);
    }

    /// Runs until the process is asked to stop or a part fails, then ends every part well.
    ///
    /// # Errors
    /// The first failure of a part.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let mut result = tokio::select! {
            stopped = signal::stop() => stopped.map_err(Into::into),
            Some(ended) = self.parts.join_next() => Err(failure(ended)),
        };
        info!("Stopping: what is not done is put back");
        self.stop.cancel();
        while let Some(ended) = self.parts.join_next().await {
            result = result.and(ended.map_err(anyhow::Error::from).flatten());
        }
        // Last, because those who stopped have told of what they put back.
        self.bell.close().await;
        self.db.close().await;
        result
    }
}

async fn endless(part: impl Future<Output = ()>) -> anyhow::Result<()> {
    part.await;
    Ok(())
}

/// Why a part that should run for ever has ended.
fn failure(ended: Result<anyhow::Result<()>, JoinError>) -> anyhow::Error {
    match ended {
        Ok(Err(error)) => error,
        Ok(Ok(())) => anyhow!("a part of the process has stopped by itself"),
        Err(panic) => panic.into(),
    }
}

async fn connect(args: &FleetArgs) -> anyhow::Result<Db> {
    let options = DbOptions {
        connections_max: args.database_connections,
    };
    let db = Db::connect(args.database_url.expose(), &options)
        .await
        .context("the database cannot be used: check DATABASE_URL")?;
    if args.migrate {
        db.migrate()
            .await
            .context("the database cannot be brought to this release")?;
    }
    Ok(db)
}
