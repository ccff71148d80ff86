//! What a person can say about an experiment.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

/// What may be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FaultKind {
    /// `kill -9` of a random worker, with the relay in it.
    Workers,
    /// `kill -9` of a random API, with the relay in it.
    Apis,
    /// Redis is killed and started again, empty.
    Restart,
    /// `FLUSHALL`, five times.
    Flush,
    /// Redis is away for `--outage` seconds.
    Outage,
    /// PostgreSQL is stopped at once, as a crash would, and started again.
    Postgres,
    /// A task that aborts its process.
    Poison,
    /// The clock of one worker is an hour ahead; needs Debian's `faketime`.
    Clock,
}

/// How large the experiment is, and what is broken.
#[derive(Clone, Debug, Args)]
pub(crate) struct ChaosArgs {
    /// The same seed and options give the same plan [default: a random one, which is printed]
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,

    /// Tasks that are submitted, evenly over the duration.
    #[arg(long, value_name = "NUMBER", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub tasks: u32,

    /// Seconds during which tasks are submitted and things are broken.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(10..=7_200))]
    duration: u64,

    /// What is broken.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "workers,apis,restart,flush,outage,postgres,poison"
    )]
    pub faults: Vec<FaultKind>,

    /// Seconds from one `kill -9` to the next.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    kill_every: u64,

    /// Seconds that Redis stays away in its outage.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    outage: u64,

    /// How often PostgreSQL is stopped.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub postgres_stops: u32,

    /// APIs of the fleet.
    #[arg(long, value_name = "NUMBER", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=8))]
    pub apis: u32,

    /// Workers of the fleet.
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub workers: u32,

    /// Before anything is broken: so many idempotency keys, each in 50 requests at the same time.
    #[arg(long, value_name = "KEYS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub duplicates: u32,

    /// After the load: cancel so many running tasks, and see how soon they stop.
    #[arg(long, value_name = "TASKS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub cancels: u32,

    /// After the load: write a course undisturbed, and again with so many kills of its workers.
    #[arg(long, value_name = "KILLS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub course_kills: u32,

    /// Keep history and logs in this folder, which must not exist [default: a temporary folder,
    /// kept when something was violated]
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,

    /// Print the plan and do nothing.
    #[arg(long)]
    pub plan: bool,
}

impl ChaosArgs {
    /// How long tasks are submitted and things are broken.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs(self.duration)
    }

    /// How long it is from one kill to the next.
    pub(crate) fn kill_every(&self) -> Duration {
        Duration::from_secs(self.kill_every)
    }

    /// How long Redis stays away.
    pub(crate) fn outage(&self) -> Duration {
        Duration::from_secs(self.outage)
    }

    /// Whether this is to be broken.
    pub(crate) fn has(&self, kind: FaultKind) -> bool {
        self.faults.contains(&kind)
    }
}
