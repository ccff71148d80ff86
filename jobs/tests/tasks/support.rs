//! What the tests of the tasks table share: short ways to bring a task somewhere.

use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    Failure, Lease, State, Task, TaskId, Usage, Wait,
    kinds::Noop,
    store::{self, Changed, Options},
};
use models::{Db, OwnerId, Result};
use tokio::task::JoinSet;

/// The worker that starts tasks unless a test says otherwise.
pub(crate) const WORKER: &str = "worker-1";

/// Runs one verb in a transaction of its own and commits it.
macro_rules! commit {
    ($db:expr, $tx:ident => $verb:expr) => {{
        let mut $tx = $db.begin().await?;
        let done = $verb.await?;
        $tx.commit().await?;
        done
    }};
}
pub(crate) use commit;

pub(crate) fn options() -> Options {
    Options::by(OwnerId::LOCAL)
}

pub(crate) fn child_of(parent: &Task, key: &str) -> Options {
    Options {
        parent: Some(parent.id),
        child_key: Some(key.to_owned()),
        ..options()
    }
}

pub(crate) fn noop() -> Noop {
    Noop {
        n: 1,
        sleep_ms: 0,
        fail: None,
    }
}

pub(crate) fn failure() -> Failure {
    Failure {
        code: "broken".to_owned(),
        detail: "it broke".to_owned(),
        attempt: 1,
        retryable: true,
    }
}

pub(crate) fn between(from: f64, to: f64) -> Wait {
    Wait {
        from,
        to,
        step: "lessons".to_owned(),
        message: "Writing".to_owned(),
    }
}

pub(crate) fn seconds(seconds: i64) -> TimeDelta {
    TimeDelta::seconds(seconds)
}

/// Longer than a lease.
pub(crate) fn silence() -> TimeDelta {
    TimeDelta::from_std(Lease::DURATION).unwrap_or_default() + seconds(1)
}

pub(crate) async fn enqueue(db: &Db, options: Options) -> Result<Task> {
    Ok(commit!(db, tx => store::enqueue(&mut tx, &noop(), options, db.now())))
}

/// Starts a task that can be started.
pub(crate) async fn start(db: &Db, id: TaskId, now: DateTime<Utc>) -> Result<Task> {
    let started = store::start(db, &[id], WORKER, now).await?;
    started
        .into_iter()
        .next()
        .ok_or(models::Error::NotFound("startable task"))
}

pub(crate) async fn running(db: &Db) -> Result<Task> {
    let task = enqueue(db, options()).await?;
    start(db, task.id, db.now()).await
}

/// A waiting task and its running children.
pub(crate) async fn family(db: &Db, children: usize) -> Result<(Task, Vec<Task>)> {
    let parent = running(db).await?;
    let mut started = Vec::new();
    for key in 0..children {
        let child = enqueue(db, child_of(&parent, &format!("child/{key}"))).await?;
        started.push(start(db, child.id, db.now()).await?);
    }
    let wait = between(10.0, 90.0);
    let changed = commit!(db, tx => store::wait(&mut tx, parent.lease(), &wait, db.now()));
    Ok((changed.task, started))
}

pub(crate) async fn succeed(db: &Db, task: &Task) -> Result<Changed> {
    Ok(commit!(db, tx => store::succeed(
        &mut tx, task.lease(), None, &[], Usage::default(), db.now())))
}

pub(crate) async fn fail(db: &Db, task: &Task) -> Result<Changed> {
    Ok(commit!(db, tx => store::fail(&mut tx, task.lease(), &failure(), db.now())))
}

pub(crate) async fn get(db: &Db, id: TaskId) -> Result<Task> {
    store::get(&mut db.conn().await?, id).await
}

pub(crate) async fn states(db: &Db, tasks: &[Task]) -> Result<Vec<State>> {
    let mut states = Vec::new();
    for task in tasks {
        states.push(get(db, task.id).await?.state);
    }
    Ok(states)
}

/// The numbers of a task's events must be 1 to its version.
pub(crate) async fn assert_gap_free(db: &Db, id: TaskId) -> Result<()> {
    let task = get(db, id).await?;
    let mut conn = db.conn().await?;
    let events = store::events(&mut conn, task.owner_id, id, 0, 100_000).await?;
    let numbers: Vec<i64> = events.iter().map(|event| event.seq).collect();
    assert_eq!(
        numbers,
        (1..=task.version).collect::<Vec<_>>(),
        "events of {task:?}"
    );
    Ok(())
}

pub(crate) async fn cancel(db: &Db, task: &Task) -> Result<Changed> {
    Ok(commit!(db, tx => store::cancel(&mut tx, OwnerId::LOCAL, task.id, db.now())))
}

pub(crate) async fn again(db: &Db, task: &Task, fresh: bool) -> Result<Changed> {
    Ok(commit!(db, tx => store::again(&mut tx, OwnerId::LOCAL, task.id, fresh, db.now())))
}

/// Ends these tasks at the same time.
pub(crate) async fn together(db: &Db, tasks: &[Task]) -> Result<Vec<Changed>> {
    let mut ends = JoinSet::new();
    for task in tasks {
        let (db, task) = (db.clone(), task.clone());
        ends.spawn(async move { succeed(&db, &task).await });
    }
    ends.join_all().await.into_iter().collect()
}
