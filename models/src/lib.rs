//! Rows, SQL and domain rules of Lyo over SQLite and PostgreSQL.
//!
//! Functions that read take `&mut Conn`; functions that write take `&mut Tx`, so that a change and
//! whatever must be true with it (a task, an event, an idempotency key) commit together. Times come
//! from [`db::Db::now`], ids are made here.

// The macros below name this crate the way other crates do.
extern crate self as models;

pub mod address;
pub mod address_changes;
pub mod api_keys;
pub mod audit;
pub mod blobs;
pub mod breached;
pub mod brief;
mod clock;
pub mod contacts;
pub mod content;
pub mod courses;
pub mod credentials;
pub mod db;
pub mod effects;
pub mod email_events;
pub mod emails;
pub mod error;
pub mod export;
pub mod file_types;
pub mod file_usage;
pub mod file_variants;
pub mod files;
pub mod id;
pub mod idempotency;
pub mod lessons;
pub mod modules;
mod outline;
pub mod page;
pub mod passwords;
pub mod preferences;
pub mod registrations;
pub mod roles;
mod script;
pub mod second_factors;
pub mod sessions;
pub mod signing_keys;
pub mod sizes;
pub mod sql;
pub mod suppressions;
pub mod templates;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tokens;
pub mod totp;
pub mod uploads;
pub mod users;
pub mod word;

pub use address::Address;
pub use db::{Conn, Db, DbOptions, Tx};
pub use error::{Error, Result};
pub use id::{
    CourseId, EmailId, FileId, LessonId, ModuleId, OwnerId, ScheduleId, SessionId, TaskId, UploadId,
};
pub use page::{Cursor, Limit, Page};

/// For the expansion of this crate's macros in other crates.
#[doc(hidden)]
pub mod macros {
    pub use {serde, sqlx, uuid};
}
