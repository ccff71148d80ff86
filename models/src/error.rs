//! What can go wrong, by what the caller can do about it.

use std::{io, result};

/// The result of every function here.
pub type Result<T, E = Error> = result::Result<T, E>;

/// Why a model function refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such row, or it belongs to somebody else. Names the kind of row.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The row is not in a state that allows this. A stable code, such as `task_live`.
    #[error("refused in the present state: {0}")]
    Conflict(&'static str),
    /// A value breaks a rule. `field` is a JSON pointer into the request, such as `/lessons`.
    #[error("{field} {reason}")]
    Invalid {
        /// JSON pointer to the value.
        field: String,
        /// What the value must be, to be read after its name: `must be at most 60`.
        reason: String,
    },
    /// The caller may not do this.
    #[error("not permitted")]
    Forbidden,
    /// The lease is no longer the caller's: somebody else owns the task, so stop at once.
    #[error("the lease of this attempt was lost")]
    Lost,
    /// The database failed or could not be reached.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// SQLSTATE classes and codes after which the same work may succeed a little later.
const PASSING: [&str; 9] = [
    "08", "53", "57P01", "57P02", "57P03", "57014", "55P03", "40001", "40P01",
];
/// SQLite's result codes busy and locked; the extended codes keep them in the low byte.
const PASSING_SQLITE: [i64; 2] = [5, 6];

impl Error {
    /// A value that breaks a rule, named by its JSON pointer.
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid {
            field: field.into(),
            reason: reason.into(),
        }
    }

    /// The database is out of reach, as somebody else has found out.
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self::Database(sqlx::Error::Io(io::Error::other(reason.into())))
    }

    /// Something is wrong that trying again does not help.
    pub fn broken(reason: impl Into<String>) -> Self {
        Self::Database(sqlx::Error::Protocol(reason.into()))
    }

    /// Whether the database is out of reach or overloaded, so that trying again later can help.
    ///
    /// True of a refused or broken connection, a pool without a free connection, a server that is
    /// shutting down, a statement that ran out of time and a deadlock.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Database(
                sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed
                | sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::BeginFailed,
            ) => true,
            Self::Database(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| is_passing(&code))
            }
            _ => false,
        }
    }

    /// Whether a unique constraint refused the row: somebody was first.
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(error)) if error.is_unique_violation())
    }
}

fn is_passing(code: &str) -> bool {
    // A SQLSTATE has five characters, SQLite's codes are shorter numbers.
    if code.len() == 5 {
        return PASSING.iter().any(|passing| code.starts_with(passing));
    }
    code.parse()
        .is_ok_and(|code: i64| PASSING_SQLITE.contains(&(code & 0xff)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreachable_database_is_recognised() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);

        assert!(Error::Database(sqlx::Error::PoolTimedOut).is_unavailable());
        assert!(Error::Database(sqlx::Error::Io(refused)).is_unavailable());
        assert!(!Error::Database(sqlx::Error::RowNotFound).is_unavailable());
        assert!(!Error::Lost.is_unavailable());
    }

    #[test]
    fn codes_that_pass_are_told_from_those_that_stay() {
        let passing = ["57P03", "53300", "40P01", "5", "261"];
        let staying = ["23505", "42601", "1", "2067"];

        assert!(passing.iter().all(|code| is_passing(code)));
        assert!(!staying.iter().any(|code| is_passing(code)));
    }
}
