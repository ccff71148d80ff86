//! The signing keys of this machine, where nobody configured others.

use std::{
    fs,
    io::{ErrorKind, Write as _},
    path::Path,
};

use anyhow::Context;
use api::{IdentityArgs, SigningKeys};
use chrono::TimeDelta;
use models::{
    Db,
    sessions::{self, Origin},
    users,
};

/// The file in the data folder.
const FILE: &str = "signing.key";

/// The keys that were configured, or those of the data folder, which are made when they are missing.
///
/// # Errors
/// When the file cannot be read or written, or holds something else.
pub(crate) fn of(identity: &IdentityArgs, data: &Path) -> anyhow::Result<SigningKeys> {
    if let Some(keys) = &identity.signing_keys {
        return Ok(keys.clone());
    }
    let path = data.join(FILE);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => make(&path),
        read => read,
    };
    let text = text.with_context(|| format!("{} cannot be used", path.display()))?;
    text.trim()
        .parse()
        .with_context(|| format!("{} holds no signing key", path.display()))
}

/// A token for the author of this machine, good for a day.
///
/// # Errors
/// When the database fails.
pub(crate) async fn token(db: &Db, keys: &SigningKeys) -> anyhow::Result<String> {
    let (mut tx, now) = (db.begin().await?, db.now());
    let user = users::local(&mut tx, now).await?;
    let origin = Origin {
        agent: "lyo".to_owned(),
        ..Origin::default()
    };
    let session = sessions::create(&mut tx, user.id, &origin, now).await?;
    tx.commit().await?;
    Ok(keys.sign(user.id, session.id, user.epoch, now, TimeDelta::days(1)))
}

/// Writes a fresh key that nobody else on the machine can read.
fn make(path: &Path) -> std::io::Result<String> {
    let text = SigningKeys::draw();
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(mut file) => file.write_all(text.as_bytes()).map(|()| text),
        // Another command made it at the same moment.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => fs::read_to_string(path),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_folder_stays_the_same() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;

        of(&IdentityArgs::default(), folder.path())?;
        let made = fs::read_to_string(folder.path().join(FILE))?;
        of(&IdentityArgs::default(), folder.path())?;

        assert_eq!(fs::read_to_string(folder.path().join(FILE))?, made);
        Ok(())
    }
}
