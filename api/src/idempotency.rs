//! `Idempotency-Key`: a repeated request is answered with what the first one made.

use chrono::{DateTime, Utc};
use models::{
    Tx,
    id::TaskId,
    idempotency::{self, Claim, Key},
};
use serde_json::Value;

use crate::{caller::Caller, codes, limits::IDEMPOTENCY_KEY_LENGTH_MAX, problem::Problem};

/// What an earlier request with the same key was answered.
#[derive(Debug)]
pub(crate) enum Replay {
    /// The task it made.
    Task(TaskId),
    /// The document it answered.
    Document(Value),
}

/// The refusal of a key that was used for another request.
pub(crate) fn mismatch() -> Problem {
    let code = &codes::IDEMPOTENCY_MISMATCH;
    Problem::new(code, code.meaning)
}

/// One attempt of a request that may be repeated; without a key, every attempt is a new request.
#[derive(Debug)]
pub(crate) struct Attempt<'r> {
    caller: Caller,
    route: &'r str,
    key: Option<&'r str>,
    fingerprint: &'r str,
}

impl<'r> Attempt<'r> {
    /// An attempt at `route`, with the key as the client sent it and the digest of the request.
    pub(crate) fn new(
        caller: Caller,
        route: &'r str,
        key: Option<&'r str>,
        fingerprint: &'r str,
    ) -> Result<Self, Problem> {
        let sane = |key: &str| {
            (1..=IDEMPOTENCY_KEY_LENGTH_MAX).contains(&key.len())
                && key.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        };
        if key.is_some_and(|key| !sane(key)) {
            let code = &codes::MALFORMED_IDEMPOTENCY_KEY;
            return Err(Problem::new(code, code.meaning));
        }
        Ok(Self {
            caller,
            route,
            key,
            fingerprint,
        })
    }

    /// Claims the key in the transaction that does the work, or finds what it was answered before.
    pub(crate) async fn claim(
        &self,
        tx: &mut Tx,
        now: DateTime<Utc>,
    ) -> Result<Option<Replay>, Problem> {
        let Some(key) = self.key() else {
            return Ok(None);
        };
        match idempotency::claim(tx, key, self.fingerprint, now).await? {
            Claim::New => Ok(None),
            Claim::Replay {
                task_id: Some(task),
                ..
            } => Ok(Some(Replay::Task(task))),
            Claim::Replay {
                response: Some(response),
                ..
            } => Ok(Some(Replay::Document(response))),
            Claim::Replay { .. } => Err(Problem::internal("an idempotency key without an answer")),
            Claim::Mismatch => Err(mismatch()),
        }
    }

    /// Remembers the answer, in the same transaction.
    pub(crate) async fn answer(&self, tx: &mut Tx, answer: &Replay) -> Result<(), Problem> {
        let Some(key) = self.key() else { return Ok(()) };
        let (task, document) = match answer {
            Replay::Task(task) => (Some(*task), None),
            Replay::Document(document) => (None, Some(document)),
        };
        Ok(idempotency::answer(tx, key, task, document).await?)
    }

    fn key(&self) -> Option<Key<'_>> {
        let key = self.key?;
        Some(Key {
            owner: self.caller.owner,
            route: self.route,
            key,
        })
    }
}
