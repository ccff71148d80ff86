//! `lyo model bench`: what this machine can do.

use std::{num::NonZero, path::PathBuf};

use anyhow::{Context, ensure};
use clap::Args;
use inference::bench::{Case, make, measure};
use tokio::{process::Command, task::spawn_blocking};

/// What to measure.
#[derive(Clone, Debug, Args)]
pub(crate) struct BenchArgs {
    /// Measure only this case, for example `270M q8_0` [default: all, one process each]
    #[arg(long, value_name = "CASE")]
    case: Option<String>,

    /// Where to put the models while they are measured: up to 1.1 GB [default: the system's]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,

    /// Threads that compute [default: one a core]
    #[arg(long, value_name = "NUMBER", env = "LYO_THREADS")]
    threads: Option<usize>,
}

/// Measures and prints one line a case.
///
/// # Errors
/// When a model cannot be made or run.
pub(super) async fn run(args: &BenchArgs) -> anyhow::Result<()> {
    let Some(name) = &args.case else {
        return each_alone(args).await;
    };
    let case = Case::ALL.into_iter().find(|case| case.to_string() == *name);
    let case = case.with_context(|| format!("there is no case {name}, but {}", names()))?;
    let folder = args.folder();
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = args.threads.unwrap_or(cores);
    let measured = spawn_blocking(move || measure(case, &folder, threads)).await??;
    println!("{name}: {measured}");
    Ok(())
}

/// Making a model takes memory that stays with the process, so each is measured in one of its own.
async fn each_alone(args: &BenchArgs) -> anyhow::Result<()> {
    let folder = args.folder();
    for case in Case::ALL {
        let place = folder.clone();
        spawn_blocking(move || make(case, &place)).await??;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["model", "bench", "--case", &case.to_string(), "--folder"])
            .arg(&folder);
        if let Some(threads) = args.threads {
            command.args(["--threads", &threads.to_string()]);
        }
        ensure!(
            command.status().await?.success(),
            "{case} could not be measured"
        );
    }
    Ok(())
}

impl BenchArgs {
    fn folder(&self) -> PathBuf {
        self.folder.clone().unwrap_or_else(std::env::temp_dir)
    }
}

fn names() -> String {
    Case::ALL.map(|case| case.to_string()).join(", ")
}
