//! Bytes on their way in: written under a temporary name, digested as they pass, then renamed.

use std::io;

use bytes::Bytes;
use object_store::{ObjectStoreExt, WriteMultipart};
use tokio::{runtime::Handle, time::timeout};
use uuid::Uuid;

use super::{Digest, Digesting, Error, Result, STEP_TIMEOUT, Storage, by_size, step, within};

/// How many of the first bytes are remembered: enough to tell what they are.
pub const HEAD_BYTES: usize = 4 * 1024;
/// What is written at once. S3 takes no smaller parts, and at most 10,000 of them.
const PART_BYTES: usize = 5 * 1024 * 1024;
/// Parts on their way at the same time. With the one that is being filled, they are what an upload
/// holds in memory.
const PARTS_AT_ONCE: usize = 2;

/// Bytes that are being written. Dropped, it forgets them. With its process killed it leaves nothing
/// that anybody sees: [`Storage::sweep`] removes the rest of a folder, and a rule of a bucket ends its
/// uploads in several parts.
#[derive(Debug)]
pub struct Incoming {
    storage: Storage,
    name: String,
    /// None once the writing has ended.
    write: Option<WriteMultipart>,
    digesting: Digesting,
    size: u64,
    head: Vec<u8>,
}

/// Bytes that have arrived as a whole, still under a temporary name.
#[derive(Debug)]
pub struct Arrived {
    /// Their SHA-256.
    pub digest: Digest,
    /// How many they are.
    pub size: u64,
    /// The first of them, at most [`HEAD_BYTES`].
    pub head: Vec<u8>,
    name: String,
}

impl Storage {
    /// Begins to write new bytes.
    pub async fn begin(&self) -> Result<Incoming> {
        let name = Uuid::now_v7().simple().to_string();
        let upload = step(self.patient.put_multipart(&self.temporary(&name))).await?;
        Ok(Incoming {
            storage: self.clone(),
            name,
            write: Some(WriteMultipart::new_with_chunk_size(upload, PART_BYTES)),
            digesting: Digesting::default(),
            size: 0,
            head: Vec::new(),
        })
    }

    /// Gives bytes that have arrived the name of their digest; from then on they can be read.
    pub async fn keep(&self, arrived: &Arrived) -> Result<()> {
        let path = self.kept(arrived.digest);
        let temporary = self.temporary(&arrived.name);
        let renaming = self.patient.rename(&temporary, &path);
        within(by_size(arrived.size), renaming).await?;
        let size = step(self.store.head(&path)).await?.size;
        if size == arrived.size {
            return Ok(());
        }
        let (digest, wanted) = (arrived.digest, arrived.size);
        Err(Error::Corrupt(format!(
            "{digest} was stored with {size} bytes instead of {wanted}"
        )))
    }

    /// Forgets bytes that have arrived and are not wanted.
    pub async fn discard(&self, arrived: &Arrived) -> Result<()> {
        self.delete_part(&arrived.name).await
    }
}

impl Incoming {
    /// How many bytes have come so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Writes the next bytes; waits while too many are on their way.
    pub async fn write(&mut self, bytes: &Bytes) -> Result<()> {
        self.digesting.update(bytes);
        self.size += bytes.len() as u64;
        let missing = HEAD_BYTES - self.head.len();
        self.head.extend(bytes.iter().take(missing));
        let write = self.write.as_mut().ok_or_else(ended)?;
        step(write.wait_for_capacity(PARTS_AT_ONCE)).await?;
        write.write(bytes);
        Ok(())
    }

    /// Ends the writing. On an error nothing is left.
    pub async fn finish(mut self) -> Result<Arrived> {
        let write = self.write.take().ok_or_else(ended)?;
        // A stream without bytes would have no part, which S3 refuses.
        if self.size == 0 {
            // There is nothing to lose in it.
            drop(write.abort().await);
            let path = self.storage.temporary(&self.name);
            step(self.storage.store.put(&path, Bytes::new().into())).await?;
        } else {
            // Whoever waits may lose patience or go away; it ends, or is aborted, all the same.
            let finishing = tokio::spawn(write.finish());
            let finished = async {
                finishing
                    .await
                    .map_err(io::Error::other)?
                    .map_err(Error::from)
            };
            within(by_size(self.size), finished).await?;
        }
        Ok(Arrived {
            digest: std::mem::take(&mut self.digesting).finish(),
            size: self.size,
            head: std::mem::take(&mut self.head),
            name: std::mem::take(&mut self.name),
        })
    }

    /// Gives up: what was written is forgotten.
    pub async fn abort(mut self) {
        if let Some(write) = self.write.take() {
            forget(write).await;
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // Without a runtime the process ends, and what is left is swept.
        if let Some(write) = self.write.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(forget(write));
        }
    }
}

async fn forget(write: WriteMultipart) {
    // What cannot be removed now is swept later.
    drop(timeout(STEP_TIMEOUT, write.abort()).await);
}

fn ended() -> Error {
    Error::Unavailable("the writing has ended".to_owned())
}
