//! What an account proves itself with. Only hashes are kept.

use chrono::{DateTime, Utc};

use crate::{
    address::Address,
    db::{Conn, Tx},
    error::Result,
    id::OwnerId,
    sql,
    sql::One,
    users::{self, User},
};

/// An account with what it proves itself with.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Known {
    /// The account.
    #[sqlx(flatten)]
    pub user: User,
    /// The hash of its password, if it has one.
    #[sqlx(rename = "password_hash")]
    pub hash: Option<String>,
}

/// The account that this address belongs to: one query, whether there is one or not.
pub async fn find_by_address(conn: &mut Conn, address: &Address) -> Result<Option<Known>> {
    sql!(
        conn, fetch_optional Known,
        "select u.*, c.password_hash
        from users u left join credentials c on c.user_id = u.id
        where u.address_key = $1",
        users::key(address),
    )
}

/// The hash of the account's password, if it has one.
pub async fn find(conn: &mut Conn, user: OwnerId) -> Result<Option<String>> {
    let found = sql!(
        conn, fetch_optional One<String>,
        "select password_hash from credentials where user_id = $1", user,
    )?;
    Ok(found.map(|(hash,)| hash))
}

/// Gives the account a password, by its hash, in place of the one it has.
pub async fn put(tx: &mut Tx, user: OwnerId, hash: &str, now: DateTime<Utc>) -> Result<()> {
    sql!(
        tx,
        execute,
        "insert into credentials (user_id, password_hash, changed_at) values ($1, $2, $3)
        on conflict (user_id) do update
        set password_hash = excluded.password_hash, changed_at = excluded.changed_at",
        user,
        hash,
        now,
    )
    .map(|_| ())
}

/// Keeps the same password in a better form, unless it was changed meanwhile.
pub async fn upgrade(tx: &mut Tx, user: OwnerId, from: &str, to: &str) -> Result<()> {
    sql!(
        tx,
        execute,
        "update credentials set password_hash = $3 where user_id = $1 and password_hash = $2",
        user,
        from,
        to,
    )
    .map(|_| ())
}
