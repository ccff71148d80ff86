//! Parents and children: counted once, woken once, cancelled and tried again together.

use jobs::{EventKind, State, Task, store};
use models::{Db, Error, OwnerId, Result, on_both, testing::TestResult};
use serde_json::json;

use crate::support::{
    assert_gap_free, between, cancel, child_of, commit, enqueue, fail, family, get, running,
    silence, start, states, succeed, together,
};

on_both! {
    async fn the_last_child_queues_its_parent(db: &Db) -> TestResult {
        let (parent, children) = family(db, 3).await?;
        assert_eq!(parent.state, State::Waiting);

        succeed(db, &children[0]).await?;
        fail(db, &children[1]).await?;
        let early = get(db, parent.id).await?;
        let last = succeed(db, &children[2]).await?;

        assert_eq!(early.state, State::Waiting);
        assert_eq!((early.completed, early.total), (Some(2), Some(3)));
        let parent = &last.others[0];
        assert_eq!(parent.state, State::Queued);
        assert_eq!((parent.children_succeeded, parent.children_failed), (2, 1));
        assert!((parent.percent - 90.0).abs() < 1e-9);
        let resumed = start(db, parent.id, db.now()).await?;
        assert_eq!((resumed.attempt, resumed.attempts_used()), (2, 1));
        assert_gap_free(db, parent.id).await?;
        Ok(())
    }

    async fn children_move_the_percent_in_equal_steps(db: &Db) -> TestResult {
        let (parent, children) = family(db, 4).await?;

        let mut percents = vec![parent.percent];
        for child in &children {
            succeed(db, child).await?;
            percents.push(get(db, parent.id).await?.percent);
        }

        for (found, expected) in percents.iter().zip([10.0, 30.0, 50.0, 70.0, 90.0]) {
            assert!((found - expected).abs() < 1e-9, "{percents:?}");
        }
        Ok(())
    }

    async fn two_children_that_end_together_queue_their_parent_once(db: &Db) -> TestResult {
        for _ in 0..12 {
            let (parent, children) = family(db, 2).await?;

            let changes = together(db, &children).await?;

            let woken = changes.iter().flat_map(|changed| &changed.others);
            let woken = woken.filter(|task| task.state == State::Queued).count();
            assert_eq!(woken, 1);
            assert_eq!(queued_events(db, &parent).await?, 2, "at first, and when they had ended");
            assert_gap_free(db, parent.id).await?;
        }
        Ok(())
    }

    async fn a_child_that_ends_while_its_parent_begins_to_wait_is_not_missed(db: &Db) -> TestResult {
        for _ in 0..12 {
            let parent = running(db).await?;
            let child = enqueue(db, child_of(&parent, "child")).await?;
            let child = start(db, child.id, db.now()).await?;
            let waits = {
                let (db, lease) = (db.clone(), parent.lease());
                tokio::spawn(async move {
                    commit!(db, tx => store::wait(&mut tx, lease, &between(0.0, 90.0), db.now()));
                    Result::<_>::Ok(())
                })
            };

            together(db, &[child]).await?;
            waits.await??;

            assert_eq!(get(db, parent.id).await?.state, State::Queued);
            assert_gap_free(db, parent.id).await?;
        }
        Ok(())
    }

    async fn a_parent_without_living_children_does_not_wait(db: &Db) -> TestResult {
        let parent = running(db).await?;
        let child = enqueue(db, child_of(&parent, "child")).await?;
        let child = start(db, child.id, db.now()).await?;
        succeed(db, &child).await?;
        let wait = between(10.0, 90.0);

        let changed = commit!(db, tx => store::wait(&mut tx, parent.lease(), &wait, db.now()));

        assert_eq!(changed.task.state, State::Queued);
        assert_eq!(changed.task.attempts_used(), 0, "a wait spends no attempt");
        Ok(())
    }

    async fn a_child_is_made_once_for_its_name(db: &Db) -> TestResult {
        let parent = running(db).await?;

        let first = enqueue(db, child_of(&parent, "lesson/1")).await?;
        let again = enqueue(db, child_of(&parent, "lesson/1")).await?;
        let other = enqueue(db, child_of(&parent, "lesson/2")).await?;

        assert_eq!(first, again);
        assert_ne!(first.id, other.id);
        assert_eq!(get(db, parent.id).await?.children_total, 2);
        let children = store::children(&mut db.conn().await?, parent.id).await?;
        assert_eq!(children, [first, other]);
        assert_gap_free(db, parent.id).await?;
        Ok(())
    }

    async fn a_parent_that_ended_takes_no_children(db: &Db) -> TestResult {
        let parent = running(db).await?;
        succeed(db, &parent).await?;

        let refused = enqueue(db, child_of(&parent, "late")).await;

        assert!(matches!(refused, Err(Error::Conflict("parent_ended"))));
        Ok(())
    }

    async fn cancelling_a_parent_cancels_its_living_children(db: &Db) -> TestResult {
        let (parent, children) = family(db, 2).await?;
        succeed(db, &children[0]).await?;

        let changed = cancel(db, &parent).await?;

        assert_eq!(changed.task.state, State::Cancelled);
        let running = get(db, children[1].id).await?;
        assert_eq!((running.state, running.cancel_requested), (State::Running, true));
        assert_eq!(get(db, children[0].id).await?.state, State::Succeeded);
        let told: Vec<_> = changed.others.iter().map(|task| task.id).collect();
        assert!(told.contains(&running.id), "its worker is told");
        // The child ends later; its parent has ended and stays as it is.
        let before = get(db, parent.id).await?;
        commit!(db, tx => store::cancelled(&mut tx, running.lease(), db.now()));
        assert_eq!(get(db, parent.id).await?, before);
        for id in [parent.id, children[0].id, children[1].id] {
            assert_gap_free(db, id).await?;
        }
        Ok(())
    }

    async fn cancelling_goes_down_every_generation(db: &Db) -> TestResult {
        let mut task = running(db).await?;
        let mut line = vec![task.clone()];
        for _ in 0..3 {
            let child = enqueue(db, child_of(&task, "child")).await?;
            task = start(db, child.id, db.now()).await?;
            line.push(task.clone());
        }
        let leaf = enqueue(db, child_of(&task, "leaf")).await?;
        for task in &line {
            let wait = between(0.0, 90.0);
            commit!(db, tx => store::wait(&mut tx, task.lease(), &wait, db.now()));
        }
        line.push(leaf);

        cancel(db, &line[0]).await?;

        assert!(states(db, &line).await?.iter().all(|state| *state == State::Cancelled));
        for task in &line {
            assert_gap_free(db, task.id).await?;
        }
        Ok(())
    }

    async fn a_cancelled_child_counts_as_failed_and_wakes_its_parent(db: &Db) -> TestResult {
        let parent = running(db).await?;
        let child = enqueue(db, child_of(&parent, "child")).await?;
        commit!(db, tx => store::wait(&mut tx, parent.lease(), &between(0.0, 9.0), db.now()));

        let changed = cancel(db, &child).await?;

        assert_eq!(changed.task.state, State::Cancelled);
        let parent = &changed.others[0];
        assert_eq!((parent.state, parent.children_failed), (State::Queued, 1));
        Ok(())
    }

    async fn a_running_parent_takes_its_children_along_when_it_stops(db: &Db) -> TestResult {
        let parent = running(db).await?;
        let child = enqueue(db, child_of(&parent, "child")).await?;
        cancel(db, &parent).await?;
        let late = enqueue(db, child_of(&parent, "late")).await?;

        let wait = between(0.0, 90.0);
        let changed = commit!(db, tx => store::wait(&mut tx, parent.lease(), &wait, db.now()));

        assert_eq!(changed.task.state, State::Cancelled, "instead of waiting");
        let ended = states(db, &[child, late]).await?;
        assert_eq!(ended, [State::Cancelled, State::Cancelled]);
        Ok(())
    }

    async fn a_lost_worker_of_a_cancelled_parent_takes_the_children_along(db: &Db) -> TestResult {
        let parent = running(db).await?;
        cancel(db, &parent).await?;
        let child = enqueue(db, child_of(&parent, "child")).await?;

        let reaped = store::reap(db, db.now() + silence(), 100).await?;

        assert_eq!(reaped.cancelled.len(), 1);
        assert_eq!(states(db, &[parent, child]).await?, [State::Cancelled, State::Cancelled]);
        Ok(())
    }

    async fn a_family_is_forgotten_together(db: &Db) -> TestResult {
        let (parent, children) = family(db, 1).await?;
        let delete = async |task: &Task| -> Result<()> {
            commit!(db, tx => store::delete(&mut tx, OwnerId::LOCAL, task.id));
            Ok(())
        };

        assert!(matches!(delete(&children[0]).await, Err(Error::Conflict("task_live"))));
        succeed(db, &children[0]).await?;
        let counted = delete(&children[0]).await;
        let parent = start(db, parent.id, db.now()).await?;
        succeed(db, &parent).await?;
        delete(&parent).await?;

        assert!(matches!(counted, Err(Error::Conflict("task_live"))), "its parent counts on it");
        let gone = get(db, children[0].id).await;
        assert!(matches!(gone, Err(Error::NotFound("task"))));
        Ok(())
    }

    async fn old_families_are_pruned_when_all_of_them_have_ended(db: &Db) -> TestResult {
        let (_, children) = family(db, 1).await?;
        let alone = running(db).await?;
        succeed(db, &alone).await?;
        let parent = running(db).await?;
        let orphan = enqueue(db, child_of(&parent, "orphan")).await?;
        fail(db, &parent).await?;
        let before = db.now() + silence();

        let first = commit!(db, tx => store::prune(&mut tx, "noop", before, 10));
        let second = commit!(db, tx => store::prune(&mut tx, "noop", before, 10));

        assert_eq!((first, second), (1, 0));
        assert!(get(db, alone.id).await.is_err());
        assert_eq!(states(db, &[children[0].clone(), orphan]).await?.len(), 2);
        Ok(())
    }
}

/// How often the task was seen to become queued.
async fn queued_events(db: &Db, task: &Task) -> Result<usize> {
    let mut conn = db.conn().await?;
    let events = store::events(&mut conn, task.owner_id, task.id, 0, 1_000).await?;
    let queued = events
        .iter()
        .filter(|event| event.event == EventKind::State && event.data["state"] == json!("queued"));
    Ok(queued.count())
}
