//! Bytes that are too many for a row: in a folder, in a bucket that speaks S3, or in one of Google.
//!
//! What is kept is named by its SHA-256, so it never changes and is never there twice. Everything is
//! first written under a temporary name, with its digest taken on the way, and then renamed: nobody
//! ever sees half of it. Which bytes are still needed is for the database to say.

mod config;
mod digest;
mod download;
mod error;
mod incoming;
mod open;
mod sweep;
#[cfg(feature = "testing")]
mod testing;

use std::{io::SeekFrom, ops::Range, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, GetResult, GetResultPayload, ObjectStore, ObjectStoreExt, path::Path,
    signer::Signer,
};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt},
    time::timeout,
};
use tokio_util::io::ReaderStream;
use uuid::Uuid;

pub use self::{
    config::StorageArgs,
    digest::{Digest, Digesting},
    error::{Error, Result},
    incoming::{Arrived, HEAD_BYTES, Incoming},
};

/// How long a single step may take: to look, to delete, to write a part.
const STEP_TIMEOUT: Duration = Duration::from_mins(1);
/// What a bucket copies, or puts together, in a second at least.
const COPIED_PER_SECOND: u64 = 20 * 1024 * 1024;
/// How long it may take to sign a URL. Credentials may have to be fetched first.
const SIGN_TIMEOUT: Duration = Duration::from_secs(5);
/// What is read from a folder at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Where bytes lie; clones share it.
#[derive(Clone, Debug)]
pub struct Storage {
    store: Arc<dyn ObjectStore>,
    /// The same, for steps during which a bucket may be silent for as long as their bytes take.
    patient: Arc<dyn ObjectStore>,
    /// What every name begins with, in a bucket that is shared with others.
    prefix: String,
    /// Lets clients write without us in between, where the store can do that.
    signer: Option<Arc<dyn Signer>>,
    /// The folder, when it is one.
    folder: Option<PathBuf>,
}

/// Bytes on their way out.
pub type Bytestream = BoxStream<'static, Result<Bytes>>;

impl Storage {
    /// The bytes of this digest, or a part of them. A range must lie within the `size` that the
    /// caller knows; another size is [`Error::Corrupt`].
    pub async fn read(
        &self,
        digest: Digest,
        size: u64,
        range: Option<Range<u64>>,
    ) -> Result<Bytestream> {
        // A range of nothing cannot be asked for.
        if size == 0 || range.as_ref().is_some_and(Range::is_empty) {
            return Ok(futures_util::stream::empty().boxed());
        }
        let options = GetOptions {
            range: range.map(GetRange::Bounded),
            ..GetOptions::default()
        };
        let path = self.kept(digest);
        let found = step(self.store.get_opts(&path, options)).await?;
        if found.meta.size != size {
            return Err(Error::Corrupt(format!(
                "{digest} has {} bytes instead of {size}",
                found.meta.size
            )));
        }
        stream(found).await
    }

    /// Copies the bytes of this digest into a new file, and makes sure that they are the right ones.
    pub async fn fetch(&self, digest: Digest, size: u64, to: &std::path::Path) -> Result<()> {
        let mut bytes = self.read(digest, size, None).await?;
        let mut file = File::create_new(to).await?;
        let mut digesting = Digesting::default();
        while let Some(chunk) = step(bytes.try_next()).await? {
            digesting.update(&chunk);
            file.write_all(&chunk).await?;
        }
        file.flush().await?;
        let found = digesting.finish();
        if found != digest {
            return Err(Error::Corrupt(format!("{digest} holds {found}")));
        }
        Ok(())
    }

    /// Forgets the bytes of this digest; again changes nothing.
    pub async fn delete(&self, digest: Digest) -> Result<()> {
        self.remove(&self.kept(digest)).await
    }

    /// Keeps a part of an upload under a temporary name, which is answered.
    pub async fn put_part(&self, bytes: Bytes) -> Result<String> {
        let name = Uuid::now_v7().simple().to_string();
        let path = self.temporary(&name);
        step(self.store.put(&path, bytes.into())).await?;
        Ok(name)
    }

    /// The bytes under a temporary name.
    pub async fn read_part(&self, name: &str) -> Result<Bytestream> {
        let found = step(self.store.get(&self.temporary(name))).await?;
        stream(found).await
    }

    /// How many bytes lie under a temporary name.
    pub async fn part_size(&self, name: &str) -> Result<u64> {
        Ok(step(self.store.head(&self.temporary(name))).await?.size)
    }

    /// Forgets what lies under a temporary name; again changes nothing.
    pub async fn delete_part(&self, name: &str) -> Result<()> {
        self.remove(&self.temporary(name)).await
    }

    /// Whether clients can write here without us in between.
    pub fn presigns(&self) -> bool {
        self.signer.is_some()
    }

    /// A URL by which whoever has it may `PUT` under a temporary name until `lifetime` is over.
    /// Unavailable where the store cannot do that: see [`Storage::presigns`].
    pub async fn presign(&self, name: &str, lifetime: Duration) -> Result<String> {
        let cannot = || Error::Unavailable("a folder signs no URLs".to_owned());
        let signer = self.signer.as_ref().ok_or_else(cannot)?;
        let path = self.temporary(name);
        let url = signer.signed_url(http::Method::PUT, &path, lifetime);
        Ok(within(SIGN_TIMEOUT, url).await?.into())
    }

    async fn remove(&self, path: &Path) -> Result<()> {
        match step(self.store.delete(path)).await {
            Err(Error::NotFound) => Ok(()),
            done => done,
        }
    }

    /// Where the bytes of a digest lie. Two characters make a folder, so that none gets too full.
    fn kept(&self, digest: Digest) -> Path {
        let name = digest.to_string();
        let (start, rest) = name.split_at(2);
        Path::from(format!("{}/kept/{start}/{rest}", self.prefix))
    }

    fn temporary(&self, name: &str) -> Path {
        Path::from(format!("{}/incoming/{name}", self.prefix))
    }
}

/// What was found, in chunks.
async fn stream(found: GetResult) -> Result<Bytestream> {
    let range = found.range.clone();
    match found.payload {
        // The store itself would read 8 KiB at a time.
        GetResultPayload::File(file, _) => {
            let mut file = File::from_std(file);
            file.seek(SeekFrom::Start(range.start)).await?;
            let part = file.take(range.end - range.start);
            let chunks = ReaderStream::with_capacity(part, CHUNK_BYTES);
            Ok(chunks.map_err(Error::from).boxed())
        }
        GetResultPayload::Stream(chunks) => Ok(chunks.map_err(Error::from).boxed()),
    }
}

/// One step with the store, within its bound.
async fn step<T, E: Into<Error>>(doing: impl Future<Output = Result<T, E>>) -> Result<T> {
    within(STEP_TIMEOUT, doing).await
}

async fn within<T, E: Into<Error>>(
    bound: Duration,
    doing: impl Future<Output = Result<T, E>>,
) -> Result<T> {
    match timeout(bound, doing).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => Err(Error::Unavailable(format!(
            "no answer within {} s",
            bound.as_secs()
        ))),
    }
}

/// How long a step may take that a bucket does with this many bytes by itself.
fn by_size(bytes: u64) -> Duration {
    STEP_TIMEOUT + Duration::from_secs(bytes / COPIED_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_file_is_copied_in_time_and_a_small_one_is_not_waited_for() {
        assert_eq!(by_size(1_000), STEP_TIMEOUT);
        assert_eq!(by_size(4 * 1024 * 1024 * 1024).as_secs(), 60 + 204);
    }
}
