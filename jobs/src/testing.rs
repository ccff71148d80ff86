//! A private Redis for a test, which may be killed, stalled and started again.

use std::{path::PathBuf, process::Stdio, time::Duration};

use models::testing::TestResult;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

/// How long the server may take to answer for the first time.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A Redis server on a socket of its own. Dropping it kills it.
#[derive(Debug)]
pub struct TestRedis {
    folder: TempDir,
    server: Child,
}

impl TestRedis {
    /// Starts a server without any data. `scripts/dev-services` installs the program.
    pub async fn start() -> TestResult<Self> {
        let folder = TempDir::new()?;
        let server = serve(&folder)?;
        let redis = Self { folder, server };
        redis.answers().await?;
        Ok(redis)
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("unix://{}", socket(&self.folder).display())
    }

    /// Kills it, as a crash does: nothing is saved.
    pub async fn kill(&mut self) -> TestResult {
        Ok(self.server.kill().await?)
    }

    /// Starts it again after it was killed, empty.
    pub async fn restart(&mut self) -> TestResult {
        self.server = serve(&self.folder)?;
        self.answers().await
    }

    /// Stops it in the middle of whatever it does, and lets it go on.
    pub async fn stall(&self, stalled: bool) -> TestResult {
        let signal = if stalled { "-STOP" } else { "-CONT" };
        let id = self.server.id().ok_or("it does not run")?;
        let sent = Command::new("kill")
            .args([signal, &id.to_string()])
            .status()
            .await?;
        if sent.success() {
            Ok(())
        } else {
            Err("kill failed".into())
        }
    }

    /// Runs a command and gives back the answer.
    pub async fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> TestResult<T> {
        let client = redis::Client::open(self.url())?;
        let mut conn = client.get_multiplexed_async_connection().await?;
        let mut command = redis::cmd(words.first().ok_or("no command")?);
        command.arg(&words[1..]);
        Ok(command.query_async(&mut conn).await?)
    }

    async fn answers(&self) -> TestResult {
        let deadline = Instant::now() + START_TIMEOUT;
        while let Err(error) = self.command::<String>(&["PING"]).await {
            if Instant::now() > deadline {
                return Err(error);
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

fn socket(folder: &TempDir) -> PathBuf {
    folder.path().join("redis.sock")
}

fn serve(folder: &TempDir) -> TestResult<Child> {
    let server = Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--appendonly", "no"])
        .args(["--daemonize", "no", "--loglevel", "warning"])
        .arg("--unixsocket")
        .arg(socket(folder))
        .arg("--dir")
        .arg(folder.path())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    server.map_err(|error| {
        format!("redis-server does not start ({error}): scripts/dev-services installs it").into()
    })
}
