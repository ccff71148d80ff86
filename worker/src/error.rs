//! How an attempt ends: outcomes and errors, as values that the runner writes into the row.

use std::time::Duration;

use models::file_variants::VARIANTS_MAX;
use serde_json::Value;

/// How an attempt ended well.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The work is done; the document goes into the task's result.
    Done(Option<Value>),
    /// The children of the task work now; the end of the last one starts the task again.
    Wait(jobs::Wait),
}

/// Why an attempt did not end well. In a handler, `?` makes most errors [`JobError::Retry`].
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Trying again later may help.
    #[error("{code}: {detail}")]
    Retry {
        /// A stable code for clients, snake case.
        code: &'static str,
        /// What happened, for a person to read.
        detail: String,
    },
    /// Trying again cannot help.
    #[error("{code}: {detail}")]
    Fail {
        /// A stable code for clients, snake case.
        code: &'static str,
        /// What happened, for a person to read.
        detail: String,
    },
    /// Not now; try again after this long, without spending an attempt.
    #[error("to be tried again in {0:?}")]
    Snooze(Duration),
    /// The attempt was told to stop, and did.
    #[error("cancelled")]
    Cancelled,
    /// Somebody else owns the task by now: nothing may be written.
    #[error("the lease was lost")]
    Lost,
}

/// How long a request that found the model's queue full stays away.
const OVERLOAD_PAUSE: Duration = Duration::from_secs(2);

impl JobError {
    /// Trying again cannot help: `code` is for clients, `detail` for people.
    pub fn fail(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Fail {
            code,
            detail: detail.into(),
        }
    }

    /// Trying again may help: `code` is for clients, `detail` for people.
    pub fn retry(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Retry {
            code,
            detail: detail.into(),
        }
    }

    /// Not now, and without spending an attempt.
    pub fn snooze(duration: Duration) -> Self {
        Self::Snooze(duration)
    }
}

impl From<models::Error> for JobError {
    fn from(error: models::Error) -> Self {
        match error {
            models::Error::Lost => Self::Lost,
            models::Error::NotFound(what) => Self::fail("not_found", format!("the {what} is gone")),
            models::Error::Conflict(code @ "too_many_variants") => {
                Self::fail(code, format!("a file has {VARIANTS_MAX} variants at most"))
            }
            models::Error::Conflict(code @ "bytes_being_deleted") => {
                Self::retry(code, "the same bytes are being deleted")
            }
            other if other.is_unavailable() => {
                Self::retry("database_unavailable", other.to_string())
            }
            other => Self::retry("internal", other.to_string()),
        }
    }
}

impl From<inference::Error> for JobError {
    fn from(error: inference::Error) -> Self {
        use inference::Error;
        match error {
            Error::Unavailable { .. } | Error::Corrupt { .. } => {
                Self::retry("model_unavailable", error.to_string())
            }
            Error::TooLong { .. } => Self::fail("prompt_too_long", error.to_string()),
            Error::Schema(_) => Self::fail("schema_refused", error.to_string()),
            Error::Cancelled => Self::Cancelled,
            Error::Overloaded => Self::Snooze(OVERLOAD_PAUSE),
            Error::Engine(_) => Self::retry("engine", error.to_string()),
        }
    }
}

impl From<anyhow::Error> for JobError {
    fn from(error: anyhow::Error) -> Self {
        Self::retry("internal", format!("{error:#}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_mark_means_try_again_unless_that_cannot_help() {
        let retried: JobError = anyhow::anyhow!("no").context("while reading").into();
        assert!(matches!(retried, JobError::Retry { detail, .. } if detail == "while reading: no"));
        assert!(matches!(models::Error::Lost.into(), JobError::Lost));
        let gone: JobError = models::Error::NotFound("course").into();
        assert!(matches!(
            gone,
            JobError::Fail {
                code: "not_found",
                ..
            }
        ));
    }

    #[test]
    fn bytes_on_their_way_out_are_waited_for_and_a_full_file_is_not() {
        let waits: JobError = models::Error::Conflict("bytes_being_deleted").into();
        let ends: JobError = models::Error::Conflict("too_many_variants").into();

        assert!(matches!(
            waits,
            JobError::Retry {
                code: "bytes_being_deleted",
                ..
            }
        ));
        assert!(matches!(
            ends,
            JobError::Fail {
                code: "too_many_variants",
                ..
            }
        ));
    }

    #[test]
    fn a_model_that_cannot_be_had_says_what_to_do() {
        let error = inference::Error::Unavailable {
            reason: "401 from the hub".to_owned(),
            advice: "set HF_TOKEN".to_owned(),
        };
        let JobError::Retry { code, detail } = error.into() else {
            panic!("it is retried");
        };
        assert_eq!(code, "model_unavailable");
        assert!(detail.contains("set HF_TOKEN"));
    }
}
