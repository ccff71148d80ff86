//! What a running task shows and leaves behind, on both databases.

use jobs::{Event, EventKind, Progress, Usage, store};
use models::{Db, Error, OwnerId, on_both, testing::TestResult};
use serde_json::{Value, json};

use crate::support::{commit, get, running};

on_both! {
    async fn progress_only_rises_and_is_told(db: &Db) -> TestResult {
        let task = running(db).await?;
        let report = |percent, message: &str| Progress {
            percent,
            step: Some("lessons".to_owned()),
            message: Some(message.to_owned()),
            completed: Some(1),
            total: Some(2),
        };

        for (percent, message) in [(40.0, "a"), (20.0, "b"), (1_000.0, "c")] {
            let progress = report(percent, message);
            commit!(db, tx => store::progress(&mut tx, task.lease(), &progress, db.now()));
        }
        let part = json!({"lesson": 1});
        commit!(db, tx => store::partial(&mut tx, task.lease(), &part, db.now()));

        let mut conn = db.conn().await?;
        let events = store::events(&mut conn, OwnerId::LOCAL, task.id, task.version, 100).await?;
        let percents: Vec<_> = events[..3].iter().map(|event| &event.data["percent"]).collect();
        assert_eq!(percents, [&json!(40.0), &json!(40.0), &json!(100.0)]);
        assert_eq!(events[1].data["message"], "b");
        let last = &events[3];
        assert_eq!((last.event, &last.data, last.seq), (EventKind::Partial, &part, 6));
        Ok(())
    }

    async fn the_result_is_kept_and_the_end_is_the_last_event(db: &Db) -> TestResult {
        let task = running(db).await?;
        let (result, usage) = (json!({"n": 1}), Usage { tokens_in: 3, tokens_out: 4 });
        let warnings = ["slow".to_owned()];

        let changed = commit!(db, tx => store::succeed(
            &mut tx, task.lease(), Some(&result), &warnings, usage, db.now()));

        let task = get(db, task.id).await?;
        assert_eq!(changed.task, task);
        assert_eq!((task.result, task.usage), (Some(result), usage));
        assert_eq!(task.warnings, warnings);
        assert!(task.percent > 99.9);
        let mut conn = db.conn().await?;
        let events: Vec<Event> =
            store::events(&mut conn, OwnerId::LOCAL, task.id, 2, 100).await?;
        assert_eq!(events.len(), 1);
        assert_eq!((events[0].event, &events[0].data["state"]), (EventKind::Done, &json!("succeeded")));
        Ok(())
    }

    async fn documents_are_objects_or_arrays(db: &Db) -> TestResult {
        let task = running(db).await?;
        let (number, now) = (json!(5), db.now());
        let mut tx = db.begin().await?;

        let refused = [
            store::succeed(&mut tx, task.lease(), Some(&number), &[], Usage::default(), now)
                .await
                .map(drop),
            store::partial(&mut tx, task.lease(), &number, now).await.map(drop),
            store::checkpoint::put(&mut tx, task.lease(), "key", "digest", &number, now).await,
        ];

        assert!(refused.iter().all(|refused| matches!(refused, Err(Error::Invalid { .. }))));
        Ok(())
    }

    async fn a_checkpoint_is_replaced_by_the_next_with_its_key(db: &Db) -> TestResult {
        let task = running(db).await?;
        let put = async |digest: &str, output: Value| -> models::Result<()> {
            commit!(db, tx => store::checkpoint::put(
                &mut tx, task.lease(), "outline", digest, &output, db.now()));
            Ok(())
        };
        put("one", json!([1])).await?;
        put("two", json!([2])).await?;

        let mut conn = db.conn().await?;
        let mut get = async |digest| {
            store::checkpoint::get(&mut conn, task.id, "outline", digest).await
        };

        assert_eq!(get("one").await?, None);
        assert_eq!(get("two").await?, Some(json!([2])));
        Ok(())
    }
}
