//! Who did what, for operators.

use chrono::{DateTime, Utc};
use models::audit::{self, Entry, Filter};
use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi, param::Query};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    app::App,
    caller::{May, Permission},
    json::Json,
    page,
    problem::Problem,
    routes::Tag,
};

/// The operations on the audit log.
pub(crate) struct Audit;

#[OpenApi(tag = "Tag::Admin")]
impl Audit {
    /// Lists who did what to which subject, from where, newest first.
    #[oai(
        path = "/v1/admin/audit",
        method = "get",
        operation_id = "list_audit_entries"
    )]
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a parameter of the query"
    )]
    async fn list_audit_entries(
        &self,
        app: Data<&App>,
        _may: May<{ Permission::ReadAudit as u8 }>,
        /// Only what this account did.
        actor: Query<Option<Uuid>>,
        /// Only this, for example `user.suspended`.
        #[oai(validator(max_length = 100))]
        action: Query<Option<String>>,
        /// Only what was done to this, for example `users/ID`.
        #[oai(validator(max_length = 200))]
        subject: Query<Option<String>>,
        /// Not before this time.
        after: Query<Option<DateTime<Utc>>>,
        /// Before this time.
        before: Query<Option<DateTime<Utc>>>,
        /// Where to go on: `next` of the page before.
        #[oai(validator(minimum(value = "1")))]
        cursor: Query<Option<i64>>,
        /// How many, at most 100; 20 unless told.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<u32>>,
    ) -> Result<Listed, Problem> {
        let (_, limit) = page::bounds(None, limit.0)?;
        let filter = Filter {
            actor: actor.0.map(Into::into),
            action: action.0,
            subject: subject.0,
            after: after.0,
            before: before.0,
        };
        let mut conn = app.conn().await?;
        let mut entries = audit::list(&mut conn, &filter, cursor.0, limit).await?;
        let more = entries.len() > limit.rows();
        entries.truncate(limit.rows());
        let next = entries.last().filter(|_| more).map(|entry| entry.seq);
        let items = entries.into_iter().map(EntryView::from).collect();
        Ok(Listed::Ok(Json::new(Entries { items, next })))
    }
}

#[derive(ApiResponse)]
enum Listed {
    /// A page of entries.
    #[oai(status = 200)]
    Ok(Json<Entries>),
}

/// A page of the audit log, newest first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditPage")]
struct Entries {
    /// The entries of the page.
    items: Vec<EntryView>,
    /// The `cursor` of the next page; null on the last.
    next: Option<i64>,
}

/// Who did what to which subject, from where.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditEntry")]
struct EntryView {
    /// Its place in the log, from 1, without gaps.
    seq: i64,
    /// When it was done.
    at: DateTime<Utc>,
    /// The account that acted; null when nobody knows.
    actor_id: Option<String>,
    /// Who was behind it, when that was not its owner.
    impersonator_id: Option<String>,
    /// What was done.
    action: String,
    /// What it was done to; empty when there is nothing to name.
    subject: String,
    /// The address of the network that it came from.
    place: String,
    /// The request.
    request_id: Option<String>,
    /// The hash of all this and of the entry before.
    hash: String,
}

impl From<Entry> for EntryView {
    fn from(entry: Entry) -> Self {
        Self {
            seq: entry.seq,
            at: entry.at,
            actor_id: entry.actor_id.map(|id| id.to_string()),
            impersonator_id: entry.impersonator_id.map(|id| id.to_string()),
            action: entry.action,
            subject: entry.subject,
            place: entry.place,
            request_id: entry.request_id,
            hash: entry.hash,
        }
    }
}
