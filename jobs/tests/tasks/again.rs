//! Trying ended tasks again, alone and with their children, on both databases.

use jobs::{State, Task, store};
use models::{Db, on_both, testing::TestResult};
use serde_json::json;

use crate::support::{
    again, assert_gap_free, between, cancel, child_of, commit, enqueue, fail, family, get, running,
    start, states, succeed, together,
};

on_both! {
    async fn trying_a_parent_again_tries_its_unsuccessful_children_again(db: &Db) -> TestResult {
        let (parent, children) = family(db, 3).await?;
        succeed(db, &children[0]).await?;
        fail(db, &children[1]).await?;
        cancel(db, &parent).await?;
        commit!(db, tx => store::cancelled(&mut tx, children[2].lease(), db.now()));

        let changed = again(db, &parent, false).await?;

        assert_eq!(changed.task.state, State::Queued);
        assert_eq!((changed.task.children_succeeded, changed.task.children_failed), (1, 0));
        let expected = [State::Succeeded, State::Queued, State::Queued];
        assert_eq!(states(db, &children).await?, expected);
        // The family comes to its end as if nothing had happened.
        let resumed = start(db, parent.id, db.now()).await?;
        let wait = between(10.0, 90.0);
        commit!(db, tx => store::wait(&mut tx, resumed.lease(), &wait, db.now()));
        for child in &children[1..] {
            let child = start(db, child.id, db.now()).await?;
            succeed(db, &child).await?;
        }
        let parent = get(db, parent.id).await?;
        assert_eq!((parent.state, parent.children_succeeded), (State::Queued, 3));
        assert_gap_free(db, parent.id).await?;
        Ok(())
    }

    async fn trying_a_child_again_makes_its_parent_wait_for_it_again(db: &Db) -> TestResult {
        let (parent, children) = family(db, 2).await?;
        fail(db, &children[0]).await?;

        again(db, &children[0], false).await?;
        succeed(db, &children[1]).await?;
        let waiting = get(db, parent.id).await?;
        let child = start(db, children[0].id, db.now()).await?;
        succeed(db, &child).await?;

        assert_eq!((waiting.state, waiting.children_failed), (State::Waiting, 0));
        let parent = get(db, parent.id).await?;
        assert_eq!((parent.state, parent.children_succeeded), (State::Queued, 2));
        Ok(())
    }

    async fn a_child_that_ends_while_its_parent_is_revived_is_counted(db: &Db) -> TestResult {
        for _ in 0..12 {
            let parent = running(db).await?;
            let child = enqueue(db, child_of(&parent, "child")).await?;
            let child = start(db, child.id, db.now()).await?;
            let parent = fail(db, &parent).await?.task;
            let revives = {
                let (db, parent) = (db.clone(), parent.clone());
                tokio::spawn(async move { again(&db, &parent, false).await })
            };

            together(db, &[child]).await?;
            revives.await??;

            let parent = get(db, parent.id).await?;
            let ended = parent.children_succeeded + parent.children_failed;
            assert_eq!((parent.state, ended), (State::Queued, 1), "{parent:?}");
            assert_gap_free(db, parent.id).await?;
        }
        Ok(())
    }

    async fn a_fresh_start_forgets_checkpoints_and_a_plain_one_keeps_them(db: &Db) -> TestResult {
        let task = running(db).await?;
        let output = json!({"n": 1});
        commit!(db, tx => store::checkpoint::put(
            &mut tx, task.lease(), "outline", "digest", &output, db.now()));
        fail(db, &task).await?;

        again(db, &task, false).await?;
        let kept = checkpoint(db, &task, "digest").await?;
        let other_input = checkpoint(db, &task, "other").await?;
        cancel(db, &task).await?;
        let fresh = again(db, &task, true).await?.task;

        assert_eq!(kept, Some(output));
        assert_eq!(other_input, None, "kept for the same input only");
        assert_eq!(checkpoint(db, &task, "digest").await?, None);
        assert_eq!((fresh.attempt, fresh.attempts_used()), (1, 0));
        assert!(fresh.percent.abs() < f64::EPSILON);
        Ok(())
    }
}

async fn checkpoint(
    db: &Db,
    task: &Task,
    digest: &str,
) -> models::Result<Option<serde_json::Value>> {
    store::checkpoint::get(&mut db.conn().await?, task.id, "outline", digest).await
}
