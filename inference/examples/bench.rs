//! Prints how fast this machine runs the published sizes: `cargo run -p inference --example bench`.
//!
//! Every model is run by a process of its own, so that the memory seen is that of the model.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use inference::bench::{Case, make, measure};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().zip(arguments.next()) {
        Some((name, folder)) => print(&name, folder.as_ref()),
        None => each_alone(),
    }
}

fn each_alone() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    for case in Case::ALL {
        make(case, folder.path())?;
        let mut command = Command::new(std::env::current_exe()?);
        let done = command.arg(case.to_string()).arg(folder.path()).status()?;
        ensure!(done.success(), "{case} could not be measured");
    }
    Ok(())
}

fn print(name: &str, folder: &Path) -> anyhow::Result<()> {
    let case = Case::ALL.into_iter().find(|case| case.to_string() == name);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let measured = measure(case.context("no such case")?, folder, threads)?;
    println!("{name}: {measured}");
    Ok(())
}
