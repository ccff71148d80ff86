//! A PostgreSQL of our own, durable as in production: what it has acknowledged survives a crash.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::{
    process::Child,
    time::{Instant, sleep},
};

use crate::chaos::program::{self, User};

/// How long the server may take to start: after a crash it replays its log.
const START_TIME: Duration = Duration::from_mins(1);
/// How often we look whether it answers.
const LOOK: Duration = Duration::from_millis(20);
/// Every process has up to 10 connections.
const CONNECTIONS_MAX: u32 = 300;

/// A server, with its data.
pub(crate) struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    user: Option<User>,
    child: Option<Child>,
}

impl Postgres {
    /// Makes a server in a new folder and starts it.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start.
    pub(crate) async fn create(folder: &Path) -> anyhow::Result<Self> {
        let user = User::of_servers().await?;
        fs::create_dir(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        if let Some(user) = user {
            chown(folder, Some(user.uid), Some(user.gid))?;
        }
        let mut server = Self {
            programs: programs()?,
            folder: folder.to_owned(),
            user,
            child: None,
        };
        let mut initdb = program::tied(&server.programs.join("initdb"), user);
        initdb.arg("-D").arg(server.data()).args([
            "-U",
            "lyo",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
        ]);
        program::finish(initdb).await?;
        server.start().await?;
        Ok(server)
    }

    /// How processes reach it: by its socket.
    pub(crate) fn url(&self) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://lyo@{folder}/postgres")
    }

    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// When it ends or does not answer in time.
    pub(crate) async fn start(&mut self) -> anyhow::Result<()> {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.with_extension("log"))?;
        let mut command = program::tied(&self.programs.join("postgres"), self.user);
        command
            .arg("-D")
            .arg(self.data())
            .args(["-c", "listen_addresses=", "-c"])
            .arg(format!("unix_socket_directories={}", self.folder.display()))
            .args(["-c", &format!("max_connections={CONNECTIONS_MAX}")])
            .args(["-c", "fsync=on", "-c", "synchronous_commit=on"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = self.child.insert(command.spawn()?);
        let deadline = Instant::now() + START_TIME;
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait()? {
                bail!("PostgreSQL did not start ({status}): see postgres.log");
            }
            let mut ready = program::tied(&self.programs.join("pg_isready"), None);
            ready.arg("-q").arg("-h").arg(&self.folder);
            if ready.status().await?.success() {
                return Ok(());
            }
            sleep(LOOK).await;
        }
        bail!(
            "PostgreSQL does not answer after {} s",
            START_TIME.as_secs()
        )
    }

    /// Stops it as a crash would: nothing is finished, nothing is flushed.
    ///
    /// # Errors
    /// When it cannot be stopped.
    pub(crate) async fn stop_at_once(&mut self) -> anyhow::Result<()> {
        let mut stop = program::tied(&self.programs.join("pg_ctl"), self.user);
        stop.arg("-D")
            .arg(self.data())
            .args(["-m", "immediate", "-w", "stop"]);
        program::finish(stop).await?;
        if let Some(mut child) = self.child.take() {
            child.wait().await?;
        }
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }
}

/// The folder of PostgreSQL's programs: Debian keeps it off the `PATH`. The newest release wins.
fn programs() -> anyhow::Result<PathBuf> {
    let releases = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut releases: Vec<_> = releases
        .map(|release| release.path().join("bin"))
        .filter(|bin| bin.join("initdb").is_file())
        .collect();
    let number =
        |bin: &PathBuf| -> Option<u32> { bin.parent()?.file_name()?.to_str()?.parse().ok() };
    releases.sort_by_key(number);
    if let Some(newest) = releases.pop() {
        return Ok(newest);
    }
    let initdb = program::find("initdb", "postgresql")?;
    Ok(initdb
        .parent()
        .context("a program lies in a folder")?
        .to_owned())
}
