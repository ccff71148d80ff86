//! Every system is asked the same: tasks that do nothing, each stored durably before the answer, and
//! each ended by a worker in another process. One row of a Markdown table comes out.

use anyhow::Result;

use crate::{System, drain, http::Address, latency, polls, process::Process, row::Row, submits};

/// A system, and how much of everything.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its name in the table.
    #[arg(long)]
    name: String,

    #[command(flatten)]
    pub(crate) system: System,

    /// Tasks that are submitted under load.
    #[arg(long, default_value_t = 30_000)]
    pub(crate) tasks: usize,

    /// Tasks that are queued before a worker starts.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) drained: usize,

    /// Seconds that each kind of poll is measured.
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u64,

    /// Tasks that are submitted one after the other to an idle system.
    #[arg(long, default_value_t = 300)]
    pub(crate) idle: usize,
}

/// Measures, and prints the row.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let system = &args.system;
    let address = Address::new(system.port);
    let mut row = Row::new(&args.name);
    let (api, start) = Process::api(&system.api, &address).await?;
    row.start = Some(start);
    if system.worker.is_some() {
        row.drain = Some(drain::before_a_worker(system, &address, args.drained).await?);
    }
    let worker = system.worker.as_deref().map(Process::start).transpose()?;
    latency::warm_up(&address).await?;
    row.rss_idle = (
        api.rss_mib()?,
        worker.as_ref().map(Process::rss_mib).transpose()?,
    );
    row.latency = Some(latency::idle(&address, args.idle).await?);
    let submitted = submits::run(system, &address, args.tasks).await?;
    row.submits = Some(submitted.submits);
    row.end_to_end = Some(submitted.end_to_end);
    if worker.is_none() {
        row.drain = Some(drain::at_one_moment(system, &address, args.drained).await?);
    }
    row.finished = Some(polls::finished(args, &address, &submitted.ids).await?);
    row.live = Some(polls::live(args, &address).await?);
    row.rss_loaded = (
        api.rss_mib()?,
        worker.as_ref().map(Process::rss_mib).transpose()?,
    );
    println!("{row}");
    Ok(())
}
