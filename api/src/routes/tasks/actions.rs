//! What can be done to a task after it was submitted.

use chrono::{DateTime, Utc};
use jobs::{Job, Task, kinds::GenerateCourse, store};
use models::{Tx, courses};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Header, Path, Query},
};
use serde::Deserialize as _;
use uuid::Uuid;

use super::{
    answer::{Submitted, get},
    attempts::{AttemptView, Attempts},
};
use crate::{
    app::App,
    body::fingerprint,
    caller::{May, Permission},
    idempotency::{Attempt, Replay},
    json::Json,
    problem::Problem,
    request::wait,
    routes::Tag,
};

/// The operations on a task that exists.
pub(crate) struct Actions;

#[OpenApi(tag = "Tag::Tasks")]
impl Actions {
    /// Lists the attempts of a task: which worker, when, and why it failed.
    #[oai(
        path = "/v1/tasks/:id/attempts",
        method = "get",
        operation_id = "list_attempts"
    )]
    async fn list_attempts(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ReadTasks as u8 }>,
        /// The id of the task.
        id: Path<Uuid>,
    ) -> Result<Attempted, Problem> {
        let task = get(&app, caller, id.0.into()).await?;
        let mut conn = app.conn().await?;
        let attempts = store::attempts(&mut conn, caller.owner, task.id).await?;
        let items = attempts.into_iter().map(AttemptView::from).collect();
        Ok(Attempted::Ok(Json::new(Attempts { items })))
    }

    /// Cancels a task and its children.
    ///
    /// A task that waits is cancelled at once; one that runs stops within seconds. Cancelling again,
    /// or too late, changes nothing.
    #[oai(
        path = "/v1/tasks/:id/cancel",
        method = "post",
        operation_id = "cancel_task"
    )]
    async fn cancel_task(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::SteerTasks as u8 }>,
        /// The id of the task.
        id: Path<Uuid>,
        /// Repeating a request with its key does nothing twice.
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<String>>,
        /// `wait=SECONDS`, at most 60: waits until the task has ended.
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
    ) -> Result<Submitted, Problem> {
        let target = fingerprint(id.0.as_bytes());
        let attempt = Attempt::new(caller, "cancel_task", key.as_deref(), &target)?;
        let (mut tx, now) = (app.begin().await?, app.db.now());
        if let Some(replay) = attempt.claim(&mut tx, now).await? {
            drop(tx);
            return Submitted::again(&app, caller, replay, wait(prefer.as_deref())).await;
        }
        let changed = store::cancel(&mut tx, caller.owner, id.0.into(), now).await?;
        attempt
            .answer(&mut tx, &Replay::Task(changed.task.id))
            .await?;
        tx.commit().await?;
        Submitted::changed(&app, caller, changed, wait(prefer.as_deref())).await
    }

    /// Tries a task again that failed, was cancelled or expired.
    ///
    /// What earlier attempts finished is kept, unless `fresh` throws it away.
    #[oai(
        path = "/v1/tasks/:id/retry",
        method = "post",
        operation_id = "retry_task"
    )]
    async fn retry_task(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::SteerTasks as u8 }>,
        /// The id of the task.
        id: Path<Uuid>,
        /// Whether to begin from nothing.
        fresh: Query<Option<bool>>,
        /// Repeating a request with its key does nothing twice.
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<String>>,
        /// `wait=SECONDS`, at most 60: waits until the task has ended.
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
    ) -> Result<Submitted, Problem> {
        let fresh = fresh.unwrap_or(false);
        let target = fingerprint(format!("{} {fresh}", id.0).as_bytes());
        let attempt = Attempt::new(caller, "retry_task", key.as_deref(), &target)?;
        let (mut tx, now) = (app.begin().await?, app.db.now());
        if let Some(replay) = attempt.claim(&mut tx, now).await? {
            drop(tx);
            return Submitted::again(&app, caller, replay, wait(prefer.as_deref())).await;
        }
        let changed = store::again(&mut tx, caller.owner, id.0.into(), fresh, now).await?;
        resume_course(&mut tx, &changed.task, now).await?;
        attempt
            .answer(&mut tx, &Replay::Task(changed.task.id))
            .await?;
        tx.commit().await?;
        Submitted::changed(&app, caller, changed, wait(prefer.as_deref())).await
    }
}

/// A course whose writing is tried again is being written again, from the same moment on.
pub(crate) async fn resume_course(
    tx: &mut Tx,
    task: &Task,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    if task.kind == GenerateCourse::KIND
        && let Ok(job) = GenerateCourse::deserialize(&task.payload)
    {
        courses::resume(tx, job.course_id, now).await?;
    }
    Ok(())
}

#[derive(ApiResponse)]
enum Attempted {
    /// The attempts so far.
    #[oai(status = 200)]
    Ok(Json<Attempts>),
}
