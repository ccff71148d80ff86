//! Breaks things as the plan says.

use std::sync::Arc;

use anyhow::Context;
use jobs::{
    kinds::Poison,
    store::{self, Options},
};
use models::{Db, OwnerId};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::info;

use super::{
    faults::Fault,
    fleet::Fleet,
    history::{History, Server, What},
    plan::Planned,
    servers::{Postgres, Redis},
};

/// What can be broken.
pub(crate) struct Victims {
    /// The processes.
    pub fleet: Arc<Fleet>,
    /// The database,
    pub postgres: Postgres,
    /// and a way into it.
    pub db: Db,
    /// The bell.
    pub redis: Redis,
}

/// Kills processes. They go on being killed whatever happens to the servers.
pub(crate) async fn kill(kills: Vec<Planned>, fleet: Arc<Fleet>, began: Instant) {
    for Planned { at, fault } in kills {
        sleep_until(began + at).await;
        match fault {
            Fault::KillWorker(pick) => fleet.worker(pick).kill(),
            Fault::KillApi(pick) => fleet.api(pick).kill(),
            _ => unreachable!("the plan keeps kills apart"),
        }
    }
}

impl Victims {
    /// Breaks the servers, one after the other.
    ///
    /// # Errors
    /// When a server cannot be broken or does not come back.
    pub(crate) async fn break_servers(
        &mut self,
        faults: Vec<Planned>,
        history: &History,
        began: Instant,
    ) -> anyhow::Result<()> {
        for Planned { at, fault } in faults {
            sleep_until(began + at).await;
            info!("{fault}");
            self.inject(fault, history)
                .await
                .with_context(|| fault.to_string())?;
        }
        Ok(())
    }

    async fn inject(&mut self, fault: Fault, history: &History) -> anyhow::Result<()> {
        match fault {
            Fault::RestartRedis => {
                history.note(What::Down {
                    server: Server::Redis,
                });
                self.redis.kill().await?;
                self.redis.start().await?;
                history.note(What::Up {
                    server: Server::Redis,
                });
            }
            Fault::FlushRedis => {
                history.note(What::Flushed);
                self.redis.flush().await?;
            }
            Fault::RedisOutage(length) => {
                history.note(What::Down {
                    server: Server::Redis,
                });
                self.redis.kill().await?;
                sleep(length).await;
                self.redis.start().await?;
                history.note(What::Up {
                    server: Server::Redis,
                });
            }
            Fault::StopPostgres(length) => {
                history.note(What::Down {
                    server: Server::Postgres,
                });
                self.postgres.stop_at_once().await?;
                sleep(length).await;
                self.postgres.start().await?;
                history.note(What::Up {
                    server: Server::Postgres,
                });
            }
            Fault::Poison => {
                let mut tx = self.db.begin().await?;
                let options = Options::by(OwnerId::LOCAL);
                let task = store::enqueue(&mut tx, &Poison {}, options, self.db.now()).await?;
                tx.commit().await?;
                // Nobody rings: the relays find it.
                history.note(What::Poisoned { id: task.id });
            }
            Fault::KillWorker(_) | Fault::KillApi(_) => {
                unreachable!("the plan keeps kills apart")
            }
        }
        Ok(())
    }
}
