//! Many tasks in one request and one transaction.

use chrono::{DateTime, Utc};
use jobs::store::{self, New};
use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi, param::Header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{submission::Submission, view::path};
use crate::{
    app::App,
    body::{Body, Object},
    caller::{Caller, May, Permission},
    idempotency::{Attempt, Replay},
    json::Json,
    limits::{BATCH_BYTES_MAX, BATCH_ITEMS_MAX},
    problem::{Problem, ProblemBody},
    request::RequestContext,
    routes::Tag,
};

/// The operations on many tasks at once.
pub(crate) struct Batches;

#[OpenApi(tag = "Tag::Tasks")]
impl Batches {
    /// Submits up to 1,000 tasks in one transaction.
    ///
    /// Each item has its own outcome, in the order of the items: an item that is refused does not
    /// keep the others from being stored.
    #[oai(
        path = "/v1/tasks/batch",
        method = "post",
        operation_id = "submit_tasks"
    )]
    async fn submit_tasks(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::SubmitTasks as u8 }>,
        context: RequestContext,
        /// Repeating a request with its key does nothing twice.
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<String>>,
        body: Body<Batch, BATCH_BYTES_MAX>,
    ) -> Result<Stored, Problem> {
        let Body {
            value: batch,
            fingerprint,
        } = body;
        batch.check()?;
        let attempt = Attempt::new(caller, "submit_tasks", key.as_deref(), &fingerprint)?;
        let (mut tx, now) = (app.begin().await?, app.db.now());
        if let Some(replay) = attempt.claim(&mut tx, now).await? {
            return Stored::again(replay);
        }
        let (accepted, mut outcomes) = batch.sort(caller, &context, now);
        let tasks = store::enqueue_many(&mut tx, accepted, now).await?;
        let mut stored = tasks.iter().map(|task| Outcome::accepted(task.id.into()));
        let outcomes = outcomes
            .drain(..)
            .filter_map(|refused| refused.or_else(|| stored.next()));
        let report = Report {
            outcomes: outcomes.collect(),
        };
        attempt.answer(&mut tx, &report.to_replay()?).await?;
        tx.commit().await?;
        for task in &tasks {
            app.bell.tell(task, now);
        }
        Ok(Stored::Ok(Json::new(report), None))
    }
}

#[derive(ApiResponse)]
enum Stored {
    /// What became of each item.
    #[oai(status = 200)]
    Ok(
        Json<Report>,
        /// `true` when an earlier request with the same key was answered this.
        #[oai(header = "Idempotent-Replayed")]
        Option<String>,
    ),
}

impl Stored {
    fn again(replay: Replay) -> Result<Self, Problem> {
        let Replay::Document(document) = replay else {
            return Err(Problem::internal(
                "the key of a batch was answered with a task",
            ));
        };
        let report = serde_json::from_value(document)
            .map_err(|error| Problem::internal(format!("a stored report: {error}")))?;
        Ok(Self::Ok(Json::new(report), Some("true".to_owned())))
    }
}

/// Tasks to submit together.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = example())]
struct Batch {
    /// The tasks, at most 1,000.
    #[schemars(with = "Vec<Submission>", length(min = 1, max = BATCH_ITEMS_MAX))]
    items: Vec<Object<Submission>>,
}

fn example() -> serde_json::Value {
    serde_json::json!({"items": [{"kind": "noop", "payload": {"n": 1}}]})
}

impl Batch {
    fn check(&self) -> Result<(), Problem> {
        if (1..=BATCH_ITEMS_MAX).contains(&self.items.len()) {
            return Ok(());
        }
        Err(Problem::field(
            "/items",
            "invalid",
            format!("must have 1 to {BATCH_ITEMS_MAX} items"),
        ))
    }

    /// What can be stored, and for each item its refusal, if it is refused.
    fn sort(
        self,
        caller: Caller,
        context: &RequestContext,
        now: DateTime<Utc>,
    ) -> (Vec<New>, Vec<Option<Outcome>>) {
        let mut accepted = Vec::with_capacity(self.items.len());
        let refusals =
            self.items
                .into_iter()
                .map(|Object(item)| match item.into_new(caller, context, now) {
                    Ok(new) => {
                        accepted.push(new);
                        None
                    }
                    Err(problem) => Some(Outcome::refused(problem)),
                });
        let refusals = refusals.collect();
        (accepted, refusals)
    }
}

/// What became of the items of a batch, in their order.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "BatchReport")]
struct Report {
    /// One outcome for each item.
    outcomes: Vec<Outcome>,
}

impl Report {
    fn to_replay(&self) -> Result<Replay, Problem> {
        let document = serde_json::to_value(self);
        document
            .map(Replay::Document)
            .map_err(|error| Problem::internal(error.to_string()))
    }
}

/// What became of one item of a batch.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "BatchOutcome")]
struct Outcome {
    /// The status that the item would have had as a request of its own: 202 when it is stored.
    status: u16,
    /// The id of the task.
    task_id: Option<Uuid>,
    /// Where the task is found.
    location: Option<String>,
    /// Why the item was refused; pointers start at the item.
    problem: Option<ProblemBody>,
}

impl Outcome {
    fn accepted(id: Uuid) -> Self {
        Self {
            status: 202,
            task_id: Some(id),
            location: Some(path(id.into())),
            problem: None,
        }
    }

    fn refused(problem: Problem) -> Self {
        let status = problem.code.status;
        Self {
            status,
            task_id: None,
            location: None,
            problem: Some(problem.into_body()),
        }
    }
}
