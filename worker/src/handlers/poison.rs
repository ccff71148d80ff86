//! Kills the process, as a defect in a library would.

use std::process::abort;

use jobs::kinds::Poison;
use tracing::error;

use super::Handle;
use crate::{
    ctx::Ctx,
    error::{JobError, Outcome},
    run::Run,
};

impl Handle for Poison {
    async fn run(self, _ctx: &Ctx, _run: &Run) -> Result<Outcome, JobError> {
        error!("This task was made to abort the process that works on it");
        abort()
    }
}
