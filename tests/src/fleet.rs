//! A fleet of child processes: two APIs and three workers over one PostgreSQL and one Redis.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, anyhow, ensure};
use jobs::testing::TestRedis;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};
use uuid::Uuid;

use crate::canaries::{self, Logs};

/// Where the logs of a fleet are, in its data folder.
const LOGS: &str = "logs";
/// How long a process may take to start or to end.
const PATIENCE: Duration = Duration::from_mins(2);
/// Each role as its own program and as a command of the large one.
const APIS: [&[&str]; 2] = [&["lyo", "api"], &["lyo-api"]];
const WORKERS: [&[&str]; 3] = [&["lyo", "worker"], &["lyo-worker"], &["lyo-worker"]];
/// How the names of settings end whose values are secret.
const SECRETS: [&str; 3] = ["KEYS", "PASSWORD", "TOKEN"];
/// What a shell may have set and a story must not see.
const FOREIGN: [&str; 12] = [
    "HOST",
    "LYO_EMAIL",
    "LYO_EMAIL_FROM",
    "LYO_MODEL",
    "LYO_OPERATOR_TOKEN",
    "LYO_SIGNING_KEYS",
    "LYO_QUEUES",
    "LYO_CONCURRENCY",
    "LYO_PLACES",
    "LYO_MIGRATE",
    "LYO_LOG",
    "RUST_LOG",
];

/// The processes, and the Redis between them.
pub struct Fleet {
    /// The Redis of this fleet alone.
    pub redis: TestRedis,
    /// Those who run tasks.
    pub workers: Vec<Node>,
    apis: Vec<Node>,
    database: String,
    data: PathBuf,
    settings: Vec<(String, String)>,
    /// The last to go: what was logged until then is searched.
    logs: Logs,
}

/// One process. Dropping it kills it.
pub struct Node {
    /// Where it listens.
    pub base: String,
    child: Child,
    /// Held open: a closed pipe would end the process at its next word.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Fleet {
    /// Starts every process; the first to come migrates.
    pub async fn start(database: &str, data: &Path) -> anyhow::Result<Self> {
        Self::start_with(database, data, &[]).await
    }

    /// Starts every process with these settings too.
    pub async fn start_with(
        database: &str,
        data: &Path,
        settings: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        let logs = data.join(LOGS);
        fs::create_dir_all(&logs)?;
        for (name, value) in settings {
            if SECRETS.iter().any(|end| name.ends_with(end)) {
                canaries::plant(value);
            }
        }
        let redis = TestRedis::start()
            .await
            .map_err(anyhow::Error::from_boxed)?;
        let mut fleet = Self {
            redis,
            workers: Vec::new(),
            apis: Vec::new(),
            database: database.to_owned(),
            data: data.to_owned(),
            settings: settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            logs: Logs::start(Some(&logs)),
        };
        for words in APIS {
            let api = fleet.node(words).await?;
            fleet.apis.push(api);
        }
        fleet.start_workers().await?;
        Ok(fleet)
    }

    /// Where the APIs listen.
    pub fn bases(&self) -> Vec<String> {
        self.apis.iter().map(|api| api.base.clone()).collect()
    }

    /// Starts three workers.
    pub async fn start_workers(&mut self) -> anyhow::Result<()> {
        for words in WORKERS {
            let worker = self.node(words).await?;
            self.workers.push(worker);
        }
        Ok(())
    }

    /// Stops the workers as an orchestrator does.
    pub async fn stop_workers(&mut self) -> anyhow::Result<()> {
        for worker in self.workers.drain(..) {
            worker.stop().await?;
        }
        Ok(())
    }

    /// Stops everything, and looks for secrets in what was logged. Answers how many lines that is.
    pub async fn stop(mut self) -> anyhow::Result<usize> {
        self.stop_workers().await?;
        for api in self.apis.drain(..) {
            api.stop().await?;
        }
        self.logs.search()
    }

    async fn node(&self, words: &[&str]) -> anyhow::Result<Node> {
        let mut command = command(words[0])?;
        let log = format!("{}.log", Uuid::now_v7().simple());
        command
            .args(&words[1..])
            .env("DATABASE_URL", &self.database)
            .env("REDIS_URL", self.redis.url())
            .env("LYO_DATA", &self.data)
            .env("LYO_DATABASE_CONNECTIONS", "5")
            // Many processes compute on few cores, and a drain should not take long.
            .env("LYO_THREADS", "1")
            .env("LYO_GRACE", "1")
            .env("LYO_LOG", canaries::LEVEL)
            .env("LYO_LOG_FORMAT", "json")
            .env("PORT", "0")
            .envs(self.settings.iter().cloned())
            .stdout(Stdio::piped())
            .stderr(File::create(self.data.join(LOGS).join(log))?);
        let mut child = command.spawn()?;
        let output = child.stdout.take().context("the output is piped")?;
        let mut output = BufReader::new(output).lines();
        let line = timeout(PATIENCE, output.next_line()).await??;
        let line = line.with_context(|| format!("{words:?} has ended"))?;
        let (_, base) = line
            .split_once(" on ")
            .with_context(|| format!("{words:?} says {line:?}"))?;
        Ok(Node {
            base: base.to_owned(),
            child,
            _output: output,
        })
    }
}

impl Node {
    /// Asks it to stop, and waits until it has.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let id = self.child.id().context("it has ended before")?;
        let sent = Command::new("kill")
            .args(["-TERM", &id.to_string()])
            .status()
            .await?;
        ensure!(sent.success(), "kill failed");
        let ended = timeout(PATIENCE, self.child.wait())
            .await
            .context("it does not stop")??;
        ensure!(ended.success(), "it stopped with {ended}");
        Ok(())
    }

    /// Ends it as nothing can prevent.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// A program of this build, undisturbed by what this shell has set.
pub fn command(name: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(program(name)?);
    for name in FOREIGN {
        command.env_remove(name);
    }
    command.kill_on_drop(true);
    Ok(command)
}

/// A program of this build: cargo puts it beside the folder of the tests.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test
        .ancestors()
        .nth(2)
        .ok_or_else(|| anyhow!("{}", test.display()))?;
    let program = folder.join(name);
    ensure!(
        program.exists(),
        "{} is missing: cargo build --workspace --bins",
        program.display()
    );
    Ok(program)
}
