//! A worker that can be killed, and what the stories look at.

use std::{sync::Arc, time::Duration};

use jobs::{
    Job, Priority, Queue, Task,
    bell::Bell,
    kinds::GenerateCourse,
    relay,
    store::{self, Options},
};
use media::{Limits, Pool};
use models::{
    CourseId, Db, DbOptions, OwnerId, TaskId,
    courses::{self, Brief},
    export, lessons, modules, sql,
    testing::{TestDb, TestResult},
};
use platform::{health::Health, storage::Storage};
use tokio::{
    runtime::Runtime,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use worker::{Ctx, Models, WorkerConfig, mailer::Mailer};

use crate::scripted::{Reply, Scripted};

/// How long a story waits for anything: far longer than it takes.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// A short grace: stories about draining wait for it.
pub(crate) const GRACE: Duration = Duration::from_millis(200);

/// A worker with a runtime, database connections and a bell of its own, as if it were a process.
pub(crate) struct Worker {
    /// What tells it of tasks.
    pub(crate) bell: Bell,
    runtime: Runtime,
    stop: CancellationToken,
    running: JoinHandle<TestResult>,
}

impl Worker {
    /// Starts a worker and a relay on the database of the test.
    pub(crate) fn start(
        test: &TestDb,
        model: &Arc<Scripted>,
        concurrency: usize,
    ) -> TestResult<Self> {
        let queues = vec![Queue::Generation, Queue::Default];
        Self::launch(
            test,
            model,
            concurrency,
            queues,
            Mailer::folder("unused".as_ref()),
        )
    }

    /// Starts a worker that makes variants of the pictures in a storage.
    pub(crate) fn of_pictures(test: &TestDb, storage: &Storage) -> TestResult<Self> {
        let model = Arc::new(Scripted::new(|_| Reply::Good));
        let mailer = Mailer::folder("unused".as_ref());
        let storage = Some(storage.clone());
        Self::begin(test, &model, 2, vec![Queue::Media], mailer, storage)
    }

    /// Starts a worker that serves these queues, and sends mail this way.
    pub(crate) fn launch(
        test: &TestDb,
        model: &Arc<Scripted>,
        concurrency: usize,
        queues: Vec<Queue>,
        mailer: Mailer,
    ) -> TestResult<Self> {
        Self::begin(test, model, concurrency, queues, mailer, None)
    }

    fn begin(
        test: &TestDb,
        model: &Arc<Scripted>,
        concurrency: usize,
        queues: Vec<Queue>,
        mailer: Mailer,
        storage: Option<Storage>,
    ) -> TestResult<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let stop = CancellationToken::new();
        let config = WorkerConfig {
            name: format!("test-{}", Uuid::now_v7()),
            queues,
            concurrency,
            grace: GRACE,
        };
        let bell = Bell::in_process();
        let rung = bell.clone();
        let (url, model, token) = (test.url.clone(), model.clone(), stop.clone());
        let running = runtime.spawn(async move {
            let db = Db::connect(&url, &DbOptions::default()).await?;
            let relay = tokio::spawn(relay::run(db.clone(), bell.clone(), token.clone()));
            let model = Models::ready(model);
            let ctx = Ctx {
                db: db.clone(),
                bell,
                model,
                mailer,
                pictures: Arc::new(Pool::of_program(
                    Limits::default(),
                    env!("CARGO_BIN_EXE_lyo-worker"),
                )),
                storage,
                health: Health::default(),
            };
            worker::run(config, ctx, token).await?;
            relay.await?;
            db.close().await;
            Ok(())
        });
        Ok(Self {
            bell: rung,
            runtime,
            stop,
            running,
        })
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn drain(self) -> TestResult {
        self.stop.cancel();
        let ended = timeout(PATIENCE, self.running).await;
        self.runtime.shutdown_background();
        ended??
    }

    /// Stops everything where it is: no drain, no last words.
    pub(crate) fn kill(self) {
        self.runtime.shutdown_background();
    }
}

/// Creates a course and the task that writes it, as the API does.
pub(crate) async fn submit(db: &Db, brief: &Brief) -> TestResult<(CourseId, TaskId)> {
    let mut tx = db.begin().await?;
    let course = courses::create(&mut tx, OwnerId::LOCAL, brief, db.now()).await?;
    let job = GenerateCourse {
        course_id: course.id,
    };
    // As the API does.
    let options = Options {
        priority: Priority::Interactive,
        ..Options::by(OwnerId::LOCAL)
    };
    let task = store::enqueue(&mut tx, &job, options, db.now()).await?;
    courses::attach(&mut tx, course.id, task.id).await?;
    tx.commit().await?;
    Ok((course.id, task.id))
}

/// Enqueues a job of its own.
pub(crate) async fn enqueue<J: Job>(db: &Db, job: &J) -> TestResult<TaskId> {
    let mut tx = db.begin().await?;
    let task = store::enqueue(&mut tx, job, Options::by(OwnerId::LOCAL), db.now()).await?;
    tx.commit().await?;
    Ok(task.id)
}

/// A brief with a seed, for so many lessons.
pub(crate) fn brief(lessons: u8) -> Brief {
    Brief {
        lessons,
        seed: Some(7),
        ..Brief::new("Tide pools")
    }
}

/// The task as it is.
pub(crate) async fn task(db: &Db, id: TaskId) -> TestResult<Task> {
    Ok(store::find(&mut db.conn().await?, OwnerId::LOCAL, id)
        .await?
        .ok_or("the task is gone")?)
}

/// Waits until the task is as it should be.
pub(crate) async fn until(db: &Db, id: TaskId, wanted: impl Fn(&Task) -> bool) -> TestResult<Task> {
    let found = timeout(PATIENCE, async {
        loop {
            let task = task(db, id).await?;
            if wanted(&task) {
                return TestResult::Ok(task);
            }
            sleep(Duration::from_millis(10)).await;
        }
    });
    match found.await {
        Ok(task) => task,
        Err(_) => Err(format!("it never came about: {:?}", task(db, id).await?).into()),
    }
}

/// Waits until the task has ended.
pub(crate) async fn ended(db: &Db, id: TaskId) -> TestResult<Task> {
    until(db, id, |task| task.state.is_done()).await
}

/// Makes every lease run out, as if the workers had been silent for long.
pub(crate) async fn expire_leases(db: &Db) -> TestResult {
    let mut tx = db.begin().await?;
    let past = db.now() - chrono::TimeDelta::seconds(1);
    sql!(
        tx,
        execute,
        "update tasks set lease_until = $1 where state = 'running'",
        past
    )?;
    tx.commit().await?;
    Ok(())
}

/// Makes every task that waits for a later time due.
pub(crate) async fn make_due(db: &Db) -> TestResult {
    let mut tx = db.begin().await?;
    let past = db.now() - chrono::TimeDelta::seconds(1);
    sql!(
        tx,
        execute,
        "update tasks set run_at = $1, rung_at = null where state = 'queued'",
        past
    )?;
    tx.commit().await?;
    Ok(())
}

/// The course as its readers export it.
pub(crate) async fn document(db: &Db, id: CourseId) -> TestResult<String> {
    let mut conn = db.conn().await?;
    let course = courses::get_any(&mut conn, id).await?;
    let modules = modules::list(&mut conn, id).await?;
    let lessons = lessons::list(&mut conn, id).await?;
    Ok(serde_json::to_string_pretty(&export::document(
        &course, &modules, &lessons,
    ))?)
}
