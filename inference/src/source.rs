//! Where weights come from, in a person's words.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::error::{Error, Result};

const ADVICE_SOURCE: &str =
    "set LYO_MODEL to starter, path:FILE_OR_FOLDER or hf:owner/name[/file][@revision]";

/// Where to take a model from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The one compiled into the program.
    Starter,
    /// A GGUF file, or a folder with one or with safetensors.
    Path(PathBuf),
    /// A repository of the Hugging Face Hub.
    Hub {
        /// `owner/name`.
        repo: String,
        /// The file to use; if not given, the best that the repository has.
        file: Option<String>,
        /// A branch, a tag or a commit.
        revision: String,
    },
}

/// How to reach the hub, and where to keep what comes from it.
#[derive(Clone)]
pub struct FetchOptions {
    /// The folder for downloads.
    pub cache: PathBuf,
    /// For gated and private repositories.
    pub token: Option<String>,
    /// Another server than `https://huggingface.co`.
    pub endpoint: Option<String>,
    /// Use what is in the cache and nothing else.
    pub offline: bool,
    /// A download that receives nothing for so long has failed.
    pub timeout: Duration,
}

impl FetchOptions {
    /// Downloads into `cache`, from the public hub without a token.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            cache: cache.into(),
            token: None,
            endpoint: None,
            offline: false,
            timeout: Duration::from_secs(30),
        }
    }
}

impl std::fmt::Debug for FetchOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token stays out of logs.
        let Self {
            cache,
            token,
            endpoint,
            offline,
            timeout,
        } = self;
        f.debug_struct("FetchOptions")
            .field("cache", cache)
            .field("token", &token.as_ref().map(|_| "set"))
            .field("endpoint", endpoint)
            .field("offline", offline)
            .field("timeout", timeout)
            .finish()
    }
}

/// How far the work on one file has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The name of the file in its folder or repository.
    pub file: String,
    /// Bytes that are there.
    pub bytes: u64,
    /// Bytes in all, if known.
    pub total: Option<u64>,
}

impl FromStr for Source {
    type Err = Error;

    /// Reads `starter`, `path:FILE_OR_FOLDER` or `hf:owner/name[/file][@revision]`.
    fn from_str(text: &str) -> Result<Self> {
        let unknown = || Error::unavailable(format!("{text:?} names no model"), ADVICE_SOURCE);
        if text == "starter" {
            return Ok(Self::Starter);
        }
        if let Some(path) = text.strip_prefix("path:").filter(|path| !path.is_empty()) {
            return Ok(Self::Path(path.into()));
        }
        let place = text.strip_prefix("hf:").ok_or_else(unknown)?;
        let (place, revision) = place.split_once('@').unwrap_or((place, "main"));
        let mut parts = place.splitn(3, '/');
        let named = parts.next().zip(parts.next());
        let (owner, name) = named
            .filter(|(o, n)| !o.is_empty() && !n.is_empty())
            .ok_or_else(unknown)?;
        let file = parts.next().map(ToOwned::to_owned);
        if revision.is_empty() || file.as_deref().is_some_and(|file| !is_plain(file)) {
            return Err(unknown());
        }
        Ok(Self::Hub {
            repo: format!("{owner}/{name}"),
            file,
            revision: revision.to_owned(),
        })
    }
}

/// A name that cannot leave the folder it is looked up in.
fn is_plain(file: &str) -> bool {
    !file.is_empty() && file.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Starter => f.write_str("starter"),
            Self::Path(path) => write!(f, "path:{}", path.display()),
            Self::Hub {
                repo,
                file: None,
                revision,
            } => write!(f, "hf:{repo}@{revision}"),
            Self::Hub {
                repo,
                file: Some(file),
                revision,
            } => {
                write!(f, "hf:{repo}/{file}@{revision}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(repo: &str, file: Option<&str>, revision: &str) -> Source {
        let (repo, revision) = (repo.to_owned(), revision.to_owned());
        Source::Hub {
            repo,
            file: file.map(ToOwned::to_owned),
            revision,
        }
    }

    #[test]
    fn sources_are_read_and_written_alike() {
        let read = |text: &str| text.parse::<Source>();

        assert_eq!(read("starter"), Ok(Source::Starter));
        assert_eq!(read("path:/a/b.gguf"), Ok(Source::Path("/a/b.gguf".into())));
        assert_eq!(
            read("hf:google/gemma"),
            Ok(hub("google/gemma", None, "main"))
        );
        assert_eq!(
            read("hf:g/n/sub/f.gguf@v1"),
            Ok(hub("g/n", Some("sub/f.gguf"), "v1"))
        );
        for text in ["hf:g/n/sub/f.gguf@v1", "hf:g/n@main", "path:/x", "starter"] {
            assert_eq!(
                read(text).map(|source| source.to_string()).as_deref(),
                Ok(text)
            );
        }
    }

    #[test]
    fn a_source_that_names_nothing_says_what_is_possible() {
        for text in [
            "",
            "gemma",
            "hf:",
            "hf:google",
            "hf:a/b/../c",
            "hf:a/b@",
            "path:",
        ] {
            let error = text.parse::<Source>().expect_err(text).to_string();
            assert!(error.contains("set LYO_MODEL"), "{error}");
        }
    }
}
