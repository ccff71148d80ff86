//! What happened, in order: one JSON object a line.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};
use models::{Db, TaskId};
use serde::Serialize;

use super::process::Role;

/// One of the servers between the processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Server {
    /// The database.
    Postgres,
    /// The bell.
    Redis,
}

/// One thing that happened. A request is known by the number of its task.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub(crate) enum What {
    /// A request is about to be sent.
    Invoke { number: i64 },
    /// It was acknowledged with this task.
    Ok {
        number: i64,
        id: TaskId,
        took_ms: u64,
    },
    /// It was refused: nothing has happened.
    Fail {
        number: i64,
        status: u16,
        code: String,
        took_ms: u64,
    },
    /// Nobody knows whether it was heard.
    Info {
        number: i64,
        reason: String,
        took_ms: u64,
    },
    /// A poll saw a task so.
    Seen {
        id: TaskId,
        state: String,
        done: bool,
        version: i64,
        attempt: i64,
    },
    /// A poll saw that there is no such task.
    Gone { id: TaskId },
    /// A poisoned task was enqueued.
    Poisoned { id: TaskId },
    /// A task was asked to stop.
    Cancelled { id: TaskId },
    /// A process is killed.
    Killed { process: String, role: Role },
    /// A process ended by itself.
    Ended { process: String, role: Role },
    /// A server goes.
    Down { server: Server },
    /// A server is back.
    Up { server: Server },
    /// Redis is emptied.
    Flushed,
    /// An API said whether it is ready.
    Ready { api: u32, ready: bool },
}

/// One thing and its time, by the database's clock.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// The history: a handle to share, cheap to clone.
#[derive(Clone)]
pub(crate) struct History {
    db: Db,
    log: Arc<Mutex<Log>>,
}

struct Log {
    entries: Vec<Entry>,
    file: BufWriter<File>,
}

impl History {
    /// An empty history that is also written to a file.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(crate) fn create(db: Db, file: &Path) -> anyhow::Result<Self> {
        let log = Log {
            entries: Vec::new(),
            file: BufWriter::new(File::create_new(file)?),
        };
        Ok(Self {
            db,
            log: Arc::new(Mutex::new(log)),
        })
    }

    /// The time as the history has it.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.db.now()
    }

    /// Notes what happened just now.
    pub(crate) fn note(&self, what: What) {
        let entry = Entry {
            at: self.now(),
            what,
        };
        let mut log = self.log();
        // The file is for people: the verdict rests on what is kept here.
        let line = serde_json::to_string(&entry).unwrap_or_default();
        let _ = writeln!(log.file, "{line}");
        log.entries.push(entry);
    }

    /// Everything so far.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let mut log = self.log();
        let _ = log.file.flush();
        log.entries.clone()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
