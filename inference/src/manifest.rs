//! What a repository held at one commit, kept beside the files so that they can be checked again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};

/// The files of a repository at one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) commit: String,
    pub(crate) files: BTreeMap<String, Expected>,
}

/// What a file has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Expected {
    pub(crate) bytes: u64,
    /// The hub knows it for large files; for small ones it is noted at the first download.
    pub(crate) sha256: Option<String>,
}

impl Manifest {
    /// Reads the hub's answer about a revision, asked for with `blobs=true`.
    pub(crate) fn from_hub(json: &Value) -> Option<Self> {
        let file = |sibling: &Value| {
            let name = sibling["rfilename"].as_str()?.to_owned();
            let bytes = sibling["lfs"]["size"]
                .as_u64()
                .or_else(|| sibling["size"].as_u64())?;
            let sha256 = sibling["lfs"]["sha256"].as_str().map(ToOwned::to_owned);
            Some((name, Expected { bytes, sha256 }))
        };
        let files = json["siblings"]
            .as_array()?
            .iter()
            .map(file)
            .collect::<Option<_>>()?;
        Some(Self {
            commit: json["sha"].as_str()?.to_owned(),
            files,
        })
    }

    /// What was noted for a revision, if it was ever fetched.
    pub(crate) fn load(cache: &Path, repo: &str, revision: &str) -> Option<Self> {
        let text = std::fs::read_to_string(place(cache, repo, revision)).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Notes it for a revision and for its commit, in one step each.
    pub(crate) fn save(&self, cache: &Path, repo: &str, revision: &str) -> Result<()> {
        for revision in [revision, &self.commit] {
            let path = place(cache, repo, revision);
            let temporary = path.with_extension("tmp");
            let write = || {
                std::fs::create_dir_all(path.parent().unwrap_or(cache))?;
                std::fs::write(&temporary, serde_json::to_vec_pretty(self)?)?;
                std::fs::rename(&temporary, &path)
            };
            write().map_err(|error| unwritable(cache, &error))?;
        }
        Ok(())
    }

    /// Takes over the digests that were noted for the same commit.
    pub(crate) fn with_digests_of(mut self, noted: Option<Self>) -> Self {
        let noted = noted.filter(|noted| noted.commit == self.commit);
        for (name, expected) in noted.into_iter().flat_map(|noted| noted.files) {
            if let Some(file) = self
                .files
                .get_mut(&name)
                .filter(|file| file.sha256.is_none())
            {
                file.sha256 = expected.sha256;
            }
        }
        self
    }

    /// The files to fetch: the one that is wanted, or the best there is.
    ///
    /// A GGUF is one file with everything in it; `Q8_0` loses next to nothing, `Q4_0` is fast.
    pub(crate) fn choose(&self, wanted: Option<&str>) -> Result<Vec<String>, String> {
        let names = || self.files.keys().map(String::as_str);
        let with = |kind: &'static str| names().filter(move |name| name.ends_with(kind));
        if let Some(wanted) = wanted {
            let is_gguf = Path::new(wanted).extension() == Some("gguf".as_ref());
            let fits = is_gguf && self.files.contains_key(wanted);
            return if fits {
                Ok(vec![wanted.to_owned()])
            } else {
                Err(format!("has no GGUF file {wanted}"))
            };
        }
        let ggufs: Vec<_> = with(".gguf")
            .filter(|name| !name.contains("mmproj"))
            .collect();
        let of = |kind| {
            ggufs
                .iter()
                .find(|name| name.to_lowercase().contains(kind))
                .copied()
        };
        let only = || ggufs.first().copied().filter(|_| ggufs.len() == 1);
        if let Some(best) = of("q8_0").or_else(|| of("q4_0")).or_else(only) {
            return Ok(vec![best.to_owned()]);
        }
        let shards = with(".safetensors").filter(|name| name.starts_with("model"));
        let mut chosen: Vec<_> = shards.map(ToOwned::to_owned).collect();
        let described = ["config.json", "tokenizer.json"];
        if chosen.is_empty() || described.iter().any(|name| !self.files.contains_key(*name)) {
            return Err("holds no model: neither a GGUF nor safetensors with a tokenizer".into());
        }
        chosen.extend(described.map(ToOwned::to_owned));
        Ok(chosen)
    }
}

fn place(cache: &Path, repo: &str, revision: &str) -> PathBuf {
    let flat = |text: &str| text.replace('/', "--");
    cache
        .join("manifests")
        .join(flat(repo))
        .join(format!("{}.json", flat(revision)))
}

/// The cache cannot be used.
pub(crate) fn unwritable(cache: &Path, error: &std::io::Error) -> Error {
    Error::unavailable(
        format!("{}: {error}", cache.display()),
        "free some space or choose another folder for data",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(names: &[&str]) -> Manifest {
        let expected = Expected {
            bytes: 1,
            sha256: None,
        };
        let files = names
            .iter()
            .map(|name| ((*name).to_owned(), expected.clone()))
            .collect();
        Manifest {
            commit: "c".repeat(40),
            files,
        }
    }

    #[test]
    fn the_best_file_is_chosen() {
        let choose = |names: &[&str]| holding(names).choose(None);
        let whole = ["config.json", "tokenizer.json", "model.safetensors"];

        assert_eq!(
            choose(&["a-Q4_0.gguf", "a-Q8_0.gguf"]),
            Ok(vec!["a-Q8_0.gguf".into()])
        );
        assert_eq!(
            choose(&["a-Q2_K.gguf", "a-q4_0.gguf"]),
            Ok(vec!["a-q4_0.gguf".into()])
        );
        assert_eq!(
            choose(&["a.gguf", "mmproj-a.gguf"]),
            Ok(vec!["a.gguf".into()])
        );
        assert_eq!(choose(&whole).map(|files| files.len()), Ok(3));
        assert!(choose(&["README.md", "model.safetensors"]).is_err());
        assert!(holding(&["a.gguf"]).choose(Some("b.gguf")).is_err());
    }
}
