//! The real `lyo` binary as a child process.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::sleep,
};

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_mins(10);

/// The `lyo` command on a data folder, undisturbed by what this shell has set.
pub(crate) fn lyo(data: &Path) -> Command {
    lyo_at(Path::new(env!("CARGO_BIN_EXE_lyo")), data)
}

/// The same from another place.
pub(crate) fn lyo_at(program: &Path, data: &Path) -> Command {
    let mut command = Command::new(program);
    for name in [
        "DATABASE_URL",
        "HOST",
        "PORT",
        "LYO_EMAIL",
        "LYO_FILES",
        "LYO_MODEL",
        "LYO_SERVER",
        "LYO_SIGN_IN",
        "LYO_SIGNING_KEYS",
        "LYO_TOKEN",
        "LYO_LOG",
        "RUST_LOG",
    ] {
        command.env_remove(name);
    }
    command.env("LYO_DATA", data).kill_on_drop(true);
    command
}

/// A running `lyo dev`; dropping it kills it.
pub(crate) struct Dev {
    pub(crate) base: String,
    child: Child,
    /// Held open: a closed pipe would end the process at its next word.
    _output: Lines<BufReader<ChildStdout>>,
    http: reqwest::Client,
}

impl Dev {
    /// Starts `lyo dev` on any free port and waits for its first line.
    pub(crate) async fn start(data: &Path) -> anyhow::Result<Self> {
        Self::start_as(lyo(data)).await
    }

    /// The same for a command that was told more.
    pub(crate) async fn start_as(mut command: Command) -> anyhow::Result<Self> {
        command.args(["dev", "--port", "0"]).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let output = child.stdout.take().context("the output is piped")?;
        let mut output = BufReader::new(output).lines();
        let line = output.next_line().await?.unwrap_or_default();
        let base = line
            .strip_prefix("Lyo runs at ")
            .with_context(|| format!("it says {line:?}"))?;
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()?;
        Ok(Self {
            base: base.to_owned(),
            child,
            _output: output,
            http,
        })
    }

    /// The number of the process while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends the process as nothing can prevent: SIGKILL.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// GET as JSON.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.text(path).await?)?)
    }

    /// GET as text, byte for byte.
    pub(crate) async fn text(&self, path: &str) -> anyhow::Result<String> {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{path}: {status} {text}");
        Ok(text)
    }

    /// Asks for a course; gives back the paths of its task and of itself.
    pub(crate) async fn ask(&self, brief: &Value) -> anyhow::Result<(String, String)> {
        let request = self
            .http
            .post(format!("{}/v1/courses", self.base))
            .json(brief);
        let task: Value = request.send().await?.error_for_status()?.json().await?;
        let link = |name: &str| task["links"][name].as_str().map(str::to_owned);
        Ok((
            link("self").context("no self")?,
            link("subject").context("no subject")?,
        ))
    }

    /// Polls until the task has ended.
    pub(crate) async fn ended(&self, task: &str) -> anyhow::Result<Value> {
        let began = Instant::now();
        loop {
            let now = self.get(task).await?;
            if now["done"] == json!(true) {
                return Ok(now);
            }
            ensure!(began.elapsed() < PATIENCE, "the task is still {now}");
            sleep(Duration::from_millis(200)).await;
        }
    }
}
