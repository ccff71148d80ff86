//! What the reader of an address wants to be written to about.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::{
    address::Address,
    db::{Conn, Tx},
    error::{Error, Result},
    sql,
    templates::Category,
};

/// The categories that can be refused, each with whether it is wanted. What nobody has decided is
/// wanted.
pub async fn list(conn: &mut Conn, address: &Address) -> Result<BTreeMap<Category, bool>> {
    let refusable = Category::ALL
        .iter()
        .filter(|one| **one != Category::Account);
    let mut preferences: BTreeMap<_, _> = refusable.map(|category| (*category, true)).collect();
    preferences.extend(sql!(
        conn,
        fetch_all(Category, bool),
        "select category, wanted from email_preferences where address = $1",
        address
    )?);
    Ok(preferences)
}

/// Whether mail of a category is wanted at an address.
pub async fn wants(conn: &mut Conn, address: &Address, category: Category) -> Result<bool> {
    let preferences = list(conn, address).await?;
    Ok(preferences.get(&category).copied().unwrap_or(true))
}

/// Decides on a category. What the account cannot do without cannot be refused.
pub async fn put(
    tx: &mut Tx,
    address: &Address,
    category: Category,
    wanted: bool,
    now: DateTime<Utc>,
) -> Result<()> {
    if category == Category::Account {
        return Err(Error::invalid("", "cannot be refused"));
    }
    sql!(
        tx,
        execute,
        "insert into email_preferences (address, category, wanted, updated_at)
        values ($1, $2, $3, $4)
        on conflict (address, category) do update
        set wanted = excluded.wanted, updated_at = excluded.updated_at",
        address,
        category,
        wanted,
        now,
    )
    .map(|_| ())
}
