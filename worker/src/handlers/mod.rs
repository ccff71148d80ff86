//! What is done for each kind of job: one file each, and one line in [`ALL`].

mod generate_course;
mod noop;
mod poison;
mod send_email;
mod thumbnail_image;
mod write_lesson;

use std::future::Future;

use futures_util::future::BoxFuture;
use jobs::{
    Job,
    kinds::{GenerateCourse, Noop, Poison, SendEmail, ThumbnailImage, WriteLesson},
};

use crate::{
    ctx::Ctx,
    error::{JobError, Outcome},
    run::Run,
};

/// Every handler. A test compares the list with `jobs::kinds::ALL` and with the files here.
pub(crate) const ALL: &[Handler] = &[
    Handler::of::<GenerateCourse>(),
    Handler::of::<WriteLesson>(),
    Handler::of::<SendEmail>(),
    Handler::of::<ThumbnailImage>(),
    Handler::of::<Noop>(),
    Handler::of::<Poison>(),
];

/// Does the work of a job.
///
/// It may be interrupted at any `await` and started again elsewhere, so it must find what was done
/// before: by checkpoints, or by looking at the rows.
pub trait Handle: Job {
    /// One attempt. `?` means: try again later.
    fn run(self, ctx: &Ctx, run: &Run) -> impl Future<Output = Result<Outcome, JobError>> + Send;
}

type Running<'a> = BoxFuture<'a, Result<Outcome, JobError>>;

/// A handler as data, for the runner, which knows a kind only by its name.
pub(crate) struct Handler {
    pub(crate) kind: &'static str,
    /// Reads the payload of the run's task and does the work.
    pub(crate) run: for<'a> fn(&'a Run) -> Running<'a>,
}

impl Handler {
    const fn of<J: Handle>() -> Self {
        Self {
            kind: J::KIND,
            run: run::<J>,
        }
    }
}

/// The handler of a kind, if this release has one.
pub(crate) fn find(kind: &str) -> Option<&'static Handler> {
    ALL.iter().find(|handler| handler.kind == kind)
}

fn run<J: Handle>(run: &Run) -> Running<'_> {
    Box::pin(async move {
        let job = J::deserialize(&run.task().payload)
            .map_err(|error| JobError::fail("payload_invalid", error.to_string()))?;
        job.run(run.ctx(), run).await
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, io};

    use super::*;

    #[test]
    fn every_kind_has_a_handler() {
        let kinds: BTreeSet<&str> = jobs::kinds::ALL.iter().map(|job| job.kind).collect();
        let handled: BTreeSet<&str> = ALL.iter().map(|handler| handler.kind).collect();
        assert_eq!(kinds, handled);
    }

    #[test]
    fn handlers_and_kinds_have_the_same_files() -> io::Result<()> {
        let files = |folder: &str| -> io::Result<BTreeSet<String>> {
            let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
            Ok(entries
                .iter()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect())
        };
        assert_eq!(files("src/handlers")?, files("../jobs/src/kinds")?);
        Ok(())
    }
}
