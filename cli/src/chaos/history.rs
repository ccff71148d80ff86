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

/// One of the servers between the processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Server {
    /// The database.
    Postgres,
    /// The bell.
    Redis,
}

/// One thing that happened. A request is known by the number of its first task.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub(crate) enum What {
    /// A request is about to be sent.
    Invoke { first: i64, count: u32 },
    /// It was acknowledged with these tasks.
    Ok { first: i64, ids: Vec<TaskId>, took_ms: u64 },
    /// It was refused: nothing has happened.
    Fail { first: i64, status: u16, code: String, took_ms: u64 },
    /// Nobody knows whether it was heard.
    Info { first: i64, reason: String, took_ms: u64 },
    /// A poll saw a task so.
    Seen { id: TaskId, state: String, done: bool, version: i64, attempt: i64 },
    /// A poisoned task was enqueued.
    Poisoned { id: TaskId },
    /// A process was killed by us.
    Killed { process: String },
    /// A process ended by itself.
    Ended { process: String },
    /// A server has gone.
    Down { server: Server },
    /// A server is back.
    Up { server: Server },
    /// An API said whether it is ready.
    Ready { api: usize, ready: bool },
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
        self.note_at(self.now(), what);
    }

    /// Notes what happened then.
    pub(crate) fn note_at(&self, at: DateTime<Utc>, what: What) {
        let entry = Entry { at, what };
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
