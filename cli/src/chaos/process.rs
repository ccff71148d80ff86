//! One process of the fleet, as a child of this one.

use std::{fs::File, path::PathBuf, process::Stdio, time::Duration};

use anyhow::Context;
use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout},
    time::timeout,
};

use super::program;

/// How long a process may take to say that it listens.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// By how much the clock of a skewed process is wrong.
const SKEW: &str = "+1h";

/// What a process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// It answers requests.
    Api,
    /// It runs tasks.
    Worker,
}

/// How processes are started.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// The `lyo` program.
    pub lyo: PathBuf,
    /// The database.
    pub database: String,
    /// The Redis.
    pub redis: String,
    /// Where data and logs go.
    pub folder: PathBuf,
    /// What makes the clock of one worker wrong, if that is wanted.
    pub faketime: Option<PathBuf>,
}

/// A running process. Dropping it kills it.
pub(crate) struct Process {
    /// Where it listens.
    pub base: String,
    /// Its name; that of a worker stands in the attempts.
    pub name: String,
    child: Child,
    /// Held open: a closed pipe would end the process at its next word.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts a process and waits for its first line.
    ///
    /// # Errors
    /// When it ends before that: the database may be away.
    pub(crate) async fn start(launch: &Launch, role: Role, place: usize) -> anyhow::Result<Self> {
        let (word, skewed) = match role {
            Role::Api => ("api", None),
            Role::Worker => ("worker", launch.faketime.as_ref().filter(|_| place == 0)),
        };
        let log = launch.folder.join(format!("{word}-{place}.log"));
        let log = File::options().create(true).append(true).open(log)?;
        let mut command = program::tied(skewed.unwrap_or(&launch.lyo), None);
        if skewed.is_some() {
            command.args(["-f", SKEW]).arg(&launch.lyo);
        }
        // What this shell has set is not part of the plan.
        command
            .env_clear()
            .arg(word)
            .env("DATABASE_URL", &launch.database)
            .env("REDIS_URL", &launch.redis)
            .env("LYO_DATA", launch.folder.join("data"))
            .env("LYO_LOG", "info,job.run=warn")
            .env("LYO_LOG_FORMAT", "text")
            .env("LYO_THREADS", "1")
            // One lesson in each worker: a kill undoes one at most.
            .env("LYO_CONCURRENCY", "1")
            .env("LYO_PLACES", "1")
            .env("PORT", "0")
            // A clock that is set wrong does not change how long a second is.
            .env("DONT_FAKE_MONOTONIC", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = command.spawn()?;
        let output = child.stdout.take().context("the output is piped")?;
        let mut output = BufReader::new(output).lines();
        let line = timeout(START_TIMEOUT, output.next_line()).await??;
        let line = line.context("it has ended at its start")?;
        let (words, base) = line
            .split_once(" on ")
            .with_context(|| format!("it says {line:?}"))?;
        let name = match role {
            Role::Api => format!("api-{place}"),
            Role::Worker => words.split(' ').next().unwrap_or_default().to_owned(),
        };
        Ok(Self {
            base: base.to_owned(),
            name,
            child,
            _output: output,
        })
    }

    /// Ends it as nothing can prevent.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Returns when it has ended by itself.
    pub(crate) async fn ended(&mut self) {
        // An error says that there is no such process any more.
        let _ = self.child.wait().await;
    }
}
