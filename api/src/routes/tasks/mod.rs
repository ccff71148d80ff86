//! Tasks: submit one, list them, watch one.

pub(crate) mod actions;
pub(crate) mod answer;
pub(crate) mod attempts;
pub(crate) mod batch;
pub(crate) mod estimate;
pub(crate) mod events;
pub(crate) mod filter;
pub(crate) mod submission;
pub(crate) mod view;

use chrono::{DateTime, Utc};
use jobs::{Task, store};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Header, Path, Query},
};
use uuid::Uuid;

use self::{
    answer::{Submitted, applied, caching, follow, written},
    estimate::poll_seconds,
    filter::StateFilter,
    submission::OpenSubmission,
    view::TaskView,
};
use super::Tag;
use crate::{
    app::App,
    body::Body,
    caller::{May, Permission},
    conditional::{etag, is_known},
    idempotency::{self, Attempt, Replay},
    json::Json,
    page::{self, PageView},
    problem::Problem,
    request::{RequestContext, wait},
    submissions::{Item, ROUTE, Stored},
};

/// The operations on tasks that submit and read.
pub(crate) struct Tasks;

#[OpenApi(tag = "Tag::Tasks")]
impl Tasks {
    /// Submits a task of any kind that is open to clients.
    ///
    /// It answers once the task is stored; from then on nothing loses it. With `Prefer: wait` the
    /// answer waits for the end of the task, and is 200 if that comes in time.
    #[oai(path = "/v1/tasks", method = "post", operation_id = "submit_task")]
    async fn submit_task(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::SubmitTasks as u8 }>,
        context: RequestContext,
        /// Repeating a request with its key does nothing twice.
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<String>>,
        /// `wait=SECONDS`, at most 60.
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        body: Body<OpenSubmission>,
    ) -> Result<Submitted, Problem> {
        let attempt = Attempt::new(caller, ROUTE, key.as_deref(), &body.fingerprint)?;
        let new = match body.value.0.into_new(caller, &context, app.db.now()) {
            Ok(new) => new,
            Err(refusal) => {
                // What was right when it was first sent is answered again as long as the key lives.
                let replay = attempt.claim(&mut app.begin().await?, app.db.now()).await?;
                let replay = replay.ok_or(refusal)?;
                return Submitted::again(&app, caller, replay, wait(prefer.as_deref())).await;
            }
        };
        let key = key.0.map(|key| (key, body.fingerprint));
        let waited = wait(prefer.as_deref());
        match app.submit(Item { new, key }).await? {
            Stored::New(task) => Submitted::first(&app, caller, *task, waited).await,
            Stored::Replay(id) => Submitted::again(&app, caller, Replay::Task(id), waited).await,
            Stored::Mismatch => Err(idempotency::mismatch()),
        }
    }

    /// Lists the caller's tasks, newest first.
    #[oai(path = "/v1/tasks", method = "get", operation_id = "list_tasks")]
    #[expect(clippy::too_many_arguments, reason = "a filter is a parameter each")]
    async fn list_tasks(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ReadTasks as u8 }>,
        /// Only this kind.
        #[oai(validator(pattern = "^[a-z][a-z_.]{0,59}$"))]
        kind: Query<Option<String>>,
        /// Only in this state.
        state: Query<Option<StateFilter>>,
        /// Only the children of this task.
        parent: Query<Option<Uuid>>,
        /// Only those submitted after this time.
        created_after: Query<Option<DateTime<Utc>>>,
        /// Only those submitted before this time.
        created_before: Query<Option<DateTime<Utc>>>,
        /// Where to go on: `next` of the page before.
        #[oai(validator(pattern = "^0[0-9a-f]{47}$"))]
        cursor: Query<Option<String>>,
        /// How many, at most 100; 20 unless told.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<u32>>,
    ) -> Result<Listed, Problem> {
        let filter = store::Filter {
            kind: kind.0,
            state: state.0.map(Into::into),
            parent: parent.0.map(Into::into),
            created_after: created_after.0,
            created_before: created_before.0,
        };
        let (cursor, limit) = page::bounds(cursor.as_deref(), limit.0)?;
        let mut conn = app.conn().await?;
        let tasks = store::list(&mut conn, caller.owner, &filter, cursor, limit).await?;
        let now = app.db.now();
        Ok(Listed::Ok(Json::new(PageView::of(tasks, |task| {
            TaskView::new(task, None, now)
        }))))
    }

    /// Reads a task; the way to wait for its end without a stream.
    ///
    /// `If-None-Match` with the ETag of the last answer gives 304 while nothing has changed. With
    /// `Prefer: wait` the answer waits until the task changes.
    #[oai(path = "/v1/tasks/:id", method = "get", operation_id = "get_task")]
    async fn get_task(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ReadTasks as u8 }>,
        /// The id of the task.
        id: Path<Uuid>,
        /// The ETag of the last answer.
        #[oai(name = "If-None-Match")]
        known: Header<Option<String>>,
        /// `wait=SECONDS`, at most 60.
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
    ) -> Result<Polled, Problem> {
        let (id, waited) = (id.0.into(), wait(prefer.as_deref()));
        let known = known.as_deref();
        // Whoever knows a version mostly knows the latest, and of what is kept only the version is
        // missing: a glance is enough for both.
        let (mut seen, mut task) = if known.is_some() || app.reads.kept.has(id) {
            let seen = app.glance(caller, id).await?;
            (seen.ok_or(models::Error::NotFound("task"))?, None)
        } else {
            let task = answer::get(&app, caller, id).await?;
            (task.glance(), Some(task))
        };
        if let Some(wait) = waited
            && (known.is_none() || is_known(known, seen.version))
            && !seen.state.is_done()
        {
            let is_news = |task: &Task| task.version != seen.version;
            let later = follow(&app, caller, id, wait, is_news).await?;
            (seen, task) = (later.glance(), Some(later));
        }
        if is_known(known, seen.version) {
            let (version, poll) = (etag(seen.version), poll_seconds(&seen, app.db.now()));
            let caching = caching(seen.state);
            return Ok(Polled::NotModified(version, caching, poll, applied(waited)));
        }
        let body = if let Some(kept) = app.reads.kept.get(id, seen.version) {
            Json::written(kept)
        } else {
            let task = match task {
                Some(task) => task,
                None => answer::get(&app, caller, id).await?,
            };
            // It may have changed since the glance.
            seen = task.glance();
            written(&app, task).await?
        };
        let (version, poll) = (etag(seen.version), poll_seconds(&seen, app.db.now()));
        let caching = caching(seen.state);
        Ok(Polled::Ok(body, version, caching, poll, applied(waited)))
    }

    /// Forgets a task that has ended, with its events and attempts.
    #[oai(
        path = "/v1/tasks/:id",
        method = "delete",
        operation_id = "delete_task"
    )]
    async fn delete_task(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::DeleteTasks as u8 }>,
        /// The id of the task.
        id: Path<Uuid>,
    ) -> Result<Deleted, Problem> {
        let mut tx = app.begin().await?;
        store::delete(&mut tx, caller.owner, id.0.into()).await?;
        tx.commit().await?;
        app.bell.announce(id.0.into());
        Ok(Deleted::Done)
    }
}

#[derive(ApiResponse)]
enum Listed {
    /// A page of tasks.
    #[oai(status = 200)]
    Ok(Json<PageView<TaskView>>),
}

#[derive(ApiResponse)]
enum Polled {
    /// The task as it is now.
    #[oai(status = 200)]
    Ok(
        Json<TaskView>,
        /// The version of the task.
        #[oai(header = "ETag")]
        String,
        /// How long the answer may be used again without asking.
        #[oai(header = "Cache-Control")]
        String,
        /// In how many seconds to ask again; absent once the task has ended.
        #[oai(header = "Retry-After")]
        Option<u64>,
        /// The wait that was granted.
        #[oai(header = "Preference-Applied")]
        Option<String>,
    ),
    /// The task is as `If-None-Match` says.
    #[oai(status = 304)]
    NotModified(
        /// The version of the task.
        #[oai(header = "ETag")]
        String,
        /// How long the answer may be used again without asking.
        #[oai(header = "Cache-Control")]
        String,
        /// In how many seconds to ask again; absent once the task has ended.
        #[oai(header = "Retry-After")]
        Option<u64>,
        /// The wait that was granted.
        #[oai(header = "Preference-Applied")]
        Option<String>,
    ),
}

#[derive(ApiResponse)]
enum Deleted {
    /// It is gone.
    #[oai(status = 204)]
    Done,
}
