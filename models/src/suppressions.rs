//! Addresses that get nothing any more, whoever writes.

use chrono::{DateTime, Utc};

use crate::{
    address::Address,
    db::{Conn, Tx},
    error::Result,
    sql,
    sql::One,
    templates::Category,
    words,
};

words! {
    /// Why an address gets nothing.
    Reason {
        /// Mail to it came back for good.
        Bounce = "bounce",
        /// Its reader called a mail spam.
        Complaint = "complaint",
        /// Its reader wants none.
        Unsubscribe = "unsubscribe",
    }
}

/// Remembers that an address gets nothing. Again changes nothing.
pub async fn create(
    tx: &mut Tx,
    address: &Address,
    reason: Reason,
    now: DateTime<Utc>,
) -> Result<()> {
    sql!(
        tx,
        execute,
        "insert into suppressions (address, reason, created_at) values ($1, $2, $3)
        on conflict (address, reason) do nothing",
        address,
        reason,
        now,
    )
    .map(|_| ())
}

/// Forgets why an address got nothing: its owner has asked for mail again. Answers whether it was
/// suppressed.
pub async fn delete(tx: &mut Tx, address: &Address) -> Result<bool> {
    let rows = sql!(
        tx,
        execute,
        "delete from suppressions where address = $1",
        address
    )?;
    Ok(rows > 0)
}

/// Why an address gets no mail of this category, if it does not.
///
/// A mailbox that does not exist gets nothing at all; a reader who wants no mail still gets what the
/// account cannot do without, such as a new password.
pub async fn find(
    conn: &mut Conn,
    address: &Address,
    category: Category,
) -> Result<Option<Reason>> {
    let reasons = sql!(
        conn,
        fetch_all One<Reason>,
        "select reason from suppressions where address = $1 order by reason",
        address
    )?;
    let applies = |reason: &Reason| *reason == Reason::Bounce || category != Category::Account;
    Ok(reasons.into_iter().map(|(reason,)| reason).find(applies))
}
