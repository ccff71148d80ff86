//! What can be broken.

use std::{fmt, time::Duration};

/// Something that is broken. The numbers choose a victim, modulo the number of candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `kill -9` of a worker.
    KillWorker(u32),
    /// `kill -9` of an API.
    KillApi(u32),
    /// Redis loses everything and every connection.
    RestartRedis,
    /// Redis loses everything.
    FlushRedis,
    /// Redis is away for so long.
    RedisOutage(Duration),
    /// PostgreSQL crashes and stays away for so long.
    StopPostgres(Duration),
    /// A task comes that aborts its process.
    Poison,
}

impl Fault {
    /// How long it lasts.
    pub(crate) fn length(self) -> Duration {
        match self {
            Self::RedisOutage(length) | Self::StopPostgres(length) => length,
            _ => Duration::ZERO,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KillWorker(pick) => write!(f, "kill -9 of worker {pick}"),
            Self::KillApi(pick) => write!(f, "kill -9 of API {pick}"),
            Self::RestartRedis => f.write_str("Redis is killed and started again"),
            Self::FlushRedis => f.write_str("Redis: FLUSHALL"),
            Self::RedisOutage(length) => write!(f, "Redis is away for {} s", length.as_secs()),
            Self::StopPostgres(length) => {
                write!(
                    f,
                    "PostgreSQL is stopped at once, for {} s",
                    length.as_secs()
                )
            }
            Self::Poison => f.write_str("a task that aborts its process"),
        }
    }
}
