//! What the process knows of files: where their bytes lie, and what links to them are signed with.

use std::{fmt, sync::Arc};

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use models::{FileId, signing_keys};
use platform::storage::{self, Storage};
use tokio::sync::OnceCell;

use crate::{app::App, codes, problem::Problem};

/// The name of the secret that links are signed with.
const KEY_NAME: &str = "files";

/// Where files lie; clones share it.
#[derive(Clone, Default)]
pub struct Files {
    storage: Option<Storage>,
    key: Arc<OnceCell<hmac::Key>>,
}

impl Files {
    /// Files in this storage.
    pub fn new(storage: Storage) -> Self {
        Self {
            storage: Some(storage),
            key: Arc::default(),
        }
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files")
            .field("storage", &self.storage)
            .finish_non_exhaustive()
    }
}

impl App {
    /// Where the bytes lie.
    pub(crate) fn storage(&self) -> Result<&Storage, Problem> {
        let away = || storage::Error::Unavailable("none is configured".to_owned());
        Ok(self.files.storage.as_ref().ok_or_else(away)?)
    }

    /// Proves that we made a link to a file, or to a variant of it, that is good until then.
    pub(crate) async fn sign(
        &self,
        file: FileId,
        variant: Option<&str>,
        expires: i64,
    ) -> Result<String, Problem> {
        let key = self.signing_key().await?;
        let tag = hmac::sign(key, message(file, variant, expires).as_bytes());
        Ok(URL_SAFE_NO_PAD.encode(tag.as_ref()))
    }

    /// Refuses a link that we did not make, or that is too old.
    pub(crate) async fn verify(
        &self,
        file: FileId,
        variant: Option<&str>,
        expires: i64,
        signature: &str,
    ) -> Result<(), Problem> {
        let refused = || Problem::new(&codes::LINK_INVALID, codes::LINK_INVALID.meaning);
        let key = self.signing_key().await?;
        let tag = URL_SAFE_NO_PAD.decode(signature).map_err(|_| refused())?;
        let message = message(file, variant, expires);
        hmac::verify(key, message.as_bytes(), &tag).map_err(|_| refused())?;
        let until = DateTime::<Utc>::from_timestamp(expires, 0).ok_or_else(refused)?;
        if until <= self.db.now() {
            return Err(refused());
        }
        Ok(())
    }

    async fn signing_key(&self) -> Result<&hmac::Key, Problem> {
        let read = async || {
            let mut tx = self.begin().await?;
            let secret = signing_keys::get(&mut tx, KEY_NAME, self.db.now()).await?;
            tx.commit().await?;
            Ok(hmac::Key::new(hmac::HMAC_SHA256, &secret))
        };
        self.files.key.get_or_try_init(read).await
    }
}

/// What is signed. A line each, and a variant has no line break, so no two links have the same.
fn message(file: FileId, variant: Option<&str>, expires: i64) -> String {
    format!("{file}\n{}\n{expires}", variant.unwrap_or_default())
}
