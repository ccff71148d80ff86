//! Downloads from the Hugging Face Hub, trusting nothing that was not checked.
//!
//! hf-hub keeps whatever it was sent, also a page that asks to sign in. So the hub is first asked
//! what the files are, and a file that differs is deleted. What was fetched once works offline.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hf_hub::HFClient;
use hf_hub::progress::{DownloadEvent, ProgressEvent, ProgressHandler};

use crate::error::{Error, Result};
use crate::hub_api::{describe, failed, revision_info, unreachable};
use crate::manifest::{Expected, Manifest};
use crate::source::{FetchOptions, Progress};
use crate::watch::watched;
use crate::weights::{Files, Weights, check_kind, digest};

/// A repository at a revision, and how to get at it.
pub(crate) struct Place<'a> {
    pub(crate) repo: &'a str,
    pub(crate) revision: &'a str,
    pub(crate) options: &'a FetchOptions,
}

/// Fetches a model: what is cached and intact is used, the rest is downloaded.
pub(crate) async fn fetch(
    place: &Place<'_>,
    file: Option<&str>,
    progress: impl Fn(Progress) + Send + Sync,
) -> Result<Weights> {
    let Place {
        repo,
        revision,
        options,
    } = place;
    let mut manifest = manifest(place).await?;
    let chosen = manifest.choose(file).map_err(|reason| {
        Error::unavailable(
            format!("{repo} {reason}"),
            "look at its files on the hub and name one: hf:owner/name/file.gguf",
        )
    })?;
    let client = client(options)?;
    let mut fetched = Vec::new();
    for name in &chosen {
        let path = download(&client, place, &manifest, name, &progress).await?;
        let expected = manifest.files.get_mut(name);
        let expected =
            expected.ok_or_else(|| Error::Engine("a chosen file is not listed".into()))?;
        let sha256 = verify(&path, expected, options, name, &progress).await?;
        expected.sha256 = Some(sha256.clone());
        fetched.push((path, sha256));
    }
    manifest.save(&options.cache, repo, revision)?;
    let commit = manifest.commit.get(..8).unwrap_or_default();
    let id = match chosen.as_slice() {
        [one] => format!("{repo}/{one}@{commit}"),
        _ => format!("{repo}@{commit}"),
    };
    Ok(assemble(id, fetched))
}

fn assemble(id: String, mut fetched: Vec<(PathBuf, String)>) -> Weights {
    let mut take = |wanted: &str| {
        let found = fetched.iter().position(|(path, _)| path.ends_with(wanted));
        found.map(|index| fetched.remove(index).0)
    };
    let described = take("config.json").zip(take("tokenizer.json"));
    let (paths, mut digests): (Vec<_>, Vec<_>) = fetched.into_iter().unzip();
    let files = match (described, paths.as_slice()) {
        (None, [path]) => Files::Gguf(path.clone()),
        (described, _) => {
            let (config, tokenizer) = described.unwrap_or_default();
            Files::Safetensors {
                config,
                tokenizer,
                shards: paths,
            }
        }
    };
    Weights::new(id, &mut digests, files)
}

/// What the repository holds now; if the hub cannot be reached, what it held when it last could.
async fn manifest(place: &Place<'_>) -> Result<Manifest> {
    let Place {
        repo,
        revision,
        options,
    } = place;
    let noted = Manifest::load(&options.cache, repo, revision);
    if options.offline {
        return noted.ok_or_else(|| {
            Error::unavailable(
                format!(
                    "{repo}@{revision} was not downloaded before and the hub is not to be used"
                ),
                "go online once with `lyo model pull`, or choose LYO_MODEL=starter",
            )
        });
    }
    match (revision_info(place).await, noted) {
        (Ok(manifest), noted) => Ok(manifest.with_digests_of(noted)),
        (Err(failure), Some(noted)) if failure.is_passing => {
            tracing::warn!(error = %failure.error, "Using {repo} as it was downloaded before");
            Ok(noted)
        }
        (Err(failure), _) => Err(failure.error),
    }
}

fn client(options: &FetchOptions) -> Result<HFClient> {
    let http = reqwest::Client::builder()
        .connect_timeout(options.timeout)
        .read_timeout(options.timeout)
        .build()
        .map_err(|error| Error::Engine(error.to_string()))?;
    let mut builder = HFClient::builder()
        .client(http)
        .cache_dir(&options.cache)
        .retry_max_attempts(3)
        .retry_base_delay(Duration::from_millis(100));
    if let Some(endpoint) = &options.endpoint {
        builder = builder.endpoint(endpoint);
    }
    if let Some(token) = &options.token {
        builder = builder.token(token);
    }
    builder
        .build()
        .map_err(|error| Error::Engine(describe(&error)))
}

async fn download(
    client: &HFClient,
    place: &Place<'_>,
    manifest: &Manifest,
    name: &str,
    progress: &(impl Fn(Progress) + Send + Sync),
) -> Result<PathBuf> {
    let Place { repo, options, .. } = place;
    let (owner, model) = repo.split_once('/').unwrap_or(("", repo));
    let bytes = Arc::new(AtomicU64::new(0));
    let repository = client.model(owner, model);
    let work = repository
        .download_file()
        .filename(name)
        .revision(manifest.commit.as_str())
        .local_files_only(options.offline)
        .progress(Counter(bytes.clone()))
        .send();
    let total = manifest.files.get(name).map(|expected| expected.bytes);
    let report = |bytes| {
        progress(Progress {
            file: name.to_owned(),
            bytes,
            total,
        });
    };
    match watched(work, &bytes, Some(options.timeout), report).await {
        Some(Ok(path)) => Ok(path),
        Some(Err(error)) => Err(failed(place, &error)),
        None => Err(unreachable(place, &format!("{name} stopped arriving"))),
    }
}

struct Counter(Arc<AtomicU64>);

impl ProgressHandler for Counter {
    fn on_progress(&self, event: &ProgressEvent) {
        let bytes = match event {
            ProgressEvent::Download(DownloadEvent::Progress { files }) => {
                files.iter().map(|file| file.bytes_completed).sum()
            }
            ProgressEvent::Download(DownloadEvent::AggregateProgress {
                bytes_completed, ..
            }) => *bytes_completed,
            _ => return,
        };
        self.0.store(bytes, Ordering::Relaxed);
    }
}

/// Compares a file with what it should be, deletes it if it differs, and returns its digest.
async fn verify(
    path: &Path,
    expected: &Expected,
    options: &FetchOptions,
    name: &str,
    progress: &(impl Fn(Progress) + Send + Sync),
) -> Result<String> {
    let checked = check(path, expected, name, progress).await;
    let Err(Error::Corrupt { reason, .. }) = checked else {
        return checked;
    };
    // The name is a link to the bytes; both have to go, or hf-hub would find them again.
    let blob = std::fs::canonicalize(path).ok();
    for path in blob.iter().map(PathBuf::as_path).chain([path]) {
        let _ = std::fs::remove_file(path);
    }
    let advice = if options.offline {
        "it was deleted; go online to download it again"
    } else {
        "it was deleted; try again to download it anew"
    };
    Err(Error::Corrupt {
        reason,
        advice: advice.into(),
    })
}

async fn check(
    path: &Path,
    expected: &Expected,
    name: &str,
    progress: &(impl Fn(Progress) + Send + Sync),
) -> Result<String> {
    check_kind(path)?;
    let found = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if found != expected.bytes {
        let reason = format!("{name} has {found} bytes instead of {}", expected.bytes);
        return Err(Error::corrupt(reason));
    }
    let sha256 = digest(path, name, progress).await?;
    match &expected.sha256 {
        Some(wanted) if *wanted != sha256 => Err(Error::corrupt(format!(
            "{name} has another SHA-256 than the hub says"
        ))),
        _ => Ok(sha256),
    }
}
