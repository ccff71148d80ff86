//! Bytes on their way in: written under a temporary name, digested as they pass, then renamed.

use bytes::Bytes;
use object_store::{ObjectStoreExt, WriteMultipart};
use tokio::time::timeout;
use uuid::Uuid;

use super::{Digest, Digesting, Error, Result, STEP_TIMEOUT, Storage, step};

/// How many of the first bytes are remembered: enough to tell what they are.
pub const HEAD_BYTES: usize = 4 * 1024;
/// What is written at once. S3 takes no smaller parts, and at most 10,000 of them.
const PART_BYTES: usize = 5 * 1024 * 1024;
/// Parts on their way at the same time. With the one that is being filled, they are what an upload
/// holds in memory.
const PARTS_AT_ONCE: usize = 2;

/// Bytes that are being written. Dropped, or with its process killed, it leaves nothing that anybody
/// sees; [`Storage::sweep`] removes the rest.
#[derive(Debug)]
pub struct Incoming {
    storage: Storage,
    name: String,
    write: WriteMultipart,
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
        let upload = step(self.store.put_multipart(&self.temporary(&name))).await?;
        Ok(Incoming {
            storage: self.clone(),
            name,
            write: WriteMultipart::new_with_chunk_size(upload, PART_BYTES),
            digesting: Digesting::default(),
            size: 0,
            head: Vec::new(),
        })
    }

    /// Gives bytes that have arrived the name of their digest; from then on they can be read.
    pub async fn keep(&self, arrived: &Arrived) -> Result<()> {
        let path = self.kept(arrived.digest);
        step(self.store.rename(&self.temporary(&arrived.name), &path)).await?;
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
        step(self.write.wait_for_capacity(PARTS_AT_ONCE)).await?;
        self.write.write(bytes);
        Ok(())
    }

    /// Ends the writing. On an error nothing is left.
    pub async fn finish(self) -> Result<Arrived> {
        // A stream without bytes would have no part, which S3 refuses.
        let finished = if self.size == 0 {
            // There is nothing to lose in it.
            drop(self.write.abort().await);
            let path = self.storage.temporary(&self.name);
            step(self.storage.store.put(&path, Bytes::new().into())).await
        } else {
            step(self.write.finish()).await
        };
        finished?;
        Ok(Arrived {
            digest: self.digesting.finish(),
            size: self.size,
            head: self.head,
            name: self.name,
        })
    }

    /// Gives up: what was written is forgotten.
    pub async fn abort(self) {
        // What cannot be removed now is swept later.
        drop(timeout(STEP_TIMEOUT, self.write.abort()).await);
    }
}
