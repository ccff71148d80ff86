//! The answers that carry a task, with the headers that go with it.

use std::time::Duration;

use jobs::{State, Task, store::Changed};
use models::id::TaskId;
use poem_openapi::ApiResponse;
use tokio::time::Instant;

use super::{
    estimate::poll_seconds,
    view::{TaskView, path},
};
use crate::{
    app::App,
    caller::Caller,
    conditional::etag,
    idempotency::Replay,
    json::{Json, write},
    problem::Problem,
};

/// The answer to a submission.
#[derive(ApiResponse)]
pub(crate) enum Submitted {
    /// The task has ended within the wait that `Prefer` asked for.
    #[oai(status = 200)]
    Ended(
        Json<TaskView>,
        /// Where the task is found.
        #[oai(header = "Location")]
        String,
        /// The version of the task.
        #[oai(header = "ETag")]
        String,
        /// `true` when an earlier request with the same key had made the task.
        #[oai(header = "Idempotent-Replayed")]
        Option<String>,
        /// The wait that was granted.
        #[oai(header = "Preference-Applied")]
        Option<String>,
    ),
    /// The task is stored and will be worked on, whatever happens to this server.
    #[oai(status = 202)]
    Accepted(
        Json<TaskView>,
        /// Where the task is found.
        #[oai(header = "Location")]
        String,
        /// The version of the task.
        #[oai(header = "ETag")]
        String,
        /// `true` when an earlier request with the same key had made the task.
        #[oai(header = "Idempotent-Replayed")]
        Option<String>,
        /// The wait that was granted.
        #[oai(header = "Preference-Applied")]
        Option<String>,
        /// In how many seconds to ask for the task again.
        #[oai(header = "Retry-After")]
        Option<u64>,
    ),
}

impl Submitted {
    /// Tells everybody of a task that was just stored, and answers about it.
    pub(crate) async fn first(
        app: &App,
        caller: Caller,
        task: Task,
        waited: Option<Duration>,
    ) -> Result<Self, Problem> {
        Self::changed(
            app,
            caller,
            Changed {
                task,
                others: Vec::new(),
            },
            waited,
        )
        .await
    }

    /// Tells everybody of what a verb has changed, and answers about its task.
    pub(crate) async fn changed(
        app: &App,
        caller: Caller,
        changed: Changed,
        waited: Option<Duration>,
    ) -> Result<Self, Problem> {
        app.bell.tell_all(&changed, app.db.now());
        let task = match waited {
            Some(wait) => {
                let id = changed.task.id;
                follow(app, caller, id, wait, |task| task.state.is_done()).await?
            }
            None => changed.task,
        };
        Self::of(app, task, false, waited).await
    }

    /// Answers about what an earlier request with the same key had made.
    pub(crate) async fn again(
        app: &App,
        caller: Caller,
        replay: Replay,
        waited: Option<Duration>,
    ) -> Result<Self, Problem> {
        let Replay::Task(id) = replay else {
            return Err(Problem::internal(
                "the key of a task was answered with a document",
            ));
        };
        let wait = waited.unwrap_or_default();
        let task = follow(app, caller, id, wait, |task| task.state.is_done()).await?;
        Self::of(app, task, true, waited).await
    }

    async fn of(
        app: &App,
        task: Task,
        replayed: bool,
        waited: Option<Duration>,
    ) -> Result<Self, Problem> {
        let location = path(task.id);
        let version = etag(task.version);
        let replayed = replayed.then(|| "true".to_owned());
        let applied = applied(waited);
        let (poll, ended) = (
            poll_seconds(&task.glance(), app.db.now()),
            task.state.is_done(),
        );
        let view = Json::new(view(app, task).await?);
        Ok(if ended {
            Self::Ended(view, location, version, replayed, applied)
        } else {
            Self::Accepted(view, location, version, replayed, applied, poll)
        })
    }
}

/// The view of a task, with its place in the queue.
pub(crate) async fn view(app: &App, task: Task) -> Result<TaskView, Problem> {
    let position = app.position(&task).await?;
    Ok(TaskView::new(task, Some(position), app.db.now()))
}

/// A task as it is written out; one that has ended is kept for the next who asks.
pub(crate) async fn written(app: &App, task: Task) -> Result<Json<TaskView>, Problem> {
    let (id, version, ended) = (task.id, task.version, task.state.is_done());
    let view = view(app, task).await?;
    if !ended {
        return Ok(Json::new(view));
    }
    let bytes = write(&view)?;
    app.reads.kept.put(id, version, bytes.clone());
    Ok(Json::written(bytes))
}

/// The value of `Preference-Applied` for a wait that was granted.
pub(crate) fn applied(waited: Option<Duration>) -> Option<String> {
    waited.map(|wait| format!("wait={}", wait.as_secs()))
}

/// How an answer about a task in this state may be kept: a task that succeeded never changes again,
/// any other end may be tried again.
pub(crate) fn caching(state: State) -> String {
    match state {
        State::Succeeded => "private, max-age=300, immutable".to_owned(),
        _ => "private, no-cache".to_owned(),
    }
}

/// A task of the caller.
pub(crate) async fn get(app: &App, caller: Caller, id: TaskId) -> Result<Task, Problem> {
    let task = app.task(caller, id).await?;
    Ok(task.ok_or(models::Error::NotFound("task"))?)
}

/// Reads a task until it is as the client wants it, at most for `wait`.
pub(crate) async fn follow(
    app: &App,
    caller: Caller,
    id: TaskId,
    wait: Duration,
    enough: impl Fn(&Task) -> bool + Send,
) -> Result<Task, Problem> {
    let deadline = Instant::now() + wait;
    // Before the first look at the row, so that no change falls between looking and waiting.
    let mut watch = app.bell.watch();
    watch.add(id);
    loop {
        let task = get(app, caller, id).await?;
        let left = deadline.saturating_duration_since(Instant::now());
        if enough(&task) || left.is_zero() || app.stop.is_cancelled() {
            return Ok(task);
        }
        tokio::select! {
            _ = watch.changed(left) => {}
            () = app.stop.cancelled() => {}
        }
    }
}
