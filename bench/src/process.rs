//! The processes of a system: started, asked for their memory, and stopped at the end.

use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};

use crate::http::Address;

/// The unit of time in `/proc`: the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;
/// How long a system may take to start.
const PATIENCE: Duration = Duration::from_mins(1);

/// A process and those that it starts; all are killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Servers of several processes leave the others behind when only the first is killed.
        if let Some(id) = self.0.id() {
            let group = format!("-{id}");
            let _ = std::process::Command::new("kill")
                .args(["-KILL", "--", &group])
                .status();
        }
    }
}

impl Process {
    /// Runs a command in the background. `exec` makes the shell the command itself.
    pub(crate) fn start(command: &str) -> Result<Self> {
        let child = Command::new("bash")
            .args(["-c", &format!("exec {command}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {command}"))?;
        Ok(Self(child))
    }

    /// Runs an API, and measures how long it takes to answer for the first time, in milliseconds.
    pub(crate) async fn api(command: &str, address: &Address) -> Result<(Self, f64)> {
        let begun = Instant::now();
        let process = Self::start(command)?;
        while begun.elapsed() < PATIENCE {
            if let Ok(mut connection) = address.connect().await
                && connection
                    .get("/healthz", "")
                    .await
                    .is_ok_and(|answer| answer.status == 200)
            {
                return Ok((process, begun.elapsed().as_secs_f64() * 1_000.0));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bail!("{command} does not answer")
    }

    /// Seconds that the process has spent on a core since it began.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let id = self.0.id().context("the process has ended")?;
        let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
        // The name may hold anything, so the fields are counted from its end: the 12th and 13th.
        let (_, fields) = stat.rsplit_once(')').context("no name")?;
        let mut ticks = 0;
        for field in fields.split_whitespace().skip(11).take(2) {
            ticks += field.parse::<u32>()?;
        }
        Ok(f64::from(ticks) / TICKS_PER_SECOND)
    }

    /// Resident memory in MiB, of the process and of those that it has started.
    pub(crate) fn rss_mib(&self) -> Result<f64> {
        let id = self.0.id().context("the process has ended")?;
        Ok(f64::from(rss_kib(id)?) / 1024.0)
    }
}

fn rss_kib(id: u32) -> Result<u32> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let text = line
        .context("no VmRSS")?
        .trim()
        .trim_end_matches("kB")
        .trim();
    let mut sum: u32 = text.parse()?;
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
    for child in children.split_whitespace() {
        // One that has just ended counts for nothing.
        sum += rss_kib(child.parse()?).unwrap_or(0);
    }
    Ok(sum)
}
