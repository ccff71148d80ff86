//! Mail: what is to be said to whom. What became of it is an effect.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::types::Json;
use uuid::Uuid;

use crate::{
    address::{Address, is_unsafe, person},
    db::{Conn, Tx},
    effects::{Key, Kind, State},
    error::{Error, Result},
    id::{EmailId, OwnerId, TaskId},
    page::{Cursor, Limit, Page},
    sql,
    templates::{Category, Template},
    words,
};

/// Attachments of one mail at most.
pub const ATTACHMENTS_MAX: usize = 5;
/// Bytes of all attachments of one mail at most, decoded.
pub const ATTACHMENTS_BYTES_MAX: usize = 32 * 1024;
/// The longest name of an attachment, in characters.
pub const FILE_NAME_CHARS_MAX: usize = 100;
/// The longest language tag.
const LANGUAGE_BYTES_MAX: usize = 35;

words! {
    /// What may be attached: nothing that runs when it is opened.
    MediaType {
        /// A plain text.
        Text = "text/plain",
        /// A text with light marks.
        Markdown = "text/markdown",
        /// A table.
        Csv = "text/csv",
        /// An event for a calendar.
        Calendar = "text/calendar",
        /// A document to print.
        Pdf = "application/pdf",
        /// A picture.
        Png = "image/png",
        /// A photograph.
        Jpeg = "image/jpeg",
    }
}

/// A file that goes with a mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// Its name: 1 to 100 characters, no path.
    pub name: String,
    /// What it is.
    pub media_type: MediaType,
    /// Its bytes, in base64 with padding.
    pub base64: String,
}

impl Attachment {
    /// Its bytes.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let decoded = STANDARD.decode(&self.base64);
        decoded.map_err(|_| Error::invalid("/base64", "must be base64 with padding"))
    }
}

/// A mail to be sent.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Which letter.
    pub template: Template,
    /// What stands in it.
    pub variables: Map<String, Value>,
    /// Who gets it.
    pub to: Address,
    /// How that person is called.
    pub name: Option<String>,
    /// In which language, a tag of BCP 47; one that no letter is written in gives English.
    pub language: String,
    /// What goes with it.
    pub attachments: Vec<Attachment>,
}

impl Letter {
    /// The letter with its texts trimmed, or the first rule it breaks, by JSON pointer.
    pub fn validate(mut self) -> Result<Self> {
        let below = |pointer: &str, error: Error| match error {
            Error::Invalid { field, reason } => Error::invalid(format!("{pointer}{field}"), reason),
            other => other,
        };
        let template = self.template;
        template
            .check(&self.variables)
            .map_err(|error| below("/variables", error))?;
        if let Some(name) = &self.name {
            self.name = Some(person(name).map_err(|error| below("/name", error))?);
        }
        check_language(&self.language)?;
        check_attachments(&self.attachments)?;
        Ok(self)
    }
}

/// Refuses a text that has not the form of a language tag (BCP 47), of at most 35 bytes.
pub(crate) fn check_language(tag: &str) -> Result<()> {
    let subtag = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    if tag.len() <= LANGUAGE_BYTES_MAX && tag.split('-').all(subtag) {
        return Ok(());
    }
    let reason = "must be a language tag such as en or pt-BR";
    Err(Error::invalid("/language", reason))
}

fn check_attachments(attachments: &[Attachment]) -> Result<()> {
    if attachments.len() > ATTACHMENTS_MAX {
        return Err(Error::invalid("/attachments", "must be at most 5"));
    }
    let mut total = 0;
    for (index, attachment) in attachments.iter().enumerate() {
        let plain = |c: char| !is_unsafe(c) && !matches!(c, '/' | '\\' | '"' | ':');
        let length = attachment.name.chars().count();
        let named = (1..=FILE_NAME_CHARS_MAX).contains(&length)
            && !attachment.name.starts_with('.')
            && attachment.name.chars().all(plain);
        if !named {
            return Err(Error::invalid(
                format!("/attachments/{index}/name"),
                "must be a plain file name of 1 to 100 characters",
            ));
        }
        let bytes = attachment.bytes().map_err(|_| {
            Error::invalid(
                format!("/attachments/{index}/base64"),
                "must be base64 with padding",
            )
        })?;
        total += bytes.len();
    }
    if total > ATTACHMENTS_BYTES_MAX {
        return Err(Error::invalid(
            "/attachments",
            "must be at most 32768 bytes in all",
        ));
    }
    Ok(())
}

words! {
    /// Where a mail stands, for those who look at it.
    Status {
        /// It will be sent.
        Queued = "queued",
        /// It is being sent, or was and nobody knows the answer yet.
        Sending = "sending",
        /// It is not sent: its receiver does not want it, or cannot be reached.
        Withheld = "withheld",
        /// It will not be sent: the provider refused it, or its task ended before.
        Failed = "failed",
        /// The provider took it.
        Sent = "sent",
        /// It arrived.
        Delivered = "delivered",
        /// It came back.
        Bounced = "bounced",
        /// Its receiver called it spam.
        Complained = "complained",
        /// It may have been sent or not, and is not sent again.
        Unknown = "unknown",
    }
}

/// A row of `emails`, with the effect and the task that belong to it.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Email {
    /// Its id.
    pub id: EmailId,
    /// Whose it is.
    pub owner_id: OwnerId,
    /// The task that sends it.
    pub task_id: Option<TaskId>,
    /// Which letter.
    pub template: Template,
    /// What it is about.
    pub category: Category,
    /// The language that was asked for.
    pub language: String,
    /// Who gets it.
    pub recipient: Address,
    /// How that person is called.
    pub recipient_name: Option<String>,
    /// What stands in it, an object.
    #[sqlx(json)]
    pub variables: Map<String, Value>,
    /// What goes with it.
    #[sqlx(json)]
    pub attachments: Vec<Attachment>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// How far its effect is.
    pub effect: Option<State>,
    /// Who was asked to carry it.
    pub provider: Option<String>,
    /// What the provider calls it.
    pub provider_id: Option<String>,
    /// Why it was refused, withheld or bounced.
    pub detail: Option<String>,
    /// Whether its task has not ended.
    pub live: bool,
}

impl Email {
    /// The name of its effect.
    pub fn key(&self) -> Key {
        key(self.id)
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        match self.effect {
            None | Some(State::Refused) if self.live => Status::Queued,
            None | Some(State::Refused) => Status::Failed,
            Some(State::Intent) => Status::Sending,
            Some(State::Withheld) => Status::Withheld,
            Some(State::Sent) => Status::Sent,
            Some(State::Delivered) => Status::Delivered,
            Some(State::Bounced) => Status::Bounced,
            Some(State::Complained) => Status::Complained,
            Some(State::Unknown) => Status::Unknown,
        }
    }
}

/// The name of the effect of a mail.
pub fn key(id: EmailId) -> Key {
    Key {
        kind: Kind::Email,
        subject: Uuid::from(id),
    }
}

/// Stores a valid letter. Its task is to be attached in the same transaction.
pub async fn create(
    tx: &mut Tx,
    owner: OwnerId,
    letter: &Letter,
    now: DateTime<Utc>,
) -> Result<EmailId> {
    let id = EmailId::new();
    sql!(
        tx,
        execute,
        "insert into emails (id, owner_id, template, category, language, recipient,
            recipient_name, variables, attachments, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        id,
        owner,
        letter.template,
        letter.template.category(),
        &letter.language,
        &letter.to,
        &letter.name,
        Json(&letter.variables),
        Json(&letter.attachments),
        now,
    )?;
    Ok(id)
}

/// Names the task that sends the mail.
pub async fn attach(tx: &mut Tx, id: EmailId, task: TaskId) -> Result<()> {
    let rows = sql!(
        tx,
        execute,
        "update emails set task_id = $2 where id = $1",
        id,
        task
    )?;
    if rows == 0 {
        return Err(Error::NotFound("email"));
    }
    Ok(())
}

/// A mail of this owner, or `NotFound`.
pub async fn get(conn: &mut Conn, owner: OwnerId, id: EmailId) -> Result<Email> {
    match get_any(conn, id).await? {
        email if email.owner_id == owner => Ok(email),
        _ => Err(Error::NotFound("email")),
    }
}

/// A mail whoever owns it, or `NotFound`: for those who send it.
pub async fn get_any(conn: &mut Conn, id: EmailId) -> Result<Email> {
    sql!(
        conn, fetch_optional Email,
        "select e.*, f.state as effect, f.provider, f.provider_id, f.detail,
            coalesce(t.state in ('queued', 'running', 'waiting'), false) as live
        from emails e
        left join effects f on f.kind = 'email' and f.subject_id = e.id
        left join tasks t on t.id = e.task_id
        where e.id = $1",
        id,
    )?
    .ok_or(Error::NotFound("email"))
}

/// The mails of an owner, newest first, from the cursor on.
pub async fn list(
    conn: &mut Conn,
    owner: OwnerId,
    after: Option<Cursor>,
    limit: Limit,
) -> Result<Page<Email>> {
    let after = after.unwrap_or_else(Cursor::start);
    let rows = sql!(
        conn, fetch_all Email,
        "select e.*, f.state as effect, f.provider, f.provider_id, f.detail,
            coalesce(t.state in ('queued', 'running', 'waiting'), false) as live
        from emails e
        left join effects f on f.kind = 'email' and f.subject_id = e.id
        left join tasks t on t.id = e.task_id
        where e.owner_id = $1 and (e.created_at, e.id) < ($2, $3)
        order by e.created_at desc, e.id desc
        limit $4",
        owner, after.created_at, after.id, limit.and_one(),
    )?;
    Ok(Page::new(rows, limit, |email| Cursor {
        created_at: email.created_at,
        id: email.id.into(),
    }))
}
