//! Everybody's tasks: those that failed, and cancelling and retrying many at once.

use chrono::{DateTime, Utc};
use jobs::{
    Queue, State,
    store::{
        self,
        bulk::{self, Selection},
    },
};
use models::{
    Error, OwnerId, TaskId,
    audit::{self, Action, Deed},
};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Header, Query},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    app::App,
    body::Body,
    caller::{May, Permission},
    idempotency::{Attempt, Replay},
    json::Json,
    limits::BULK_MAX,
    page::{self, PageView},
    place::Place,
    problem::Problem,
    request::RequestContext,
    routes::{
        Tag,
        tasks::{
            actions::resume_course,
            filter::StateFilter,
            view::{TaskState, TaskView},
        },
    },
};

/// What is written down of a selection, in characters.
const SUBJECT_CHARS_MAX: usize = 200;

/// The operations on everybody's tasks.
pub(crate) struct AllTasks;

#[OpenApi(tag = "Tag::Admin")]
impl AllTasks {
    /// Lists everybody's tasks, newest first; those that failed, for example.
    #[oai(
        path = "/v1/admin/tasks",
        method = "get",
        operation_id = "list_all_tasks"
    )]
    #[expect(clippy::too_many_arguments, reason = "a filter is a parameter each")]
    async fn list_all_tasks(
        &self,
        app: Data<&App>,
        _may: May<{ Permission::ReadAllTasks as u8 }>,
        /// Only this kind.
        #[oai(validator(pattern = "^[a-z][a-z_.]{0,59}$"))]
        kind: Query<Option<String>>,
        /// Only in this state.
        state: Query<Option<StateFilter>>,
        /// Only of this owner.
        owner: Query<Option<Uuid>>,
        /// Only those whose last attempt failed with this code.
        #[oai(validator(pattern = "^[a-z][a-z_]{0,59}$"))]
        error: Query<Option<String>>,
        /// Where to go on: `next` of the page before.
        #[oai(validator(pattern = "^0[0-9a-f]{47}$"))]
        cursor: Query<Option<String>>,
        /// How many, at most 100; 20 unless told.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<u32>>,
    ) -> Result<Listed, Problem> {
        let selection = Selection {
            kind: kind.0,
            state: state.0.map(State::from),
            owner: owner.0.map(OwnerId::from),
            error: error.0,
            ..Selection::default()
        };
        let (cursor, limit) = page::bounds(cursor.as_deref(), limit.0)?;
        let tasks = bulk::list(&mut app.conn().await?, &selection, cursor, limit).await?;
        let now = app.db.now();
        Ok(Listed::Ok(Json::new(PageView::of(tasks, |task| {
            TaskView::new(task, None, now)
        }))))
    }

    /// Cancels the tasks that match, at most 1,000 at once, and their children.
    ///
    /// Asks for one condition at least. `dry_run` counts and changes nothing. Call again while
    /// `more` is true.
    #[oai(
        path = "/v1/admin/tasks/cancel",
        method = "post",
        operation_id = "cancel_tasks"
    )]
    async fn cancel_tasks(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::SteerAllTasks as u8 }>,
        place: Place,
        context: RequestContext,
        /// Repeating a request with its key does nothing twice.
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<String>>,
        body: Body<BulkRequest>,
    ) -> Result<Done, Problem> {
        let attempt = Attempt::new(caller, "cancel_tasks", key.as_deref(), &body.fingerprint)?;
        let (dry_run, selection) = (body.value.dry_run, body.value.selection()?);
        let subject = subject(&selection);
        let deed = caller.deed(Action::TasksCancelled, subject, &place, &context);
        let deed = (!dry_run).then_some(deed);
        run(&app, &attempt, &selection, Verb::Cancel, deed).await
    }

    /// Retries the tasks that match and ended without success, at most 1,000 at once.
    ///
    /// Asks for one condition at least. `dry_run` counts and changes nothing. Call again while
    /// `more` is true.
    #[oai(
        path = "/v1/admin/tasks/retry",
        method = "post",
        operation_id = "retry_tasks"
    )]
    async fn retry_tasks(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::SteerAllTasks as u8 }>,
        place: Place,
        context: RequestContext,
        /// Repeating a request with its key does nothing twice.
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<String>>,
        body: Body<BulkRequest>,
    ) -> Result<Done, Problem> {
        let attempt = Attempt::new(caller, "retry_tasks", key.as_deref(), &body.fingerprint)?;
        let (dry_run, selection) = (body.value.dry_run, body.value.selection()?);
        let subject = subject(&selection);
        let deed = caller.deed(Action::TasksRetried, subject, &place, &context);
        let deed = (!dry_run).then_some(deed);
        run(&app, &attempt, &selection, Verb::Retry, deed).await
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Cancel,
    Retry,
}

/// The key is answered when all is done: of two requests that come at the same time, each changes
/// what the other did not, and both are answered with the report of the first to end.
///
/// Without a deed to be written down it is a rehearsal. The deed is written down before it is done:
/// what was changed until something broke was changed.
async fn run(
    app: &App,
    attempt: &Attempt<'_>,
    selection: &Selection,
    verb: Verb,
    deed: Option<Deed>,
) -> Result<Done, Problem> {
    let mut tx = app.begin().await?;
    if let Some(replay) = attempt.claim(&mut tx, app.db.now()).await? {
        return Done::again(replay);
    }
    drop(tx);
    if let Some(deed) = &deed {
        let (mut tx, now) = (app.begin().await?, app.db.now());
        audit::append(&mut tx, deed, now).await?;
        tx.commit().await?;
    }
    let result = change(app, selection, deed.is_none(), verb).await?;
    let mut tx = app.begin().await?;
    if let Some(replay) = attempt.claim(&mut tx, app.db.now()).await? {
        return Done::again(replay);
    }
    let document = serde_json::to_value(&result)
        .map_err(|error| Problem::internal(format!("a report: {error}")))?;
    attempt.answer(&mut tx, &Replay::Document(document)).await?;
    tx.commit().await?;
    Ok(Done::Ok(Json::new(result), None))
}

/// A selection as it is written down.
fn subject(selection: &Selection) -> String {
    let time = |time: Option<DateTime<Utc>>| time.map(|time| time.to_rfc3339());
    let conditions = [
        ("kind", selection.kind.clone()),
        ("queue", selection.queue.map(|queue| queue.to_string())),
        ("state", selection.state.map(|state| state.to_string())),
        ("owner", selection.owner.map(|owner| owner.to_string())),
        ("error", selection.error.clone()),
        ("created_after", time(selection.created_after)),
        ("created_before", time(selection.created_before)),
    ];
    let stated = conditions
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", value?)));
    let text = format!("tasks?{}", stated.collect::<Vec<_>>().join("&"));
    let plain = text.chars().filter(|c| !c.is_control());
    plain.take(SUBJECT_CHARS_MAX).collect()
}

async fn change(
    app: &App,
    selection: &Selection,
    dry_run: bool,
    verb: Verb,
) -> Result<BulkResult, Problem> {
    let alive = verb == Verb::Cancel;
    let mut conn = app.conn().await?;
    let matched = bulk::count(&mut conn, selection, alive).await?;
    let ids = if dry_run {
        Vec::new()
    } else {
        bulk::ids(&mut conn, selection, alive, BULK_MAX).await?
    };
    drop(conn);
    let mut changed = 0;
    for (id, owner) in ids {
        changed += i64::from(one(app, verb, owner, id).await?);
    }
    Ok(BulkResult {
        matched,
        changed,
        more: !dry_run && matched > i64::from(BULK_MAX),
    })
}

/// Each in a transaction of its own: a long one would hold up the workers. False when somebody else
/// changed the task meanwhile, or its parent took it along.
async fn one(app: &App, verb: Verb, owner: OwnerId, id: TaskId) -> Result<bool, Problem> {
    let (mut tx, now) = (app.begin().await?, app.db.now());
    let changed = match verb {
        Verb::Cancel => store::cancel(&mut tx, owner, id, now).await,
        Verb::Retry => store::again(&mut tx, owner, id, false, now).await,
    };
    let changed = match changed {
        Ok(changed) => changed,
        Err(Error::Conflict(_) | Error::NotFound(_)) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    if verb == Verb::Retry {
        resume_course(&mut tx, &changed.task, now).await?;
    }
    tx.commit().await?;
    app.bell.tell_all(&changed, now);
    Ok(true)
}

#[derive(ApiResponse)]
enum Listed {
    /// A page of tasks.
    #[oai(status = 200)]
    Ok(Json<PageView<TaskView>>),
}

#[derive(ApiResponse)]
enum Done {
    /// What was done.
    #[oai(status = 200)]
    Ok(
        Json<BulkResult>,
        /// `true` when an earlier request with the same key was answered this.
        #[oai(header = "Idempotent-Replayed")]
        Option<String>,
    ),
}

impl Done {
    fn again(replay: Replay) -> Result<Self, Problem> {
        let Replay::Document(document) = replay else {
            return Err(Problem::internal(
                "the key of a bulk action stands for a task",
            ));
        };
        let result = serde_json::from_value(document)
            .map_err(|error| Problem::internal(format!("a stored report: {error}")))?;
        Ok(Self::Ok(Json::new(result), Some("true".to_owned())))
    }
}

/// Which tasks; one condition at least.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BulkRequest {
    /// Of this kind.
    #[serde(default)]
    kind: Option<String>,
    /// Of this queue.
    #[serde(default)]
    #[schemars(with = "Option<QueueName>")]
    queue: Option<Queue>,
    /// In this state.
    #[serde(default)]
    #[schemars(with = "Option<TaskState>")]
    state: Option<State>,
    /// Of this owner.
    #[serde(default)]
    owner: Option<Uuid>,
    /// Failed with this code.
    #[serde(default)]
    error: Option<String>,
    /// Submitted after this time.
    #[serde(default)]
    created_after: Option<DateTime<Utc>>,
    /// Submitted before this time.
    #[serde(default)]
    created_before: Option<DateTime<Utc>>,
    /// Only count.
    #[serde(default)]
    dry_run: bool,
}

impl BulkRequest {
    fn selection(self) -> Result<Selection, Problem> {
        let selection = Selection {
            kind: self.kind,
            queue: self.queue,
            state: self.state,
            owner: self.owner.map(OwnerId::from),
            error: self.error,
            created_after: self.created_after,
            created_before: self.created_before,
        };
        if selection.is_empty() {
            let reason = "must have one condition at least";
            return Err(Problem::field("", "invalid", reason));
        }
        Ok(selection)
    }
}

/// The name of a queue.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the words of `jobs` to clients")]
enum QueueName {
    /// Work of the language model.
    Generation,
    /// Mail and push messages.
    Email,
    /// Images.
    Media,
    /// Everything else.
    Default,
}

/// What a bulk action did.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct BulkResult {
    /// How many tasks matched before, counted up to 100,000.
    matched: i64,
    /// How many were changed; their children are not counted.
    changed: i64,
    /// Whether more matched than one call changes.
    more: bool,
}
