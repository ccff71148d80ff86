//! Putting tasks into the table, on both databases.

use jobs::{
    Definition, Priority, Queue, Reason,
    kinds::{GenerateCourse, Noop},
    store::{self, New, Options},
};
use models::{
    CourseId, Db, Error, OwnerId,
    courses::{self, Brief},
    idempotency::{self, Claim, Key},
    on_both,
    testing::TestResult,
};
use serde_json::{Value, json};

use crate::support::{commit, get, noop, options, running, seconds, succeed};

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

    async fn a_course_knows_the_task_that_writes_it(db: &Db) -> TestResult {
        let mut tx = db.begin().await?;
        let brief = Brief::new("Tides");
        let course = courses::create(&mut tx, OwnerId::LOCAL, &brief, db.now()).await?;
        let job = GenerateCourse { course_id: course.id };
        let task = store::enqueue(&mut tx, &job, options(), db.now()).await?;

        courses::attach(&mut tx, course.id, task.id).await?;

        let found = courses::get_any(&mut tx, course.id).await?;
        assert_eq!((found.task_id, found.version), (Some(task.id), 1));
        let unknown = courses::attach(&mut tx, CourseId::new(), task.id).await;
        assert!(matches!(unknown, Err(Error::NotFound("course"))));
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
}
