//! Does nothing, for diagnosis and measurement.

use std::time::Duration;

use jobs::kinds::Noop;
use serde_json::json;
use tokio::time::sleep;

use super::Handle;
use crate::{
    ctx::Ctx,
    error::{JobError, Outcome},
    run::Run,
};

impl Handle for Noop {
    async fn run(self, _ctx: &Ctx, _run: &Run) -> Result<Outcome, JobError> {
        sleep(Duration::from_millis(self.sleep_ms)).await;
        match self.fail {
            Some(true) => Err(JobError::fail("asked_to_fail", "the payload asked for it")),
            Some(false) => Err(JobError::retry(
                "asked_to_retry",
                "the payload asked for it",
            )),
            None => Ok(Outcome::Done(Some(json!({"n": self.n})))),
        }
    }
}
