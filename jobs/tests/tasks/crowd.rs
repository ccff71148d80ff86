//! Many hands on the same few families at the same time: nobody deadlocks, nothing is miscounted.

use jobs::{
    State, Task, Usage,
    store::{self, Changed, Success},
};
use models::{Db, Error, OwnerId, Result, on_both, testing::TestResult};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use tokio::task::JoinSet;

use crate::support::{
    WORKER, assert_gap_free, between, child_of, failure, family, get, noop, silence,
};

const FAMILIES: usize = 3;
const CHILDREN: usize = 4;
const HANDS: u64 = 6;
const STEPS: usize = 40;

on_both! {
    async fn a_crowd_of_verbs_neither_deadlocks_nor_miscounts(db: &Db) -> TestResult {
        let mut tasks = Vec::new();
        for _ in 0..FAMILIES {
            let (parent, children) = family(db, CHILDREN).await?;
            tasks.push(parent);
            tasks.extend(children);
        }
        let mut hands = JoinSet::new();
        for seed in 0..HANDS {
            let (db, tasks) = (db.clone(), tasks.clone());
            hands.spawn(async move { work(&db, &tasks, seed).await });
        }

        for hand in hands.join_all().await {
            hand?;
        }

        for task in &tasks {
            assert_gap_free(db, task.id).await?;
            assert_counts(db, &get(db, task.id).await?).await?;
        }
        Ok(())
    }
}

/// Does whatever comes to mind, to whichever task.
async fn work(db: &Db, tasks: &[Task], seed: u64) -> Result<()> {
    let mut rng = StdRng::seed_from_u64(seed);
    for _ in 0..STEPS {
        let Some(task) = tasks.choose(&mut rng) else {
            continue;
        };
        let done = match rng.random_range(0..14) {
            0 => store::heartbeat(db, WORKER, db.now()).await.map(drop),
            1 => store::reap(db, db.now() + silence(), 2).await.map(drop),
            2..=4 => {
                let ids: Vec<_> = tasks.iter().map(|task| task.id).collect();
                store::start(db, &ids, WORKER, db.now()).await.map(drop)
            }
            5 | 6 => {
                let some = tasks.choose_multiple(&mut rng, 4);
                together(db, some.cloned().collect()).await
            }
            verb => change(db, task, verb).await,
        };
        match done {
            Ok(()) | Err(Error::Lost | Error::Conflict(_)) => {}
            // A deadlock is among these.
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Ends some tasks at once, those of them that run.
async fn together(db: &Db, tasks: Vec<Task>) -> Result<()> {
    let mut successes = Vec::new();
    for task in tasks {
        successes.push((get(db, task.id).await?.lease(), Success::default()));
    }
    let mut tx = db.begin().await?;
    store::succeed_many(&mut tx, &successes, db.now()).await?;
    tx.commit().await
}

/// One verb on a task as it is at the moment, which may be another one when the verb comes.
async fn change(db: &Db, task: &Task, verb: u32) -> Result<()> {
    let (owner, now) = (OwnerId::LOCAL, db.now());
    let lease = get(db, task.id).await?.lease();
    let others = |changed: Changed| drop(changed);
    let mut tx = db.begin().await?;
    match verb {
        7 => store::cancel(&mut tx, owner, task.id, now)
            .await
            .map(others),
        8 | 9 => store::again(&mut tx, owner, task.id, false, now)
            .await
            .map(others),
        10 => store::succeed(&mut tx, lease, None, &[], Usage::default(), now)
            .await
            .map(others),
        11 => store::fail(&mut tx, lease, &failure(), now)
            .await
            .map(others),
        12 => {
            store::fence(&mut tx, lease).await?;
            let options = child_of(task, &format!("more/{}", lease.attempt % 3));
            store::enqueue(&mut tx, &noop(), options, now)
                .await
                .map(drop)
        }
        _ => store::wait(&mut tx, lease, &between(0.0, 90.0), now)
            .await
            .map(others),
    }?;
    tx.commit().await
}

async fn assert_counts(db: &Db, task: &Task) -> Result<()> {
    let children = store::children(&mut db.conn().await?, task.id).await?;
    assert_eq!(
        task.children_total,
        i64::try_from(children.len()).unwrap_or(-1)
    );
    if task.state.is_done() {
        return Ok(());
    }
    let ended = children
        .iter()
        .filter(|child| child.state.is_done())
        .count();
    let counted = task.children_succeeded + task.children_failed;
    assert_eq!(counted, i64::try_from(ended).unwrap_or(-1), "{task:?}");
    assert!(
        task.state != State::Waiting || ended < children.len(),
        "{task:?}"
    );
    Ok(())
}
