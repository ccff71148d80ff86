//! The command: draws the plan, performs the experiment, and tells what it found.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::ExitCode};

use anyhow::Context;
use models::TaskId;

use super::{
    args::ChaosArgs,
    checker::{self, Violation},
    duplicates::COPIES,
    experiment::{self, Outcome},
    history::{Server, What},
    outages,
    plan::Plan,
    recovery,
};

/// Violations that are printed at most; all of them are counted.
const SHOWN_MAX: usize = 20;

/// Performs an experiment: 0 says that every promise was kept, 1 that one was not.
///
/// # Errors
/// When the experiment cannot be performed.
pub(crate) async fn run(args: &ChaosArgs) -> anyhow::Result<ExitCode> {
    let seed = args.seed.unwrap_or_else(rand::random);
    let plan = Plan::draw(args, seed)?;
    print!("{plan}");
    if args.plan {
        return Ok(ExitCode::SUCCESS);
    }
    let folder = folder(args)?;
    let performed = experiment::perform(args, plan, &folder).await;
    let outcome = performed.with_context(|| format!("logs are in {}", folder.display()))?;
    let violations = violations(args, &outcome);
    report(&outcome, args, &violations);
    for violation in violations.iter().take(SHOWN_MAX) {
        println!("VIOLATION  {violation}");
    }
    if !violations.is_empty() {
        println!(
            "{} violations; seed {seed}; history and logs: {}",
            violations.len(),
            folder.display()
        );
        return Ok(ExitCode::FAILURE);
    }
    println!("Every promise was kept.");
    if args.folder.is_none() {
        fs::remove_dir_all(&folder)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn folder(args: &ChaosArgs) -> anyhow::Result<PathBuf> {
    // The sockets of the servers lie in it, and the path of a socket has 107 bytes at most.
    let ours = || std::env::temp_dir().join(format!("lyo-chaos-{}", TaskId::new()));
    let folder = args.folder.clone().unwrap_or_else(ours);
    fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // PostgreSQL belongs to a user of its own where we are root.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
    Ok(fs::canonicalize(folder)?)
}

fn violations(args: &ChaosArgs, outcome: &Outcome) -> Vec<Violation> {
    let mut violations = checker::check(&outcome.entries, &outcome.rows);
    let unexcused = outages::unexcused(&outcome.entries);
    violations.extend(unexcused.into_iter().map(Violation::Wrong));
    if outcome.duplicates != args.duplicates as usize {
        let what = format!("{} keys made {} tasks", args.duplicates, outcome.duplicates);
        violations.push(Violation::Twice(what));
    }
    if let Some(course) = &outcome.course {
        if !course.same {
            violations.push(Violation::Wrong("the kills changed the course".to_owned()));
        }
        if course.attempts_lost > course.kills as usize {
            let what = format!(
                "{} attempts were lost to {} kills",
                course.attempts_lost, course.kills
            );
            violations.push(Violation::Twice(what));
        }
    }
    violations
}

fn report(outcome: &Outcome, args: &ChaosArgs, violations: &[Violation]) {
    let Outcome { entries, rows, .. } = outcome;
    let count =
        |wanted: fn(&What) -> bool| entries.iter().filter(|entry| wanted(&entry.what)).count();
    let lost = violations
        .iter()
        .filter(|one| matches!(one, Violation::Lost(_)))
        .count();
    let twice = violations
        .iter()
        .filter(|one| matches!(one, Violation::Twice(_)))
        .count();
    let failed = rows
        .tasks
        .iter()
        .filter(|row| row.state == jobs::State::Failed)
        .count();
    println!(
        "submissions: {} sent, {} acknowledged, {} refused, {} unanswered",
        count(|what| matches!(what, What::Invoke { .. })),
        count(|what| matches!(what, What::Ok { .. })),
        count(|what| matches!(what, What::Fail { .. })),
        count(|what| matches!(what, What::Info { .. })),
    );
    println!(
        "processes:   {} killed, {} ended by themselves",
        count(|what| matches!(what, What::Killed { .. })),
        count(|what| matches!(what, What::Ended { .. })),
    );
    println!(
        "tasks:       {}, of which {failed} failed after their last attempt",
        rows.tasks.len()
    );
    println!("lost:        {lost}");
    println!("twice:       {twice}");
    let recovery = recovery::measure(entries, rows);
    println!("recovery:    {}", recovery.after_death);
    println!("  noticed:   {}", recovery.noticed);
    println!(
        "             {} attempts lost although their worker lived",
        recovery.otherwise
    );
    report_scenarios(outcome, args);
}

/// The absences of the servers, and what was asked for besides the load.
fn report_scenarios(outcome: &Outcome, args: &ChaosArgs) {
    let Outcome { entries, rows, .. } = outcome;
    for (name, server) in [("redis", Server::Redis), ("postgres", Server::Postgres)] {
        let outages = outages::measure(entries, rows, server);
        if !outages.is_empty() {
            println!("{:<12} {outages}", format!("{name}:"));
        }
    }
    if args.duplicates > 0 {
        let (keys, tasks) = (args.duplicates, outcome.duplicates);
        println!("duplicates:  {keys} keys in {COPIES} requests each made {tasks} tasks");
    }
    if args.cancels > 0 {
        println!("cancels:     {}", outcome.cancels);
    }
    if let Some(course) = &outcome.course {
        let (kills, lost) = (course.kills, course.attempts_lost);
        println!(
            "course:      {kills} kills ended {lost} attempts; same text: {}",
            course.same
        );
    }
}
