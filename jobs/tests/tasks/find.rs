//! Reading tasks, and what the relay has to ring, on both databases.

use jobs::{
    Ending, Priority, Queue, State, TaskId,
    kinds::GenerateCourse,
    store::{self, Filter, Options},
};
use models::{CourseId, Cursor, Db, Error, Limit, OwnerId, on_both, testing::TestResult};

use crate::support::{
    commit, enqueue, fail, failure, get, noop, options, running, seconds, start, succeed,
};

on_both! {
    async fn somebody_elses_task_is_not_found(db: &Db) -> TestResult {
        let task = running(db).await?;
        let stranger = OwnerId::new();
        let mut conn = db.conn().await?;

        assert_eq!(store::find(&mut conn, OwnerId::LOCAL, task.id).await?.as_ref(), Some(&task));
        assert_eq!(store::find(&mut conn, stranger, task.id).await?, None);
        assert!(store::attempts(&mut conn, stranger, task.id).await?.is_empty());
        assert!(store::events(&mut conn, stranger, task.id, 0, 10).await?.is_empty());
        let any = Filter::default();
        let page = store::list(&mut conn, stranger, &any, None, Limit::default()).await?;
        assert!(page.items.is_empty());
        drop(conn);
        let mut tx = db.begin().await?;
        let now = db.now();
        let refused = [
            store::cancel(&mut tx, stranger, task.id, now).await.map(drop),
            store::again(&mut tx, stranger, task.id, false, now).await.map(drop),
            store::delete(&mut tx, stranger, task.id).await,
            store::cancel(&mut tx, OwnerId::LOCAL, TaskId::new(), now).await.map(drop),
        ];
        for refused in refused {
            assert!(matches!(refused, Err(Error::NotFound("task"))), "{refused:?}");
        }
        Ok(())
    }

    async fn a_list_is_filtered_and_complete(db: &Db) -> TestResult {
        let now = db.now();
        let mut expected = Vec::new();
        let mut tx = db.begin().await?;
        for number in 0..7 {
            let time = now + seconds(number / 3);
            expected.push(store::enqueue(&mut tx, &noop(), options(), time).await?.id);
        }
        let course = GenerateCourse { course_id: CourseId::new() };
        let course = store::enqueue(&mut tx, &course, options(), now + seconds(9)).await?;
        tx.commit().await?;
        expected.reverse();
        let noops = Filter { kind: Some("noop".to_owned()), ..Filter::default() };

        let mut found = Vec::new();
        let mut cursor: Option<Cursor> = None;
        loop {
            let mut conn = db.conn().await?;
            let page =
                store::list(&mut conn, OwnerId::LOCAL, &noops, cursor, Limit::new(2)?).await?;
            found.extend(page.items.iter().map(|task| task.id));
            let Some(next) = page.next else { break };
            cursor = Some(next);
        }

        assert_eq!(found, expected);
        let some = |filter: Filter| async move {
            let mut conn = db.conn().await?;
            let limit = Limit::default();
            let page = store::list(&mut conn, OwnerId::LOCAL, &filter, None, limit).await?;
            models::Result::<_>::Ok(page.items.len())
        };
        let none = Filter::default;
        assert_eq!(some(none()).await?, 8);
        assert_eq!(some(Filter { state: Some(State::Running), ..none() }).await?, 0);
        assert_eq!(some(Filter { parent: Some(course.id), ..none() }).await?, 0);
        assert_eq!(some(Filter { created_after: Some(now + seconds(1)), ..none() }).await?, 2);
        assert_eq!(some(Filter { created_before: Some(now + seconds(1)), ..none() }).await?, 3);
        Ok(())
    }

    async fn due_tasks_are_rung_by_priority_and_not_again_at_once(db: &Db) -> TestResult {
        let now = db.now();
        let with = |priority, run_at| Options { priority, run_at, ..options() };
        let bulk = enqueue(db, with(Priority::Bulk, None)).await?;
        let normal = enqueue(db, with(Priority::Normal, None)).await?;
        let urgent = enqueue(db, with(Priority::Interactive, None)).await?;
        let later = enqueue(db, with(Priority::Interactive, Some(now + seconds(60)))).await?;
        let started = running(db).await?;
        let (now, turn) = (db.now(), &mut store::Turn::default());

        let first = store::due(db, Queue::Default, now, now - seconds(5), turn, 2).await?;
        let second = store::due(db, Queue::Default, now, now - seconds(5), turn, 9).await?;
        let third = store::due(db, Queue::Default, now, now - seconds(5), turn, 9).await?;
        let soon = now + seconds(6);
        let repeated = store::due(db, Queue::Default, soon, now + seconds(1), turn, 9).await?;

        assert_eq!(first, [urgent.id, normal.id]);
        assert_eq!(second, [bulk.id]);
        assert!(third.is_empty());
        assert_eq!(repeated, [urgent.id, normal.id, bulk.id]);
        assert!(!repeated.contains(&started.id));
        assert_eq!(get(db, bulk.id).await?.version, 1, "a ring is nothing to see");
        let mut conn = db.conn().await?;
        assert_eq!(store::next_due(&mut conn, now).await?, started.lease_until);
        drop(conn);
        succeed(db, &started).await?;
        let mut conn = db.conn().await?;
        assert_eq!(store::next_due(&mut conn, now).await?, Some(later.run_at));
        assert_eq!(store::next_due(&mut conn, later.run_at).await?, None);
        Ok(())
    }

    async fn an_ended_task_tells_how_each_attempt_ended(db: &Db) -> TestResult {
        let task = running(db).await?;
        commit!(db, tx => store::release(&mut tx, task.lease(), db.now()));
        let task = start(db, task.id, db.now()).await?;
        fail(db, &task).await?;

        let mut conn = db.conn().await?;
        let attempts = store::attempts(&mut conn, OwnerId::LOCAL, task.id).await?;

        let endings: Vec<_> = attempts.iter().filter_map(|attempt| attempt.outcome).collect();
        assert_eq!(endings, [Ending::Released, Ending::Failed]);
        assert!(attempts.iter().all(|attempt| attempt.ended_at.is_some()));
        assert_eq!(attempts[1].error, Some(failure()));
        Ok(())
    }
}
