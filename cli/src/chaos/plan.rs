//! The plan: what is broken when. It follows from the seed and the options alone.

use std::{fmt, time::Duration};

use anyhow::ensure;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::{
    args::{ChaosArgs, FaultKind},
    faults::Fault,
};

/// How long PostgreSQL stays away after it was stopped.
const POSTGRES_AWAY: Duration = Duration::from_secs(1);
/// How often Redis is emptied.
const FLUSHES: usize = 5;
/// Of so many kills one hits an API, the others a worker.
const KILLS_PER_API: u32 = 4;
/// Between two faults of the servers, and around them, there is at least so much calm.
const CALM: Duration = Duration::from_secs(1);

/// A fault and its time from the beginning of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    /// When.
    pub at: Duration,
    /// What.
    pub fault: Fault,
}

/// What is broken when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Where everything comes from.
    pub seed: u64,
    /// Kills of processes: they go on whatever happens to the servers.
    pub kills: Vec<Planned>,
    /// Faults of the servers, which never overlap, and poison.
    pub others: Vec<Planned>,
}

impl Plan {
    /// Draws a plan.
    ///
    /// # Errors
    /// When the duration is too short for the faults.
    pub(crate) fn draw(args: &ChaosArgs, seed: u64) -> anyhow::Result<Self> {
        let mut random = StdRng::seed_from_u64(seed);
        let kills = kills(args, &mut random);
        let mut faults = faults(args);
        faults.shuffle(&mut random);
        if args.has(FaultKind::Poison) {
            // It takes as many leases as it has attempts: the experiment should not wait for it.
            faults.insert(0, Fault::Poison);
        }
        let others = spread(&faults, args.duration(), &mut random)?;
        Ok(Self {
            seed,
            kills,
            others,
        })
    }
}

fn kills(args: &ChaosArgs, random: &mut StdRng) -> Vec<Planned> {
    let (workers, apis) = (args.has(FaultKind::Workers), args.has(FaultKind::Apis));
    let mut kills = Vec::new();
    let mut at = args.kill_every();
    while (workers || apis) && at < args.duration() {
        let pick = random.random();
        let api = apis && (!workers || random.random_ratio(1, KILLS_PER_API));
        let fault = if api {
            Fault::KillApi(pick)
        } else {
            Fault::KillWorker(pick)
        };
        kills.push(Planned { at, fault });
        at += args.kill_every();
    }
    kills
}

fn faults(args: &ChaosArgs) -> Vec<Fault> {
    let mut faults = Vec::new();
    if args.has(FaultKind::Restart) {
        faults.push(Fault::RestartRedis);
    }
    if args.has(FaultKind::Flush) {
        faults.extend([Fault::FlushRedis; FLUSHES]);
    }
    if args.has(FaultKind::Outage) {
        faults.push(Fault::RedisOutage(args.outage()));
    }
    if args.has(FaultKind::Postgres) {
        faults.extend((0..args.postgres_stops).map(|_| Fault::StopPostgres(POSTGRES_AWAY)));
    }
    faults
}

/// Puts faults one after the other, with random pauses between them.
fn spread(
    faults: &[Fault],
    duration: Duration,
    random: &mut StdRng,
) -> anyhow::Result<Vec<Planned>> {
    let busy = faults
        .iter()
        .map(|fault| fault.length() + CALM)
        .sum::<Duration>()
        + CALM;
    ensure!(
        busy < duration,
        "these faults take {} s: let the experiment last longer with --duration",
        busy.as_secs() + 1
    );
    let mut shares: Vec<f64> = (0..=faults.len())
        .map(|_| random.random_range(0.1..1.0))
        .collect();
    let sum: f64 = shares.iter().sum();
    for share in &mut shares {
        *share /= sum;
    }
    let mut at = Duration::ZERO;
    let planned = faults.iter().zip(shares).map(|(fault, share)| {
        at += duration.saturating_sub(busy).mul_f64(share) + CALM;
        let planned = Planned { at, fault: *fault };
        at += fault.length();
        planned
    });
    Ok(planned.collect())
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "plan of seed {}:", self.seed)?;
        let mut all: Vec<&Planned> = self.kills.iter().chain(&self.others).collect();
        all.sort_by_key(|planned| planned.at);
        for planned in all {
            writeln!(
                f,
                "  {:>7.1} s  {}",
                planned.at.as_secs_f64(),
                planned.fault
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        chaos: ChaosArgs,
    }

    fn draw(args: &[&str], seed: u64) -> anyhow::Result<Plan> {
        let command = Command::try_parse_from([&["chaos"], args].concat())?;
        Plan::draw(&command.chaos, seed)
    }

    #[test]
    fn the_same_seed_gives_the_same_plan() -> anyhow::Result<()> {
        assert_eq!(draw(&[], 7)?, draw(&[], 7)?);
        assert_ne!(draw(&[], 7)?, draw(&[], 8)?);
        Ok(())
    }

    #[test]
    fn faults_of_the_servers_never_overlap() -> anyhow::Result<()> {
        for seed in 0..50 {
            let plan = draw(&["--duration", "120", "--postgres-stops", "10"], seed)?;

            assert_eq!(plan.others.len(), 1 + FLUSHES + 1 + 10 + 1);
            for pair in plan.others.windows(2) {
                assert!(pair[0].at + pair[0].fault.length() < pair[1].at, "{plan}");
            }
            let last = plan.others.last().map(|last| last.at + last.fault.length());
            assert!(last < Some(Duration::from_mins(2)));
        }
        Ok(())
    }

    #[test]
    fn kills_come_as_often_as_asked() -> anyhow::Result<()> {
        let plan = draw(&["--faults", "workers", "--kill-every", "2"], 1)?;

        assert_eq!(plan.kills.len(), 29);
        assert!(
            plan.kills
                .iter()
                .all(|kill| matches!(kill.fault, Fault::KillWorker(_)))
        );
        assert_eq!(plan.others, []);
        Ok(())
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = draw(&["--duration", "20"], 1);

        assert!(refused.is_err_and(|error| error.to_string().contains("--duration")));
    }
}
