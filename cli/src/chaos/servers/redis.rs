//! A Redis of our own, which forgets everything when it stops.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::bail;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

use crate::chaos::program;

/// How long the server may take to start.
const START_TIME: Duration = Duration::from_secs(30);
/// How often we look whether it answers.
const LOOK: Duration = Duration::from_millis(20);

/// A server.
pub(crate) struct Redis {
    server: PathBuf,
    client: PathBuf,
    folder: PathBuf,
    child: Option<Child>,
}

impl Redis {
    /// Starts a server in a new folder.
    ///
    /// # Errors
    /// When Redis is not installed or does not start.
    pub(crate) async fn create(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir(folder)?;
        let mut redis = Self {
            server: program::find("redis-server", "redis-server")?,
            client: program::find("redis-cli", "redis-tools")?,
            folder: folder.to_owned(),
            child: None,
        };
        redis.start().await?;
        Ok(redis)
    }

    /// How processes reach it: by its socket.
    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Starts it, empty, and waits until it answers.
    ///
    /// # Errors
    /// When it ends or does not answer in time.
    pub(crate) async fn start(&mut self) -> anyhow::Result<()> {
        let mut command = program::tied(&self.server, None);
        command
            .args([
                "--port",
                "0",
                "--save",
                "",
                "--appendonly",
                "no",
                "--unixsocket",
            ])
            .arg(self.socket())
            .arg("--dir")
            .arg(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let socket = self.socket();
        let child = self.child.insert(command.spawn()?);
        let deadline = Instant::now() + START_TIME;
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait()? {
                bail!("Redis did not start ({status})");
            }
            let mut ping = Command::new(&self.client);
            ping.arg("-s").arg(&socket).arg("ping");
            let answer = ping.stderr(Stdio::null()).output().await?;
            if answer.stdout.starts_with(b"PONG") {
                return Ok(());
            }
            sleep(LOOK).await;
        }
        bail!("Redis does not answer after {} s", START_TIME.as_secs())
    }

    /// Kills it.
    ///
    /// # Errors
    /// When the system does not let us.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Deletes everything in it.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn flush(&self) -> anyhow::Result<()> {
        let mut command = program::tied(&self.client, None);
        command.arg("-s").arg(self.socket()).arg("flushall");
        program::finish(command).await
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("redis.sock")
    }
}
