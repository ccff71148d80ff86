//! Reading many tasks at once, for those who poll, on both databases.

use jobs::{
    Priority, Queue, TaskId,
    store::{self, Options},
};
use models::{Db, OwnerId, on_both, testing::TestResult};

use crate::support::{enqueue, options, running, seconds};

on_both! {
    async fn each_reads_its_own_tasks_and_no_others(db: &Db) -> TestResult {
        let (me, stranger) = (OwnerId::LOCAL, OwnerId::new());
        let mine = running(db).await?;
        let theirs = enqueue(db, Options::by(stranger)).await?;
        let wanted = [
            (me, mine.id),
            (stranger, mine.id),
            (stranger, theirs.id),
            (me, theirs.id),
            (me, TaskId::new()),
            (me, mine.id),
        ];
        let mut conn = db.conn().await?;

        let tasks = store::find_many(&mut conn, &wanted).await?;
        let glances = store::glance_many(&mut conn, &wanted).await?;

        let expected = [Some(mine.clone()), None, Some(theirs), None, None, Some(mine)];
        assert_eq!(tasks, expected);
        assert_eq!(glances, expected.map(|task| task.map(|task| task.glance())));
        Ok(())
    }

    async fn positions_are_counted_in_the_order_of_the_queue(db: &Db) -> TestResult {
        let with = |priority, run_at| Options { priority, run_at, ..options() };
        let bulk = enqueue(db, with(Priority::Bulk, None)).await?;
        let normal = enqueue(db, with(Priority::Normal, None)).await?;
        let later = enqueue(db, with(Priority::Normal, Some(db.now() + seconds(60)))).await?;
        let urgent = enqueue(db, with(Priority::Interactive, None)).await?;
        let started = running(db).await?;
        let mut conn = db.conn().await?;

        let front = store::front(&mut conn, Queue::Default, db.now()).await?;
        let elsewhere = store::front(&mut conn, Queue::Media, db.now()).await?;

        let tasks = [&urgent, &normal, &bulk, &later];
        assert_eq!(tasks.map(|task| front.before(task)), [0, 1, 2, 2]);
        assert_eq!(front.length(), 3, "{} runs, and one is not due", started.id);
        assert_eq!(elsewhere.length(), 0);
        Ok(())
    }

    async fn nobody_counts_further_than_the_bound(db: &Db) -> TestResult {
        let length = usize::try_from(store::POSITION_MAX)? + 3;
        let definition = jobs::kinds::find("noop").ok_or("it is a kind")?;
        let payload = serde_json::json!({"n": 1});
        let one = store::New { definition, payload, options: options() };
        let mut tx = db.begin().await?;
        let tasks = store::enqueue_many(&mut tx, vec![one; length], db.now()).await?;
        tx.commit().await?;
        let mut conn = db.conn().await?;

        let front = store::front(&mut conn, Queue::Default, db.now()).await?;

        let last = [&tasks[999], &tasks[1_000], &tasks[1_002]];
        assert_eq!(last.map(|task| front.before(task)), [999, 1_000, 1_000]);
        Ok(())
    }
}
