//! One process for each data folder: SQLite has one writer, and a course needs one worker.

use std::{
    fs::{self, File, TryLockError},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::time::{Instant, sleep};

/// The locked file. The system drops the lock with the process, even after a `kill -9`.
const LOCK_FILE: &str = "lock";

/// The file that says where the owner of the lock listens. Apart from the lock, because some
/// systems let nobody read a locked file.
const ADDRESS_FILE: &str = "address";

/// How long the owner of the lock may take from the lock to its address: it migrates in between.
const ADDRESS_WAIT: Duration = Duration::from_secs(20);

/// Who has the data folder.
pub(crate) enum Claim {
    /// This process, until the lock is dropped.
    Ours(DataLock),
    /// Another process, which listens there.
    Theirs(SocketAddr),
}

/// The right to be the only process that works on a data folder.
pub(crate) struct DataLock {
    folder: PathBuf,
    _file: File,
}

impl DataLock {
    /// Takes the data folder, which is created when missing, or finds out who has it.
    ///
    /// # Errors
    /// When the folder cannot be written, or when its owner does not say where it listens.
    pub(crate) async fn claim(folder: &Path) -> anyhow::Result<Claim> {
        create_private(folder)
            .with_context(|| format!("the data folder {} cannot be made", folder.display()))?;
        let deadline = Instant::now() + ADDRESS_WAIT;
        loop {
            let file = File::create(folder.join(LOCK_FILE))
                .with_context(|| format!("the data folder {} is not ours", folder.display()))?;
            match file.try_lock() {
                Ok(()) => {
                    // Whoever wrote an address before is gone.
                    remove_if_there(&folder.join(ADDRESS_FILE))?;
                    return Ok(Claim::Ours(Self {
                        folder: folder.to_owned(),
                        _file: file,
                    }));
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
            let address = fs::read_to_string(folder.join(ADDRESS_FILE)).unwrap_or_default();
            if let Ok(address) = address.trim().parse() {
                return Ok(Claim::Theirs(address));
            }
            if Instant::now() > deadline {
                bail!(
                    "another lyo uses the data folder {} and does not answer; \
                     stop it, or choose another folder with --data or LYO_DATA",
                    folder.display()
                );
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Tells other processes where this one listens.
    ///
    /// # Errors
    /// When the data folder cannot be written.
    pub(crate) fn announce(&self, address: SocketAddr) -> anyhow::Result<()> {
        // Written aside and renamed: nobody may read half an address.
        let aside = self.folder.join(format!("{ADDRESS_FILE}.new"));
        fs::write(&aside, address.to_string())?;
        fs::rename(&aside, self.folder.join(ADDRESS_FILE))?;
        Ok(())
    }
}

impl Drop for DataLock {
    fn drop(&mut self) {
        // The lock is what counts: a left-over address is removed by the next owner.
        let _ = fs::remove_file(self.folder.join(ADDRESS_FILE));
    }
}

/// Makes a folder that only its user can read: courses and database URLs are nobody else's.
fn create_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn remove_if_there(file: &Path) -> std::io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_second_process_learns_where_the_first_listens() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let address: SocketAddr = "127.0.0.1:8080".parse()?;
        let Claim::Ours(lock) = DataLock::claim(folder.path()).await? else {
            bail!("nobody else has the folder");
        };
        lock.announce(address)?;

        let second = DataLock::claim(folder.path()).await?;
        assert!(matches!(second, Claim::Theirs(found) if found == address));
        drop(lock);
        let third = DataLock::claim(folder.path()).await?;

        assert!(
            matches!(third, Claim::Ours(_)),
            "the lock ends with its owner"
        );
        Ok(())
    }

    #[tokio::test]
    async fn the_address_of_a_killed_process_is_not_believed() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join(ADDRESS_FILE), "127.0.0.1:1")?;

        let claim = DataLock::claim(folder.path()).await?;

        assert!(matches!(claim, Claim::Ours(_)));
        assert!(!folder.path().join(ADDRESS_FILE).exists());
        Ok(())
    }
}
