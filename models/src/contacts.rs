//! Where an owner is reached.

use chrono::{DateTime, Utc};

use crate::{
    address::{Address, person},
    db::{Conn, Tx},
    emails::check_language,
    error::{Error, Result},
    id::OwnerId,
    sql,
};

/// A row of `contacts`.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Contact {
    /// Who is reached.
    pub owner_id: OwnerId,
    /// Where.
    pub address: Address,
    /// How that person is called.
    pub name: Option<String>,
    /// The language that they read, a tag of BCP 47.
    pub language: String,
    /// Since when something is known.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// Where an owner is reached, if anybody knows.
pub async fn find(conn: &mut Conn, owner: OwnerId) -> Result<Option<Contact>> {
    sql!(
        conn, fetch_optional Contact,
        "select * from contacts where owner_id = $1", owner,
    )
}

/// Says where an owner is reached, in place of what was known. The name is trimmed; a name or a
/// language that cannot stand in a mail is refused.
pub async fn put(
    tx: &mut Tx,
    owner: OwnerId,
    address: &Address,
    name: Option<&str>,
    language: &str,
    now: DateTime<Utc>,
) -> Result<Contact> {
    let name = check(name, language)?;
    sql!(
        tx, fetch_one Contact,
        "insert into contacts (owner_id, address, name, language, created_at, updated_at)
        values ($1, $2, $3, $4, $5, $5)
        on conflict (owner_id) do update
        set address = excluded.address, name = excluded.name, language = excluded.language,
            updated_at = excluded.updated_at
        returning *",
        owner, address, name, language, now,
    )
}

/// Calls an owner otherwise, by a name and a language that are valid; where nothing is known, nothing is.
pub async fn rename(
    tx: &mut Tx,
    owner: OwnerId,
    name: &str,
    language: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    sql!(
        tx,
        execute,
        "update contacts set name = $2, language = $3, updated_at = $4 where owner_id = $1",
        owner,
        name,
        language,
        now,
    )
    .map(|_| ())
}

/// Reaches an owner elsewhere; whoever wants no mail gets none there either.
pub async fn move_to(
    tx: &mut Tx,
    owner: OwnerId,
    address: &Address,
    now: DateTime<Utc>,
) -> Result<()> {
    sql!(
        tx,
        execute,
        "update contacts set address = $2, updated_at = $3 where owner_id = $1",
        owner,
        address,
        now,
    )
    .map(|_| ())
}

/// The name, trimmed. Refuses a name or a language that cannot stand in a mail.
pub fn check(name: Option<&str>, language: &str) -> Result<Option<String>> {
    let name = name.map(person).transpose();
    let name =
        name.map_err(|_| Error::invalid("/name", "must be one plain line of 1 to 100 characters"))?;
    check_language(language)?;
    Ok(name)
}

/// Forgets where an owner is reached. Answers whether anything was known.
pub async fn delete(tx: &mut Tx, owner: OwnerId) -> Result<bool> {
    let rows = sql!(
        tx,
        execute,
        "delete from contacts where owner_id = $1",
        owner
    )?;
    Ok(rows > 0)
}
