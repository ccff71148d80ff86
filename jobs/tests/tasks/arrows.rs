//! Every arrow of the state machine, and every forbidden one, on both databases.

use chrono::{DateTime, Utc};
use jobs::{
    Lease, Progress, State, Task, Usage,
    store::{self, Options, checkpoint},
};
use models::{Db, Error, OwnerId, Result, on_both, testing::TestResult};
use serde_json::json;

use crate::support::{
    WORKER, assert_gap_free, between, cancel, child_of, commit, enqueue, fail, failure, get,
    options, running, seconds, silence, start, succeed,
};

/// Where a task starts from. `cancelling` is running, and asked to stop.
const FROM: [&str; 8] = [
    "queued",
    "running",
    "cancelling",
    "waiting",
    "succeeded",
    "failed",
    "cancelled",
    "expired",
];

/// What comes of each verb in each state: the state after it, or how it is refused.
#[rustfmt::skip]
const ARROWS: [(&str, [&str; 8]); 20] = [
    // verb          queued       running      cancelling   waiting      succeeded         failed      cancelled    expired
    ("start",       ["running",   "running",   "running",   "waiting",   "succeeded",      "failed",   "cancelled", "expired"]),
    ("fence",       ["lost",      "running",   "running",   "lost",      "lost",           "lost",     "lost",      "lost"]),
    ("heartbeat",   ["queued",    "running",   "running",   "waiting",   "succeeded",      "failed",   "cancelled", "expired"]),
    ("progress",    ["lost",      "running",   "running",   "lost",      "lost",           "lost",     "lost",      "lost"]),
    ("partial",     ["lost",      "running",   "running",   "lost",      "lost",           "lost",     "lost",      "lost"]),
    ("checkpoint",  ["lost",      "running",   "running",   "lost",      "lost",           "lost",     "lost",      "lost"]),
    ("succeed",     ["lost",      "succeeded", "succeeded", "lost",      "lost",           "lost",     "lost",      "lost"]),
    ("fail",        ["lost",      "failed",    "failed",    "lost",      "lost",           "lost",     "lost",      "lost"]),
    ("retry",       ["lost",      "queued",    "cancelled", "lost",      "lost",           "lost",     "lost",      "lost"]),
    ("retry last",  ["lost",      "failed",    "cancelled", "lost",      "lost",           "lost",     "lost",      "lost"]),
    ("snooze",      ["lost",      "queued",    "cancelled", "lost",      "lost",           "lost",     "lost",      "lost"]),
    ("release",     ["lost",      "queued",    "cancelled", "lost",      "lost",           "lost",     "lost",      "lost"]),
    ("wait alone",  ["lost",      "queued",    "cancelled", "lost",      "lost",           "lost",     "lost",      "lost"]),
    ("wait",        ["lost",      "waiting",   "cancelled", "lost",      "lost",           "lost",     "lost",      "lost"]),
    ("cancelled",   ["lost",      "cancelled", "cancelled", "lost",      "lost",           "lost",     "lost",      "lost"]),
    ("cancel",      ["cancelled", "running",   "running",   "cancelled", "succeeded",      "failed",   "cancelled", "expired"]),
    ("again",       ["task_live", "task_live", "task_live", "task_live", "task_succeeded", "queued",   "queued",    "queued"]),
    ("delete",      ["task_live", "task_live", "task_live", "task_live", "gone",           "gone",     "gone",      "gone"]),
    ("reap",        ["queued",    "queued",    "cancelled", "waiting",   "succeeded",      "failed",   "cancelled", "expired"]),
    ("reap last",   ["queued",    "failed",    "cancelled", "waiting",   "succeeded",      "failed",   "cancelled", "expired"]),
];

on_both! {
    async fn every_verb_in_every_state_does_what_the_table_says(db: &Db) -> TestResult {
        for (verb, expected) in ARROWS {
            for (from, expected) in FROM.into_iter().zip(expected) {
                let before = bring(db, from, verb).await?;
                let found = outcome(db, verb, &before).await?;

                assert_eq!(found, expected, "{verb} of a {from} task");
                check_row(db, &before, found).await?;
            }
        }
        Ok(())
    }

    async fn an_overdue_task_expires_only_while_it_is_queued(db: &Db) -> TestResult {
        for from in FROM {
            let before = bring(db, from, "expire").await?;
            let later = db.now() + seconds(100);
            // Leases are renewed, so that only the expiry is left to be reaped.
            store::heartbeat(db, WORKER, later).await?;
            let before = get(db, before.id).await?;

            store::reap(db, later, 100).await?;

            let after = get(db, before.id).await?;
            match before.state {
                State::Queued => assert_eq!(after.state, State::Expired),
                _ => assert_eq!(after, before, "{from}"),
            }
        }
        Ok(())
    }

    async fn a_worker_that_lost_its_lease_can_write_nothing(db: &Db) -> TestResult {
        let verbs = [
            "fence", "progress", "partial", "checkpoint", "succeed", "fail", "retry", "snooze",
            "release", "wait", "cancelled",
        ];
        for verb in verbs {
            let first = running(db).await?;
            store::reap(db, db.now() + silence(), 100).await?;
            let second = start(db, first.id, db.now() + silence()).await?;
            assert_eq!((first.attempt, second.attempt), (1, 2));

            let late = outcome(db, verb, &first).await?;

            assert_eq!(late, "lost", "{verb} under attempt 1 while attempt 2 runs");
            assert_eq!(get(db, first.id).await?, second, "{verb} left its mark");
        }
        Ok(())
    }
}

/// A task in that state, whose preparation suits the verb.
async fn bring(db: &Db, from: &str, verb: &str) -> Result<Task> {
    let last = verb.ends_with("last");
    let expires_at = (verb == "expire" || from == "expired").then(|| db.now() + seconds(50));
    let attempts_max = last.then_some(1);
    let task = enqueue(
        db,
        Options {
            expires_at,
            attempts_max,
            ..options()
        },
    )
    .await?;
    match from {
        "queued" => {}
        "expired" => {
            store::reap(db, db.now() + seconds(51), 100).await?;
        }
        "cancelled" => drop(cancel(db, &task).await?),
        _ => {
            let task = start(db, task.id, db.now()).await?;
            match from {
                "cancelling" => drop(cancel(db, &task).await?),
                "waiting" => {
                    enqueue(db, child_of(&task, "child")).await?;
                    wait(db, task.lease()).await?;
                }
                "succeeded" => drop(succeed(db, &task).await?),
                "failed" => drop(fail(db, &task).await?),
                _ => {}
            }
            if verb == "wait" && matches!(from, "running" | "cancelling") {
                enqueue(db, child_of(&task, "child")).await?;
            }
        }
    }
    get(db, task.id).await
}

/// Applies the verb and says what came of it.
async fn outcome(db: &Db, verb: &str, task: &Task) -> Result<&'static str> {
    match apply(db, verb, task).await {
        Ok(()) => match get(db, task.id).await {
            Ok(after) => Ok(after.state.as_str()),
            Err(Error::NotFound(_)) => Ok("gone"),
            Err(error) => Err(error),
        },
        Err(Error::Lost) => Ok("lost"),
        Err(Error::Conflict(code)) => Ok(code),
        Err(error) => Err(error),
    }
}

async fn apply(db: &Db, verb: &str, task: &Task) -> Result<()> {
    let lease = task.lease();
    let now = db.now();
    match verb {
        "start" => drop(store::start(db, &[task.id], "worker-2", now).await?),
        "heartbeat" => {
            let held = store::heartbeat(db, WORKER, now).await?;
            let held = held.iter().any(|held| held.lease() == lease);
            assert_eq!(held, task.state == State::Running);
        }
        "reap" | "reap last" => drop(store::reap(db, now + silence(), 100).await?),
        "cancel" => drop(cancel(db, task).await?),
        "again" => {
            commit!(db, tx => store::again(&mut tx, OwnerId::LOCAL, task.id, false, now));
        }
        "delete" => commit!(db, tx => store::delete(&mut tx, OwnerId::LOCAL, task.id)),
        "wait" | "wait alone" => wait(db, lease).await?,
        _ => worker_verb(db, verb, lease, now).await?,
    }
    Ok(())
}

async fn worker_verb(db: &Db, verb: &str, lease: Lease, now: DateTime<Utc>) -> Result<()> {
    let mut tx = db.begin().await?;
    let data = json!({"n": 1});
    match verb {
        "fence" => store::fence(&mut tx, lease).await?,
        "progress" => {
            let progress = Progress {
                percent: 50.0,
                ..Progress::default()
            };
            store::progress(&mut tx, lease, &progress, now).await?;
        }
        "partial" => drop(store::partial(&mut tx, lease, &data, now).await?),
        "checkpoint" => checkpoint::put(&mut tx, lease, "key", "digest", &data, now).await?,
        "succeed" => {
            let usage = Usage::default();
            store::succeed(&mut tx, lease, Some(&data), &[], usage, now).await?;
        }
        "fail" => drop(store::fail(&mut tx, lease, &failure(), now).await?),
        "retry" | "retry last" => {
            store::retry(&mut tx, lease, &failure(), now + seconds(1), now).await?;
        }
        "snooze" => drop(store::snooze(&mut tx, lease, now + seconds(1), now).await?),
        "release" => drop(store::release(&mut tx, lease, now).await?),
        "cancelled" => drop(store::cancelled(&mut tx, lease, now).await?),
        other => panic!("{other} is not a verb of a worker"),
    }
    tx.commit().await
}

async fn wait(db: &Db, lease: Lease) -> Result<()> {
    commit!(db, tx => store::wait(&mut tx, lease, &between(10.0, 90.0), db.now()));
    Ok(())
}

/// A refused verb leaves the row as it was; any other leaves it in order.
async fn check_row(db: &Db, before: &Task, found: &str) -> Result<()> {
    if found == "gone" {
        return Ok(());
    }
    let after = get(db, before.id).await?;
    if matches!(found, "lost" | "task_live" | "task_succeeded") {
        assert_eq!(&after, before, "a refused verb changed the row");
    }
    assert_eq!(after.finished_at.is_some(), after.state.is_done());
    assert_eq!(after.lease_until.is_some(), after.state == State::Running);
    assert!(after.attempts_used() <= after.attempts_max);
    assert_gap_free(db, before.id).await
}
