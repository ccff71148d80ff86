//! The files of a model, and what is checked before they are loaded.

use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use crate::checkpoint::{Checkpoint, missing};
use crate::error::{Error, Result};
use crate::hub;
use crate::source::{FetchOptions, Progress, Source};
use crate::tokenizer::Tokenizer;
use crate::watch::watched;

/// The model that comes with the program, so that a bare machine can do the work.
static STARTER: &[u8] = include_bytes!("../starter/lyo-starter-q8_0.gguf");
const STARTER_ID: &str = "lyo-starter";
const GGUF_MAGIC: &[u8] = b"GGUF";

/// Files that were found and checked, but not loaded.
#[derive(Debug, Clone)]
pub struct Weights {
    id: String,
    sha256: String,
    files: Files,
}

#[derive(Debug, Clone)]
pub(crate) enum Files {
    Embedded(&'static [u8]),
    Gguf(PathBuf),
    Safetensors {
        config: PathBuf,
        tokenizer: PathBuf,
        shards: Vec<PathBuf>,
    },
}

impl Weights {
    /// Finds the files of a model, downloads what is missing and checks what is there.
    ///
    /// # Errors
    /// [`Error::Unavailable`] and [`Error::Corrupt`], both with advice.
    pub async fn fetch(
        source: &Source,
        options: &FetchOptions,
        progress: impl Fn(Progress) + Send + Sync,
    ) -> Result<Self> {
        match source {
            Source::Starter => Ok(Self::starter()),
            Source::Path(path) => Self::at(path, &progress).await,
            Source::Hub {
                repo,
                file,
                revision,
            } => {
                let place = hub::Place {
                    repo,
                    revision,
                    options,
                };
                hub::fetch(&place, file.as_deref(), progress).await
            }
        }
    }

    /// The starter model; needs no files.
    pub fn starter() -> Self {
        let sha256 = hex(&Sha256::digest(STARTER));
        Self {
            id: STARTER_ID.into(),
            sha256,
            files: Files::Embedded(STARTER),
        }
    }

    async fn at(path: &Path, progress: &(impl Fn(Progress) + Send + Sync)) -> Result<Self> {
        let files = if path.is_dir() {
            in_folder(path)?
        } else {
            Files::Gguf(path.to_owned())
        };
        let id = name_of(path);
        let mut digests = Vec::new();
        for file in files.weights() {
            check_kind(&file)?;
            digests.push(digest(&file, &name_of(&file), progress).await?);
        }
        Ok(Self::new(id, &mut digests, files))
    }

    pub(crate) fn new(id: String, digests: &mut [String], files: Files) -> Self {
        let sha256 = match digests {
            [one] => one.clone(),
            several => {
                several.sort();
                hex(&Sha256::digest(several.concat()))
            }
        };
        Self { id, sha256, files }
    }

    /// The name under which a person knows the model.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// SHA-256 of the weights: of the file, or of the sorted digests of several, joined.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    pub(crate) fn open(&self) -> Result<Checkpoint> {
        match &self.files {
            Files::Embedded(bytes) => Checkpoint::from_gguf_bytes(bytes),
            Files::Gguf(path) => Checkpoint::open_gguf(path),
            Files::Safetensors { config, shards, .. } => {
                Checkpoint::open_safetensors(config, shards)
            }
        }
    }

    pub(crate) fn tokenizer(&self, checkpoint: &Checkpoint) -> Result<Tokenizer> {
        match (&self.files, checkpoint.metadata()) {
            (Files::Safetensors { tokenizer, .. }, _) => Tokenizer::from_file(tokenizer),
            (_, Some(metadata)) => Tokenizer::from_gguf(metadata),
            (_, None) => Err(Error::corrupt("the model has no tokenizer")),
        }
    }
}

impl Files {
    fn weights(&self) -> Vec<PathBuf> {
        match self {
            Self::Embedded(_) => Vec::new(),
            Self::Gguf(path) => vec![path.clone()],
            Self::Safetensors { shards, .. } => shards.clone(),
        }
    }
}

fn in_folder(folder: &Path) -> Result<Files> {
    let entries = std::fs::read_dir(folder).map_err(|error| missing(folder, &error))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let with = |kind: &str| {
        let of_kind = |path: &&PathBuf| path.extension().is_some_and(|found| found == kind);
        paths.iter().filter(of_kind).cloned().collect::<Vec<_>>()
    };
    match (with("gguf").as_slice(), with("safetensors")) {
        ([one], _) => Ok(Files::Gguf(one.clone())),
        ([], shards) if !shards.is_empty() => {
            let (config, tokenizer) = (folder.join("config.json"), folder.join("tokenizer.json"));
            Ok(Files::Safetensors {
                config,
                tokenizer,
                shards,
            })
        }
        ([], _) => Err(Error::unavailable(
            format!("{} holds neither a GGUF nor safetensors", folder.display()),
            "name the folder that holds the model",
        )),
        _ => Err(Error::unavailable(
            format!("{} holds several GGUF files", folder.display()),
            "name the file to use",
        )),
    }
}

/// Tells a model from the web page or the pointer that is sometimes saved in its place.
pub(crate) fn check_kind(path: &Path) -> Result<()> {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(64).read_to_end(&mut start));
    read.map_err(|error| missing(path, &error))?;
    let kind = match start.as_slice() {
        start if start.starts_with(b"version https://git-lfs") => "a Git LFS pointer",
        start if start.trim_ascii_start().starts_with(b"<") => "a web page",
        start if has_extension(path, "gguf") && !start.starts_with(GGUF_MAGIC) => "not a GGUF",
        _ => return Ok(()),
    };
    Err(Error::corrupt(format!("{} is {kind}", path.display())))
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into())
}

/// SHA-256 of a file in hexadecimal; `name` is what its progress is reported under.
pub(crate) async fn digest(
    path: &Path,
    name: &str,
    progress: &(impl Fn(Progress) + Send + Sync),
) -> Result<String> {
    let total = std::fs::metadata(path)
        .map_err(|error| missing(path, &error))?
        .len();
    let bytes = Arc::new(AtomicU64::new(0));
    let (file, count) = (path.to_owned(), bytes.clone());
    let work = tokio::task::spawn_blocking(move || hash(&file, &count));
    let report = |bytes| {
        progress(Progress {
            file: name.to_owned(),
            bytes,
            total: Some(total),
        });
    };
    match watched(work, &bytes, None, report).await {
        Some(Ok(digest)) => digest.map_err(|error| missing(path, &error)),
        _ => Err(Error::Engine(format!(
            "{name} could not be read to its end"
        ))),
    }
}

fn hash(path: &Path, count: &AtomicU64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&buffer[..length]);
        count.fetch_add(length as u64, Ordering::Relaxed);
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_saved_web_page_is_not_taken_for_a_model() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("model.gguf");
        std::fs::write(&path, "<!doctype html><title>Sign in</title>").expect("it can be written");

        let refused = Weights::at(&path, &|_| {})
            .await
            .expect_err("it is no model")
            .to_string();

        assert!(refused.contains("is a web page"), "{refused}");
    }
}
