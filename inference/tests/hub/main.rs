//! Downloads against a hub on loopback, good and bad.

mod server;

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use candle_core::quantized::GgmlDType;
use inference::random::{Shape, write_gguf};
use inference::{Engine, EngineConfig, Error, FetchOptions, Progress, Source, Weights};
use server::{COMMIT, Fault, Hub, REPO, digest};

const FILE: &str = "tiny-Q8_0.gguf";

fn model() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(FILE);
    write_gguf(&path, &Shape::TINY, GgmlDType::Q8_0, 1).expect("a model is written");
    std::fs::read(path).expect("it was just written")
}

struct Setting {
    hub: Hub,
    cache: tempfile::TempDir,
    model: Vec<u8>,
}

impl Setting {
    async fn new() -> Self {
        let model = model();
        let files = [(FILE, model.clone()), ("README.md", b"A model.".to_vec())];
        let cache = tempfile::tempdir().expect("a temporary folder");
        Self {
            hub: Hub::start(&files).await,
            cache,
            model,
        }
    }

    fn options(&self) -> FetchOptions {
        FetchOptions {
            endpoint: Some(self.hub.endpoint.clone()),
            token: Some("secret".into()),
            timeout: Duration::from_secs(5),
            ..FetchOptions::new(self.cache.path())
        }
    }

    async fn fetch(&self) -> Result<Weights, Error> {
        fetch(&self.options()).await
    }
}

async fn fetch(options: &FetchOptions) -> Result<Weights, Error> {
    let source: Source = format!("hf:{REPO}").parse()?;
    Weights::fetch(&source, options, |_| {}).await
}

/// Files of some size below a folder: whatever is left of a download.
fn blobs(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let count = |path: &Path| {
        if path.is_dir() {
            blobs(path)
        } else {
            usize::from(path.metadata().is_ok_and(|file| file.len() > 1000))
        }
    };
    entries.flatten().map(|entry| count(&entry.path())).sum()
}

#[tokio::test]
async fn a_model_is_downloaded_checked_and_can_be_run() {
    let setting = Setting::new().await;
    let seen = Mutex::new(Vec::new());
    let source: Source = format!("hf:{REPO}/{FILE}@main").parse().expect("a source");
    let see = |progress: Progress| seen.lock().expect("no panic").push(progress);

    let weights = Weights::fetch(&source, &setting.options(), see)
        .await
        .expect("a model");

    assert_eq!(weights.sha256(), digest(&setting.model));
    assert_eq!(weights.id(), format!("{REPO}/{FILE}@{}", &COMMIT[..8]));
    let seen = seen.into_inner().expect("no panic");
    let all = setting.model.len() as u64;
    assert!(
        seen.iter()
            .any(|progress| progress.bytes == all && progress.total == Some(all))
    );
    let engine = Engine::start(weights, EngineConfig::default()).expect("it loads");
    assert_eq!(engine.info().quantisation, "q8_0");
}

#[tokio::test]
async fn what_was_downloaded_once_works_without_the_hub() {
    let setting = Setting::new().await;
    let first = setting.fetch().await.expect("a model");
    let asked = setting.hub.requests().len();
    let offline = FetchOptions {
        offline: true,
        ..setting.options()
    };
    let nowhere = Some("http://127.0.0.1:9".to_owned());
    let unplugged = FetchOptions {
        endpoint: nowhere,
        ..setting.options()
    };

    let second = fetch(&offline).await.expect("it is cached");
    let third = fetch(&unplugged).await.expect("it is cached");

    assert_eq!(second.sha256(), first.sha256());
    assert_eq!(third.sha256(), first.sha256());
    assert_eq!(setting.hub.requests().len(), asked);
}

#[tokio::test]
async fn offline_without_a_cache_says_what_to_do() {
    let setting = Setting::new().await;

    let error = fetch(&FetchOptions {
        offline: true,
        ..setting.options()
    })
    .await;

    let Err(Error::Unavailable { advice, .. }) = error else {
        panic!("{error:?}")
    };
    assert!(advice.contains("lyo model pull"), "{advice}");
    assert!(setting.hub.requests().is_empty());
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let setting = Setting::new().await;
    let cases = [
        (Fault::Gated(401), "HF_TOKEN"),
        (Fault::Gated(403), "licence"),
        (Fault::Missing, "check the name"),
        (Fault::HtmlListing, "check the network"),
    ];
    for (fault, wanted) in cases {
        setting.hub.misbehave(fault);

        let error = setting.fetch().await;

        let Err(Error::Unavailable { advice, .. }) = error else {
            panic!("{error:?}")
        };
        assert!(advice.contains(wanted), "{advice}");
    }
}

#[tokio::test]
async fn damaged_downloads_are_deleted_and_a_second_try_succeeds() {
    for fault in [Fault::Corrupt, Fault::Html, Fault::TruncatedChunks] {
        let setting = Setting::new().await;
        setting.hub.misbehave(fault);

        let error = setting.fetch().await;

        let Err(Error::Corrupt { advice, .. }) = error else {
            panic!("{error:?}")
        };
        assert!(advice.contains("deleted"), "{advice}");
        assert_eq!(blobs(setting.cache.path()), 0, "nothing is left of it");
        setting.hub.misbehave(Fault::None);
        assert!(setting.fetch().await.is_ok());
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_no_model_and_can_be_tried_again() {
    let setting = Setting::new().await;
    setting.hub.misbehave(Fault::Truncated);

    let error = setting.fetch().await;

    assert!(matches!(error, Err(Error::Unavailable { .. })), "{error:?}");
    setting.hub.misbehave(Fault::None);
    assert!(setting.fetch().await.is_ok());
}

#[tokio::test]
async fn a_download_that_stands_still_is_given_up() {
    let setting = Setting::new().await;
    setting.hub.misbehave(Fault::Stall);
    let options = FetchOptions {
        timeout: Duration::from_millis(400),
        ..setting.options()
    };

    let error = tokio::time::timeout(Duration::from_secs(20), fetch(&options)).await;

    let error = error.expect("it gives up by itself");
    assert!(matches!(error, Err(Error::Unavailable { .. })), "{error:?}");
}

#[tokio::test]
async fn a_busy_hub_is_asked_again() {
    let setting = Setting::new().await;
    setting.hub.misbehave(Fault::Busy(2));

    let weights = setting.fetch().await;

    assert!(weights.is_ok(), "{weights:?}");
}

#[tokio::test]
async fn a_cached_file_that_was_damaged_later_is_noticed() {
    let setting = Setting::new().await;
    setting.fetch().await.expect("a model");
    damage(setting.cache.path());

    let error = setting.fetch().await;

    assert!(matches!(error, Err(Error::Corrupt { .. })), "{error:?}");
    assert!(setting.fetch().await.is_ok(), "it was downloaded anew");
}

/// Flips a bit in every large file below a folder.
fn damage(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            damage(&path);
        } else if path.metadata().is_ok_and(|file| file.len() > 1000) && !path.is_symlink() {
            let mut bytes = std::fs::read(&path).expect("it can be read");
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            std::fs::write(&path, bytes).expect("it can be written");
        }
    }
}
