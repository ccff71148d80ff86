//! The server that a command talks to: one that was named, one that already runs on the data
//! folder, or an embedded one of our own.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::Context;
use media::{Limits, Pool};
use models::db::{Db, DbOptions};
use platform::config::Secret;
use tokio::{net::TcpListener, time::sleep};
use tracing::debug;

use crate::{
    client::{self, Client},
    config::SystemArgs,
    embedded::Embedded,
    keys,
    lock::{Claim, DataLock},
};

/// How often a request is tried again while the server does not answer.
const TRIES_MAX: u32 = 30;

/// The pause between two tries.
const TRY_PAUSE: Duration = Duration::from_secs(1);

/// A server, with what this process owns of it.
pub(crate) struct Server {
    client: Client,
    /// Where it is, for people.
    pub base: String,
    kind: Kind,
}

enum Kind {
    /// Named by the user.
    Named,
    /// Another process on the same data folder, found by its lock.
    Neighbour,
    /// Started here. The lock is given back after the system has stopped.
    Ours(Box<Embedded>, DataLock),
}

impl Server {
    /// The server at an address that the user named.
    ///
    /// # Errors
    /// When the system's TLS cannot be set up.
    pub(crate) fn named(url: &str, token: Option<Secret>) -> anyhow::Result<Self> {
        Ok(Self {
            client: Client::new(url, token)?,
            base: url.to_owned(),
            kind: Kind::Named,
        })
    }

    /// The server of the data folder: the one that runs there, or a new one on a free port.
    ///
    /// # Errors
    /// When the data folder cannot be used, or the system does not start.
    pub(crate) async fn of_data_folder(args: &SystemArgs) -> anyhow::Result<Self> {
        let (address, kind) = match DataLock::claim(&args.data.folder()?).await? {
            Claim::Theirs(address) => (address, Kind::Neighbour),
            Claim::Ours(lock) => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                let system = Embedded::start(args, Pool::new(Limits::default()), listener).await?;
                lock.announce(system.address)?;
                (system.address, Kind::Ours(Box::new(system), lock))
            }
        };
        let base = format!("http://{address}");
        Ok(Self {
            client: Client::new(&base, token(args, &kind).await?)?,
            base,
            kind,
        })
    }

    /// Whether the work ends with this process.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.kind, Kind::Ours(..))
    }

    /// Asks until there is an answer, within bounds. A neighbour that has gone is replaced.
    ///
    /// # Errors
    /// The server's own refusal, or that nobody has answered for too long.
    pub(crate) async fn ask<T>(
        &mut self,
        args: &SystemArgs,
        question: impl AsyncFn(&Client) -> Result<T, client::Error>,
    ) -> anyhow::Result<T> {
        let mut tries = 0;
        loop {
            match question(&self.client).await {
                Err(error) if error.is_passing() && tries < TRIES_MAX => {
                    debug!(%error, tries, "Asking again");
                    tries += 1;
                    sleep(TRY_PAUSE).await;
                    self.replace_if_gone(args).await?;
                }
                answer => return answer.map_err(Into::into),
            }
        }
    }

    async fn replace_if_gone(&mut self, args: &SystemArgs) -> anyhow::Result<()> {
        match &mut self.kind {
            Kind::Named => {}
            Kind::Neighbour => *self = Self::of_data_folder(args).await?,
            Kind::Ours(system, _) => system.check().context("the embedded system has stopped")?,
        }
        Ok(())
    }

    /// Stops what was started here; work that is not done is kept for the next start.
    ///
    /// # Errors
    /// When a part of the embedded system had failed.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        match self.kind {
            Kind::Ours(system, _lock) => system.drain().await,
            Kind::Named | Kind::Neighbour => Ok(()),
        }
    }
}

/// What proves to the server of the data folder that this command is its author's, where it asks.
async fn token(args: &SystemArgs, kind: &Kind) -> anyhow::Result<Option<Secret>> {
    if args.identity.is_open() {
        return Ok(None);
    }
    let token = match kind {
        Kind::Ours(system, _) => system.token().await?,
        Kind::Named | Kind::Neighbour => {
            let keys = keys::of(&args.identity, &args.data.folder()?)?;
            let url = args.database.url(&args.data)?;
            let db = Db::connect(url.expose(), &DbOptions::default()).await?;
            let token = keys::token(&db, &keys).await?;
            db.close().await;
            token
        }
    };
    Ok(Some(token.parse()?))
}
