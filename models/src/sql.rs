//! The macro that runs one SQL text on either database.

use serde::{Serialize, Serializer, ser::SerializeSeq as _};
use sqlx::{
    Encode, Postgres, Sqlite, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgTypeInfo},
    sqlite::{SqliteArgumentsBuffer, SqliteTypeInfo},
    types::Json,
};
use uuid::Uuid;

/// Runs a SQL literal on whichever database the connection belongs to.
///
/// `sql!(conn, execute, "...", args)` answers the number of rows changed; `fetch_one`,
/// `fetch_optional` and `fetch_all` answer rows of the type that follows. The text is a literal, so
/// injection cannot be written. Where the two databases need different words, write
/// `postgres "...", sqlite "..."`: both take the same arguments, and a test runs both.
#[macro_export]
macro_rules! sql {
    ($conn:expr, execute, postgres $postgres:literal, sqlite $sqlite:literal $(, $arg:expr)* $(,)?) => {
        $crate::sql!(@ $conn, $postgres, $sqlite, (text, c) =>
            $crate::macros::sqlx::query(text)$(.bind($arg))*
                .execute(c).await.map(|done| done.rows_affected()))
    };
    ($conn:expr, execute, $text:literal $(, $arg:expr)* $(,)?) => {
        $crate::sql!($conn, execute, postgres $text, sqlite $text $(, $arg)*)
    };
    ($conn:expr, $fetch:ident $row:ty, postgres $postgres:literal, sqlite $sqlite:literal $(, $arg:expr)* $(,)?) => {
        $crate::sql!(@ $conn, $postgres, $sqlite, (text, c) =>
            $crate::macros::sqlx::query_as::<_, $row>(text)$(.bind($arg))*.$fetch(c).await)
    };
    ($conn:expr, $fetch:ident $row:ty, $text:literal $(, $arg:expr)* $(,)?) => {
        $crate::sql!($conn, $fetch $row, postgres $text, sqlite $text $(, $arg)*)
    };
    (@ $conn:expr, $postgres:literal, $sqlite:literal, ($text:ident, $c:ident) => $body:expr) => {
        match $conn.raw() {
            $crate::db::Raw::Postgres($c) => { let $text = $postgres; $body }
            $crate::db::Raw::Sqlite($c) => { let $text = $sqlite; $body }
        }
        .map_err($crate::Error::Database)
    };
}

/// A row of one value. `(T,)` is the same, but rustfmt takes the comma out of it in a macro call.
pub type One<T> = (T,);

/// A set of ids as one argument: `= any($1)` in PostgreSQL,
/// `in (select unhex(value) from json_each($1))` in SQLite.
#[derive(Clone, Debug)]
pub struct Ids(Vec<Uuid>);

impl<T: Into<Uuid>> FromIterator<T> for Ids {
    fn from_iter<I: IntoIterator<Item = T>>(ids: I) -> Self {
        Self(ids.into_iter().map(Into::into).collect())
    }
}

impl Serialize for Ids {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        for id in &self.0 {
            seq.serialize_element(&id.simple())?;
        }
        seq.end()
    }
}

impl Type<Postgres> for Ids {
    fn type_info() -> PgTypeInfo {
        <Vec<Uuid> as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for Ids {
    fn encode_by_ref(&self, buf: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <Vec<Uuid> as Encode<'_, Postgres>>::encode_by_ref(&self.0, buf)
    }
}

impl Type<Sqlite> for Ids {
    fn type_info() -> SqliteTypeInfo {
        <Json<Self> as Type<Sqlite>>::type_info()
    }
}

impl Encode<'_, Sqlite> for Ids {
    fn encode_by_ref(&self, buf: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Sqlite>::encode(Json(self), buf)
    }
}
