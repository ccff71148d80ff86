//! Where the model comes from: what the engine knows of, or a bucket of one's own.

use std::{fmt, str::FromStr};

use inference::{Error, FetchOptions, Progress, Source};
use platform::storage::{self, Digest, Storage};
use tokio::fs;

const ADVICE: &str = "set LYO_MODEL to s3://BUCKET/FILE.gguf#sha256=DIGEST, and the variables of its kind \
     of bucket";

/// Where a model is taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// What the engine knows of.
    Source(Source),
    /// A GGUF file in a bucket.
    Bucket {
        /// The folder of the bucket that it is in: `s3://BUCKET/FOLDER` or `gs://BUCKET/FOLDER`.
        folder: String,
        /// Its name there.
        file: String,
        /// What it must be.
        digest: Digest,
    },
}

impl FromStr for Place {
    type Err = Error;

    /// Reads what [`Source`] does, and `s3://BUCKET/FILE#sha256=DIGEST` or the same with `gs://`.
    fn from_str(text: &str) -> Result<Self, Error> {
        if !text.starts_with("s3://") && !text.starts_with("gs://") {
            return text.parse().map(Self::Source);
        }
        let parts = || {
            let (url, digest) = text.split_once("#sha256=")?;
            let (folder, file) = url.rsplit_once('/')?;
            let plain = !folder.ends_with('/') && !file.is_empty() && !file.starts_with('.');
            plain.then_some(())?;
            Some(Self::Bucket {
                folder: folder.to_owned(),
                file: file.to_owned(),
                digest: digest.parse().ok()?,
            })
        };
        parts().ok_or_else(|| unavailable(&format!("{text:?} names no model in a bucket")))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(source) => source.fmt(f),
            Self::Bucket {
                folder,
                file,
                digest,
            } => write!(f, "{folder}/{file}#sha256={digest}"),
        }
    }
}

impl Place {
    /// What the engine can take the model from: a file in a bucket is fetched and verified first,
    /// and kept among the other downloads under its digest.
    pub async fn source(
        &self,
        options: &FetchOptions,
        tell: impl Fn(Progress),
    ) -> Result<Source, Error> {
        let (folder, file, digest) = match self {
            Self::Source(source) => return Ok(source.clone()),
            Self::Bucket {
                folder,
                file,
                digest,
            } => (folder, file, *digest),
        };
        let kept = options.cache.join("buckets").join(digest.to_string());
        let path = kept.join(file);
        if fs::try_exists(&path).await.unwrap_or(false) {
            return Ok(Source::Path(path));
        }
        if options.offline {
            return Err(unavailable(&format!("{self} was not fetched before")));
        }
        let failed = |error: storage::Error| unavailable(&format!("{folder}/{file}: {error}"));
        fs::create_dir_all(&kept)
            .await
            .map_err(|error| failed(error.into()))?;
        let storage = Storage::bucket(folder, &[]).map_err(failed)?;
        let told = |bytes, total| {
            tell(Progress {
                file: file.clone(),
                bytes,
                total: Some(total),
            });
        };
        let fetched = storage.download(file, digest, &path, told).await;
        fetched.map_err(failed)?;
        Ok(Source::Path(path))
    }
}

fn unavailable(reason: &str) -> Error {
    Error::Unavailable {
        reason: reason.to_owned(),
        advice: ADVICE.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn places_survive_their_text_and_others_are_refused() -> Result<(), Error> {
        let digest = Digest::of(b"weights");
        for text in [
            "starter".to_owned(),
            format!("s3://models/small/a.gguf#sha256={digest}"),
            format!("gs://models/a.gguf#sha256={digest}"),
        ] {
            assert_eq!(text.parse::<Place>()?.to_string(), text);
        }
        for text in [
            "s3://models/a.gguf".to_owned(),
            "s3://models/a.gguf#sha256=12".to_owned(),
            format!("s3://models/#sha256={digest}"),
            format!("s3://a.gguf#sha256={digest}"),
            format!("s3://models/..#sha256={digest}"),
        ] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn what_was_fetched_is_used_without_a_network() -> anyhow::Result<()> {
        let cache = TempDir::new()?;
        let digest = Digest::of(b"weights");
        let place: Place = format!("s3://models/a.gguf#sha256={digest}").parse()?;
        let options = FetchOptions {
            offline: true,
            ..FetchOptions::new(cache.path())
        };

        let missing = place.source(&options, |_| ()).await;
        assert!(matches!(missing, Err(Error::Unavailable { .. })));
        let folder = cache.path().join("buckets").join(digest.to_string());
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("a.gguf"), b"weights")?;

        let there = place.source(&options, |_| ()).await?;
        assert_eq!(there, Source::Path(folder.join("a.gguf")));
        Ok(())
    }
}
