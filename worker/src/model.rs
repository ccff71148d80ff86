//! What the pipeline needs of a language model.

use std::{fmt, ops::Deref, sync::Arc};

use futures_util::future::BoxFuture;
use inference::{Engine, Error, Generation, ModelInfo, Request};

/// Something that answers prompts: the engine, or a script in tests of the pipeline.
pub trait Model: Send + Sync {
    /// What it is, for the provenance of what it writes.
    fn info(&self) -> &ModelInfo;
    /// Answers one request; dropping the future cancels it.
    fn generate(&self, request: Request) -> BoxFuture<'_, Result<Generation, Error>>;
}

impl Model for Engine {
    fn info(&self) -> &ModelInfo {
        self.info()
    }

    fn generate(&self, request: Request) -> BoxFuture<'_, Result<Generation, Error>> {
        Box::pin(self.generate(request))
    }
}

/// A model that is ready, and whether it is the one that was asked for.
#[derive(Clone)]
pub struct Loaded {
    pub(crate) model: Arc<dyn Model>,
    /// Why the starter stands in for the model that was asked for.
    pub fallback: Option<String>,
    /// Whether somebody waits for what is asked through this handle.
    pub(crate) urgent: bool,
}

impl Deref for Loaded {
    type Target = dyn Model;

    fn deref(&self) -> &Self::Target {
        self.model.as_ref()
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Loaded({})", self.info().id)
    }
}
