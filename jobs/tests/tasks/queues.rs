//! What operators decide about queues.

use jobs::{
    Queue,
    store::{
        self,
        queues::{self, Control, Mode},
    },
};
use models::{Db, Error, on_both, testing::TestResult};

use crate::support::{child_of, commit, enqueue, options, running, seconds, start};

const DEFAULT: Control = Control {
    queue: Queue::Default,
    mode: Mode::Open,
    paused_until: None,
};

async fn set(db: &Db, control: Control) -> models::Result<Control> {
    Ok(commit!(db, tx => queues::update(&mut tx, control, db.now())))
}

on_both! {
    async fn a_paused_queue_starts_nothing_and_takes_everything(db: &Db) -> TestResult {
        let paused = Control { mode: Mode::Paused, ..DEFAULT };
        let before = enqueue(db, options()).await?;
        set(db, paused).await?;
        let after = enqueue(db, options()).await?;
        let now = db.now();

        let ids = [before.id, after.id];
        assert!(store::start(db, &ids, "w", now).await?.is_empty());
        let turn = &mut store::Turn::default();
        assert!(store::due(db, Queue::Default, now, now - seconds(5), turn, 9).await?.is_empty());
        assert_eq!(queues::list(&mut db.conn().await?, now).await?[Queue::Default as usize], paused);

        set(db, DEFAULT).await?;
        assert_eq!(store::start(db, &ids, "w", now).await?.len(), 2);
        Ok(())
    }

    async fn a_pause_ends_by_itself(db: &Db) -> TestResult {
        let until = db.now() + seconds(60);
        let paused = Control { mode: Mode::Paused, paused_until: Some(until), ..DEFAULT };
        let task = enqueue(db, options()).await?;
        set(db, paused).await?;
        let mut conn = db.conn().await?;

        assert_eq!(store::next_due(&mut conn, db.now()).await?, Some(until));
        assert!(start(db, task.id, until - seconds(1)).await.is_err());
        assert_eq!(queues::list(&mut conn, until).await?[Queue::Default as usize], DEFAULT);
        start(db, task.id, until).await?;
        Ok(())
    }

    async fn a_draining_queue_takes_nothing_but_children(db: &Db) -> TestResult {
        let parent = running(db).await?;
        let waiting = enqueue(db, options()).await?;
        set(db, Control { mode: Mode::Draining, ..DEFAULT }).await?;

        let refused = enqueue(db, options()).await;

        assert!(matches!(refused, Err(Error::Conflict("queue_draining"))), "{refused:?}");
        enqueue(db, child_of(&parent, "child")).await?;
        start(db, waiting.id, db.now()).await?;
        Ok(())
    }

    async fn the_end_of_a_pause_is_checked(db: &Db) -> TestResult {
        let past = Control { mode: Mode::Paused, paused_until: Some(db.now()), ..DEFAULT };
        let open = Control { paused_until: Some(db.now() + seconds(9)), ..DEFAULT };

        for wrong in [past, open] {
            let refused = set(db, wrong).await;
            assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
        }
        Ok(())
    }
}
