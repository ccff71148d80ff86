//! What a job is: a payload type with its wire name and its policy.

use std::{future::Future, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use models::{Error, Result, Tx, words};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::retry::Retry;

words! {
    /// Where tasks wait; a worker serves the queues it is told to.
    Queue {
        /// Work of the language model.
        Generation = "generation",
        /// Mail and push messages.
        Email = "email",
        /// Images.
        Media = "media",
        /// Everything else.
        Default = "default",
    }
}

impl Queue {
    /// How many tasks of this queue one ring may carry and one statement may start.
    ///
    /// Slow work is handed out one by one, so that none of it waits behind another in a worker while
    /// a second worker is free.
    pub const fn batch_max(self) -> usize {
        match self {
            Self::Generation | Self::Media => 1,
            Self::Email | Self::Default => 64,
        }
    }

    /// How many rings of this queue are outstanding, unless many come at once.
    ///
    /// They are heard in the order in which they came, so there are few: enough to wake every worker
    /// that has room. A worker without room asks the database who comes next.
    pub(crate) const fn rings_max(self) -> usize {
        match self.batch_max() {
            1 => 4,
            batch => 2 * batch,
        }
    }

    /// How many tasks of this queue a worker starts beyond its places, for owners that it does nothing
    /// for in the queue: they need not wait for their turn. None where a task needs memory or cores.
    pub const fn express_max(self) -> usize {
        match self {
            Self::Default => 32,
            Self::Generation | Self::Email | Self::Media => 0,
        }
    }
}

/// A kind of work. The payload is this type; the worker has its handler.
///
/// Payloads hold ids and small options. They are read by the release before and the one after, so
/// fields are only ever added, each with a default.
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The wire name: it is in rows and in clients, so it stays for ever.
    const KIND: &'static str;
    /// Where its tasks wait.
    const QUEUE: Queue;
    /// How often and how soon it is tried again.
    const RETRY: Retry;
    /// How long one attempt may take.
    const TIMEOUT: Duration;
    /// Whether clients may submit it by `POST /v1/tasks`.
    const OPEN: bool = false;
    /// Tasks of one owner that may run at the same time; as many as there is room for when absent.
    ///
    /// Such tasks are started in the order that the relay decides, never straight after they were
    /// enqueued.
    const PER_OWNER_MAX: Option<u16> = None;
    /// How long an ended task is kept, with its events, attempts, checkpoints and children. Longer
    /// than idempotency keys, which refer to it.
    const KEPT: Duration = Duration::from_hours(30 * 24);

    /// What the task works on, as a reference under `/v1`: `courses/0199...`.
    fn subject(&self) -> Option<String> {
        None
    }

    /// Refuses values that the type allows and the job does not, by JSON pointer into the payload.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Tells the rows that the task was about that it ended without success, in the transaction that
    /// ends it: whoever ended it, a worker, the relay or a client.
    fn given_up(
        self,
        _tx: &mut Tx,
        _now: DateTime<Utc>,
    ) -> impl Future<Output = Result<()>> + Send {
        std::future::ready(Ok(()))
    }
}

type GivingUp<'a> = BoxFuture<'a, Result<()>>;

/// A job as data, for those who know it by its kind only.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// The wire name.
    pub kind: &'static str,
    /// Where its tasks wait.
    pub queue: Queue,
    /// Attempts at most.
    pub attempts_max: u8,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How often and how soon it is tried again.
    pub retry: Retry,
    /// Whether clients may submit it.
    pub open: bool,
    /// Tasks of one owner that may run at the same time, if that is bounded.
    pub per_owner_max: Option<u16>,
    /// How long an ended task is kept.
    pub kept: Duration,
    /// Refuses a payload that is not this job's; pointers start at `/payload`.
    pub check: fn(&Value) -> Result<()>,
    /// What a task with this payload works on.
    pub subject: fn(&Value) -> Option<String>,
    /// Reads the payload and gives up; a payload that cannot be read has nothing to give up.
    pub given_up: for<'a> fn(&'a Value, &'a mut Tx, DateTime<Utc>) -> GivingUp<'a>,
}

impl Definition {
    /// The definition of a job.
    pub const fn of<J: Job>() -> Self {
        Self {
            kind: J::KIND,
            queue: J::QUEUE,
            attempts_max: J::RETRY.attempts,
            timeout: J::TIMEOUT,
            retry: J::RETRY,
            open: J::OPEN,
            per_owner_max: J::PER_OWNER_MAX,
            kept: J::KEPT,
            check: check::<J>,
            subject: subject::<J>,
            given_up: given_up::<J>,
        }
    }
}

fn check<J: Job>(payload: &Value) -> Result<()> {
    let invalid = |reason: String| Error::invalid("/payload", reason);
    let job = J::deserialize(payload).map_err(|error| invalid(format!("is not valid: {error}")))?;
    // Workers ignore fields of a newer release; a client that sends one made a mistake.
    let known = serde_json::to_value(&job).map_err(|error| invalid(error.to_string()))?;
    let (Some(given), Some(known)) = (payload.as_object(), known.as_object()) else {
        return Err(invalid("must be an object".to_owned()));
    };
    if let Some(unknown) = given.keys().find(|key| !known.contains_key(*key)) {
        return Err(Error::invalid(
            format!("/payload/{unknown}"),
            "is not a known field",
        ));
    }
    job.check().map_err(|error| match error {
        Error::Invalid { field, reason } => Error::invalid(format!("/payload{field}"), reason),
        other => other,
    })
}

fn subject<J: Job>(payload: &Value) -> Option<String> {
    J::deserialize(payload).ok()?.subject()
}

fn given_up<'a, J: Job>(payload: &'a Value, tx: &'a mut Tx, now: DateTime<Utc>) -> GivingUp<'a> {
    Box::pin(async move {
        match J::deserialize(payload) {
            Ok(job) => job.given_up(tx, now).await,
            Err(_) => Ok(()),
        }
    })
}
