//! Enqueueing, reading and the relay's view of the tasks table, on both databases.

use crate::support::{commit, enqueue, fail, get, noop, options, running, seconds, start, succeed};
use jobs::{
    Definition, Event, EventKind, Priority, Progress, Queue, Reason, State, TaskId, Usage,
    kinds::{GenerateCourse, Noop},
    store::{self, Filter, New, Options},
};
use models::{
    CourseId, Cursor, Db, Error, Limit, OwnerId,
    idempotency::{self, Claim, Key},
    on_both,
    testing::TestResult,
};
use serde_json::{Value, json};

static NOOP: Definition = Definition::of::<Noop>();

on_both! {
    async fn a_new_task_is_what_was_asked_for(db: &Db) -> TestResult {
        let now = db.now();
        let job = GenerateCourse { course_id: CourseId::new() };
        let asked = Options {
            priority: Priority::Interactive,
            run_at: Some(now + seconds(60)),
            expires_at: Some(now + seconds(90)),
            request_id: Some("request".to_owned()),
            trace_id: Some("trace".to_owned()),
            attempts_max: Some(7),
            ..options()
        };

        let task = commit!(db, tx => store::enqueue(&mut tx, &job, asked, now));

        assert_eq!(get(db, task.id).await?, task);
        assert_eq!((task.kind.as_str(), task.queue), ("course.generate", Queue::Generation));
        assert_eq!(task.subject, Some(format!("courses/{}", job.course_id)));
        assert_eq!(task.payload, json!({"course_id": job.course_id}));
        assert_eq!((task.run_at, task.expires_at), (now + seconds(60), Some(now + seconds(90))));
        assert_eq!(task.waiting(now).map(|waiting| waiting.reason), Some(Reason::Scheduled));
        assert_eq!((task.attempts_max, task.priority), (7, Priority::Interactive));
        assert_eq!(task.request_id.as_deref(), Some("request"));
        assert_eq!((task.version, task.created_at), (1, now));
        Ok(())
    }

    async fn what_breaks_a_rule_is_refused_by_its_name(db: &Db) -> TestResult {
        let now = db.now();
        let past = Some(now - seconds(1));
        let slow = Noop { sleep_ms: 10_001, ..noop() };
        let mut tx = db.begin().await?;

        let mut refused = Vec::new();
        refused.push(store::enqueue(&mut tx, &slow, options(), now).await);
        for payload in [json!({"n": "x"}), json!({"n": 1, "x": "y".repeat(70_000)})] {
            refused.push(store::enqueue_raw(&mut tx, &NOOP, payload, options(), now).await);
        }
        let wrong = [
            Options { expires_at: past, ..options() },
            Options { attempts_max: Some(0), ..options() },
            Options { attempts_max: Some(101), ..options() },
        ];
        for wrong in wrong {
            refused.push(store::enqueue(&mut tx, &noop(), wrong, now).await);
        }

        let fields: Vec<_> = refused.into_iter().map(|refused| match refused {
            Err(Error::Invalid { field, .. }) => field,
            other => format!("{other:?}"),
        }).collect();
        let expected =
            ["/sleep_ms", "/payload", "/payload/x", "/expires_at", "/attempts_max", "/attempts_max"];
        assert_eq!(fields, expected);
        Ok(())
    }

    async fn many_tasks_come_in_the_order_they_were_given(db: &Db) -> TestResult {
        let payloads: Vec<Value> = (0..1_000).map(|n| json!({"n": n})).collect();
        let new = payloads.iter().map(|payload| New {
            definition: &NOOP,
            payload: payload.clone(),
            options: options(),
        });

        let tasks = commit!(db, tx => store::enqueue_many(&mut tx, new.collect(), db.now()));
        let none = commit!(db, tx => store::enqueue_many(&mut tx, Vec::new(), db.now()));

        let found: Vec<_> = tasks.iter().map(|task| task.payload["n"].clone()).collect();
        assert_eq!(found, payloads.iter().map(|payload| payload["n"].clone()).collect::<Vec<_>>());
        assert!(none.is_empty());
        let mut conn = db.conn().await?;
        let events = store::events(&mut conn, OwnerId::LOCAL, tasks[999].id, 0, 10).await?;
        assert_eq!(events.len(), 1);
        Ok(())
    }

    async fn a_task_that_is_rolled_back_never_was(db: &Db) -> TestResult {
        let mut tx = db.begin().await?;
        let task = store::enqueue(&mut tx, &noop(), options(), db.now()).await?;
        drop(tx);

        assert!(matches!(get(db, task.id).await, Err(Error::NotFound("task"))));
        Ok(())
    }

    async fn an_idempotency_key_leads_to_its_task_and_goes_with_it(db: &Db) -> TestResult {
        let key = Key { owner: OwnerId::LOCAL, route: "POST /v1/tasks", key: "a" };
        let task = running(db).await?;
        succeed(db, &task).await?;
        commit!(db, tx => idempotency::claim(&mut tx, key, "f1", db.now()));
        commit!(db, tx => idempotency::answer(&mut tx, key, Some(task.id), None));

        let replay = commit!(db, tx => idempotency::claim(&mut tx, key, "f1", db.now()));
        commit!(db, tx => store::delete(&mut tx, OwnerId::LOCAL, task.id));
        let after = commit!(db, tx => idempotency::claim(&mut tx, key, "f1", db.now()));

        assert_eq!(replay, Claim::Replay { task_id: Some(task.id), response: None });
        assert_eq!(after, Claim::New);
        Ok(())
    }

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
        assert_eq!((task.warnings.as_slice(), task.percent), (warnings.as_slice(), 100.0));
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

    async fn due_tasks_are_rung_by_priority_and_not_again_at_once(db: &Db) -> TestResult {
        let now = db.now();
        let with = |priority, run_at| Options { priority, run_at, ..options() };
        let bulk = enqueue(db, with(Priority::Bulk, None)).await?;
        let normal = enqueue(db, with(Priority::Normal, None)).await?;
        let urgent = enqueue(db, with(Priority::Interactive, None)).await?;
        let later = enqueue(db, with(Priority::Interactive, Some(now + seconds(60)))).await?;
        let started = running(db).await?;
        let now = db.now();

        let first = store::due(db, Queue::Default, now, now - seconds(5), 2).await?;
        let second = store::due(db, Queue::Default, now, now - seconds(5), 9).await?;
        let third = store::due(db, Queue::Default, now, now - seconds(5), 9).await?;
        let repeated = store::due(db, Queue::Default, now + seconds(6), now + seconds(1), 9).await?;

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
        assert_eq!(endings, [jobs::Ending::Released, jobs::Ending::Failed]);
        assert!(attempts.iter().all(|attempt| attempt.ended_at.is_some()));
        assert_eq!(attempts[1].error, Some(crate::support::failure()));
        Ok(())
    }
}
