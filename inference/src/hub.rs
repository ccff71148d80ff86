//! Downloads from the Hugging Face Hub.

use crate::error::{Error, Result};
use crate::weights::{FetchOptions, Progress, Weights};

pub(crate) async fn fetch(
    repo: &str,
    _file: Option<&str>,
    _revision: &str,
    _options: &FetchOptions,
    _progress: impl Fn(Progress) + Send + Sync + 'static,
) -> Result<Weights> {
    Err(Error::unavailable(
        format!("{repo} cannot be downloaded yet"),
        "use LYO_MODEL=path:FILE",
    ))
}
