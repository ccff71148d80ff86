//! What the hub says about a revision, and what its refusals mean.

use std::time::Duration;

use hf_hub::HFError;
use serde_json::Value;

use crate::error::Error;
use crate::hub::Place;
use crate::manifest::Manifest;

const ENDPOINT: &str = "https://huggingface.co";
const ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Why the hub gave no answer, and whether it may give one later.
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) is_passing: bool,
}

/// Asks for the commit and the files of a revision, with their sizes and digests.
///
/// hf-hub cannot ask for digests, so this one request is ours.
pub(crate) async fn revision_info(place: &Place<'_>) -> Result<Manifest, Failure> {
    let mut pause = FIRST_PAUSE;
    let mut attempt = 1;
    loop {
        let answer = ask(place).await;
        match answer {
            Err(failure) if failure.is_passing && attempt < ATTEMPTS => {
                tokio::time::sleep(pause).await;
                pause *= 2;
                attempt += 1;
            }
            answer => return answer,
        }
    }
}

async fn ask(place: &Place<'_>) -> Result<Manifest, Failure> {
    let options = place.options;
    let endpoint = options
        .endpoint
        .as_deref()
        .unwrap_or(ENDPOINT)
        .trim_end_matches('/');
    let revision = place.revision.replace('/', "%2F");
    let url = format!(
        "{endpoint}/api/models/{}/revision/{revision}?blobs=true",
        place.repo
    );
    let passing = |error: reqwest::Error| Failure {
        error: unreachable(place, &error.without_url().to_string()),
        is_passing: true,
    };
    let client = reqwest::Client::builder()
        .timeout(options.timeout)
        .build()
        .map_err(passing)?;
    let mut request = client.get(url);
    if let Some(token) = &options.token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await.map_err(passing)?;
    let status = answer.status().as_u16();
    if !answer.status().is_success() {
        let is_passing = status >= 500 || matches!(status, 408 | 429);
        return Err(Failure {
            error: refused(place, status),
            is_passing,
        });
    }
    let body = answer.bytes().await.map_err(passing)?;
    let manifest = serde_json::from_slice::<Value>(&body).ok();
    manifest
        .as_ref()
        .and_then(Manifest::from_hub)
        .ok_or_else(|| Failure {
            error: unreachable(place, "the answer is not one of the hub"),
            is_passing: false,
        })
}

/// The hub, or what stands between, gives no useful answer.
pub(crate) fn unreachable(place: &Place<'_>, reason: &str) -> Error {
    Error::unavailable(
        format!("{} cannot be fetched: {reason}", place.repo),
        "check the network, HF_ENDPOINT and proxies, or choose LYO_MODEL=starter",
    )
}

fn refused(place: &Place<'_>, status: u16) -> Error {
    let Place { repo, revision, .. } = place;
    match status {
        401 | 403 => Error::unavailable(
            format!("the hub refuses {repo} ({status})"),
            format!(
                "accept the licence at {ENDPOINT}/{repo} and set HF_TOKEN to a token that may \
                 read it; the name may also be wrong"
            ),
        ),
        404 => Error::unavailable(
            format!("the hub has no {repo} at {revision}, or not this file"),
            "check the name and the revision: hf:owner/name[/file][@revision]",
        ),
        429 => Error::unavailable(
            format!("the hub answers no more requests for {repo} for now"),
            "wait some minutes, or set HF_TOKEN",
        ),
        status => unreachable(place, &format!("the hub answered {status}")),
    }
}

/// What an error of hf-hub means to whoever asked for a model.
pub(crate) fn failed(place: &Place<'_>, error: &HFError) -> Error {
    match error {
        HFError::AuthRequired { .. } => refused(place, 401),
        HFError::Forbidden { .. } => refused(place, 403),
        HFError::RepoNotFound { .. }
        | HFError::RevisionNotFound { .. }
        | HFError::EntryNotFound { .. } => refused(place, 404),
        HFError::RateLimited { .. } => refused(place, 429),
        HFError::LocalEntryNotFound { path } => Error::unavailable(
            format!("{path} of {} is not in the cache", place.repo),
            "go online once with `lyo model pull`",
        ),
        HFError::Io(error) => crate::manifest::unwritable(&place.options.cache, error),
        other => unreachable(place, &describe(other)),
    }
}

/// The error with its causes, which say more than itself.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
