//! What links are signed with: one secret a purpose, the same for all replicas.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};

use crate::{
    db::Tx,
    error::{Error, Result},
    sql,
    sql::One,
};

/// Bytes of a secret: as many as HMAC-SHA256 makes use of.
const SECRET_BYTES: usize = 32;

/// The secret of a purpose, made by whoever asks first.
pub async fn get(tx: &mut Tx, name: &str, now: DateTime<Utc>) -> Result<Vec<u8>> {
    let secret: [u8; SECRET_BYTES] = rand::random();
    sql!(
        tx,
        execute,
        "insert into signing_keys (name, secret, created_at) values ($1, $2, $3)
        on conflict (name) do nothing",
        name,
        STANDARD.encode(secret),
        now,
    )?;
    let (secret,) = sql!(
        tx, fetch_one One<String>,
        "select secret from signing_keys where name = $1",
        name,
    )?;
    let secret = STANDARD.decode(secret);
    secret.map_err(|_| Error::broken("a signing key is not base64"))
}
