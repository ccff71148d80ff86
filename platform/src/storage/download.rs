//! Fetches an object that somebody else has put into a bucket, by the digest that it must have.

use std::path::Path;

use futures_util::TryStreamExt;
use object_store::ObjectStoreExt;
use tokio::{
    fs::{self, File},
    io::AsyncWriteExt,
};
use uuid::Uuid;

use super::{Digest, Digesting, Error, Result, Storage, step};

impl Storage {
    /// Copies the object `name`, below the prefix, into the file `to`, which is there only once all
    /// of it has arrived and is right. `tell` hears how many bytes have come, and of how many.
    pub async fn download(
        &self,
        name: &str,
        digest: Digest,
        to: &Path,
        tell: impl Fn(u64, u64),
    ) -> Result<()> {
        let path = object_store::path::Path::from(format!("{}/{name}", self.prefix));
        let found = step(self.store.get(&path)).await?;
        let (mut bytes, total) = (0, found.meta.size);
        let part = to.with_extension(format!("{}.part", Uuid::now_v7().simple()));
        let mut file = File::create_new(&part).await?;
        let mut chunks = found.into_stream();
        let mut digesting = Digesting::default();
        while let Some(chunk) = step(chunks.try_next()).await? {
            digesting.update(&chunk);
            file.write_all(&chunk).await?;
            bytes += chunk.len() as u64;
            tell(bytes, total);
        }
        file.sync_all().await?;
        let found = digesting.finish();
        if found != digest {
            fs::remove_file(&part).await?;
            return Err(Error::Corrupt(format!("{name} is {found}, not {digest}")));
        }
        Ok(fs::rename(&part, to).await?)
    }
}
