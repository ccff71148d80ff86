//! Random walks of verbs: whatever happens in whatever order, the history stays in order.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use jobs::{
    Progress, State, Task, TaskId, Usage,
    store::{self, Options},
};
use models::{Db, Error, OwnerId, Result, on_both, testing::TestResult};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use crate::support::{
    WORKER, assert_gap_free, between, child_of, failure, get, noop, options, seconds,
};

const STEPS: usize = 250;

on_both! {
    async fn random_walks_keep_every_promise(db: &Db) -> TestResult {
        for seed in 0..3 {
            let mut walk = Walk::new(db, seed);
            for _ in 0..STEPS {
                walk.step().await?;
            }
            walk.check_end().await?;
        }
        Ok(())
    }
}

struct Walk<'d> {
    db: &'d Db,
    rng: StdRng,
    now: DateTime<Utc>,
    /// Every task as it was last seen.
    seen: BTreeMap<TaskId, Task>,
    seed: u64,
}

impl<'d> Walk<'d> {
    fn new(db: &'d Db, seed: u64) -> Self {
        Self {
            db,
            rng: StdRng::seed_from_u64(seed),
            now: db.now(),
            seen: BTreeMap::new(),
            seed,
        }
    }

    async fn step(&mut self) -> Result<()> {
        self.now += seconds(self.rng.random_range(0..8));
        let fresh = match self.rng.random_range(0..20) {
            0 => self.enqueue(None).await?,
            1 | 2 => self.enqueue_child().await?,
            3 => {
                store::reap(self.db, self.now, 100).await?;
                false
            }
            4 => {
                store::heartbeat(self.db, WORKER, self.now).await?;
                false
            }
            5..=9 => {
                let ids: Vec<_> = self.seen.keys().copied().collect();
                let some: Vec<_> = ids.choose_multiple(&mut self.rng, 3).copied().collect();
                store::start(self.db, &some, WORKER, self.now).await?;
                false
            }
            verb => self.change(verb).await?,
        };
        self.look(fresh).await
    }

    async fn enqueue(&mut self, parent: Option<Task>) -> Result<bool> {
        let expires = self.rng.random_bool(0.2).then(|| self.now + seconds(20));
        let usual = match parent {
            Some(parent) => child_of(&parent, &format!("child/{}", self.rng.random_range(0..4))),
            None => options(),
        };
        let options = Options {
            expires_at: expires,
            attempts_max: Some(3),
            ..usual
        };
        let mut tx = self.db.begin().await?;
        match store::enqueue(&mut tx, &noop(), options, self.now).await {
            Ok(task) => {
                tx.commit().await?;
                self.seen.entry(task.id).or_insert(task);
            }
            Err(Error::Conflict("parent_ended")) => {}
            Err(error) => return Err(error),
        }
        Ok(false)
    }

    async fn enqueue_child(&mut self) -> Result<bool> {
        let running: Vec<_> = self
            .seen
            .values()
            .filter(|task| task.state == State::Running)
            .cloned()
            .collect();
        let parent = running.choose(&mut self.rng).cloned();
        self.enqueue(parent).await
    }

    /// One verb on one task, now and then under a lease that is not the present one.
    async fn change(&mut self, verb: u32) -> Result<bool> {
        let tasks: Vec<_> = self.seen.values().cloned().collect();
        let Some(task) = tasks.choose(&mut self.rng) else {
            return Ok(false);
        };
        let mut lease = task.lease();
        lease.attempt -= i64::from(self.rng.random_bool(0.1));
        let fresh = self.rng.random_bool(0.3);
        let (now, run_at) = (self.now, self.now + seconds(3));
        let percent = self.rng.random_range(0.0..100.0);
        let progress = Progress {
            percent,
            ..Progress::default()
        };
        let (owner, usage) = (OwnerId::LOCAL, Usage::default());
        let mut tx = self.db.begin().await?;
        let done = match verb {
            10 => store::cancel(&mut tx, owner, task.id, now).await.map(drop),
            11 => store::again(&mut tx, owner, task.id, fresh, now)
                .await
                .map(drop),
            12 | 13 => store::progress(&mut tx, lease, &progress, now)
                .await
                .map(drop),
            14 => store::succeed(&mut tx, lease, None, &[], usage, now)
                .await
                .map(drop),
            15 => store::fail(&mut tx, lease, &failure(), now).await.map(drop),
            16 => store::retry(&mut tx, lease, &failure(), run_at, now)
                .await
                .map(drop),
            17 => store::wait(&mut tx, lease, &between(percent, 95.0), now)
                .await
                .map(drop),
            18 => store::release(&mut tx, lease, now).await.map(drop),
            _ => store::cancelled(&mut tx, lease, now).await.map(drop),
        };
        match done {
            Ok(()) => tx.commit().await?,
            Err(Error::Lost | Error::Conflict(_)) => drop(tx),
            Err(error) => return Err(error),
        }
        Ok(fresh && verb == 11)
    }

    /// Compares every task with how it was last seen.
    async fn look(&mut self, fresh: bool) -> Result<()> {
        let seed = self.seed;
        let mut conn = self.db.conn().await?;
        for (id, before) in &mut self.seen {
            let after = store::get(&mut conn, *id).await?;
            assert!(
                after.version >= before.version,
                "seed {seed}: {before:?} -> {after:?}"
            );
            assert!(
                after.attempt >= before.attempt,
                "seed {seed}: {before:?} -> {after:?}"
            );
            let rose = after.percent >= before.percent || fresh;
            assert!(rose, "seed {seed}: {before:?} -> {after:?}");
            if before.state.is_done() && after.state.is_done() {
                assert_eq!(*before, after, "seed {seed}: an end is an end");
            }
            *before = after;
        }
        Ok(())
    }

    async fn check_end(&self) -> Result<()> {
        for task in self.seen.values() {
            assert_gap_free(self.db, task.id).await?;
            let children = store::children(&mut self.db.conn().await?, task.id).await?;
            assert_eq!(
                task.children_total,
                i64::try_from(children.len()).unwrap_or(-1)
            );
            if task.state.is_done() {
                continue;
            }
            let succeeded = count(&children, |state| state == State::Succeeded);
            let failed = count(&children, State::is_done) - succeeded;
            let found = (task.children_succeeded, task.children_failed);
            assert_eq!(found, (succeeded, failed), "seed {}: {task:?}", self.seed);
            if task.state == State::Waiting {
                assert!(
                    children.iter().any(|child| !child.state.is_done()),
                    "{task:?}"
                );
            }
            assert_eq!(*task, get(self.db, task.id).await?);
        }
        Ok(())
    }
}

fn count(children: &[Task], is: impl Fn(State) -> bool) -> i64 {
    i64::try_from(children.iter().filter(|child| is(child.state)).count()).unwrap_or(-1)
}
