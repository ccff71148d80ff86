//! Mail: ask for one, see what became of it, look at what can be sent.

pub(crate) mod letter;
pub(crate) mod templates;
pub(crate) mod view;

use jobs::{Priority, kinds::SendEmail, store::Options};
use models::emails;
use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Header, Path, Query},
};
use uuid::Uuid;

use self::{letter::LetterBody, view::EmailView};
use super::{Tag, tasks::answer::Submitted};
use crate::{
    app::App,
    body::Body,
    caller::{Caller, May, Permission},
    codes,
    idempotency::{Attempt, Replay},
    json::Json,
    page::{self, PageView},
    problem::Problem,
    request::{RequestContext, wait},
};

/// The operations on mail.
pub(crate) struct Emails;

#[OpenApi(tag = "Tag::Emails")]
impl Emails {
    /// Sends a letter to somebody.
    ///
    /// The answer is the task that sends it, whose `links.subject` is the mail. It is sent once; if
    /// a crash leaves a doubt whether it was, it is not sent again, and its `status` says so.
    #[oai(path = "/v1/emails", method = "post", operation_id = "send_email")]
    async fn send_email(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::SendEmails as u8 }>,
        context: RequestContext,
        /// Required: repeating a request with its key sends nothing twice.
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<String>>,
        /// `wait=SECONDS`, at most 60.
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        body: Body<LetterBody>,
    ) -> Result<Submitted, Problem> {
        if key.is_none() {
            let code = &codes::IDEMPOTENCY_KEY_REQUIRED;
            return Err(Problem::new(code, code.meaning));
        }
        let attempt = Attempt::new(caller, "send_email", key.as_deref(), &body.fingerprint)?;
        let letter = body.value.into_letter()?;
        let (mut tx, now) = (app.begin().await?, app.db.now());
        if let Some(replay) = attempt.claim(&mut tx, now).await? {
            drop(tx);
            return Submitted::again(&app, caller, replay, wait(prefer.as_deref())).await;
        }
        let task = SendEmail::submit(&mut tx, letter, options(caller, context), now).await?;
        attempt.answer(&mut tx, &Replay::Task(task.id)).await?;
        tx.commit().await?;
        Submitted::first(&app, caller, task, wait(prefer.as_deref())).await
    }

    /// Lists the caller's mail, newest first.
    #[oai(path = "/v1/emails", method = "get", operation_id = "list_emails")]
    async fn list_emails(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ReadEmails as u8 }>,
        /// Where to go on: `next` of the page before.
        #[oai(validator(pattern = "^0[0-9a-f]{47}$"))]
        cursor: Query<Option<String>>,
        /// How many, at most 100; 20 unless told.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<u32>>,
    ) -> Result<Listed, Problem> {
        let (cursor, limit) = page::bounds(cursor.as_deref(), limit.0)?;
        let mut conn = app.conn().await?;
        let page = emails::list(&mut conn, caller.owner, cursor, limit).await?;
        Ok(Listed::Ok(Json::new(PageView::of(page, EmailView::of))))
    }

    /// Reads a mail, with what became of it.
    #[oai(path = "/v1/emails/:id", method = "get", operation_id = "get_email")]
    async fn get_email(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ReadEmails as u8 }>,
        /// The id of the mail.
        id: Path<Uuid>,
    ) -> Result<Read, Problem> {
        let mut conn = app.conn().await?;
        let email = emails::get(&mut conn, caller.owner, id.0.into()).await?;
        Ok(Read::Ok(Json::new(EmailView::of(email))))
    }
}

/// Somebody waits for the mail, so it goes before work in bulk.
fn options(caller: Caller, context: RequestContext) -> Options {
    Options {
        priority: Priority::Interactive,
        request_id: Some(context.request_id),
        trace_id: context.trace_id,
        ..Options::by(caller.owner)
    }
}

#[derive(ApiResponse)]
enum Listed {
    /// A page of mail.
    #[oai(status = 200)]
    Ok(Json<PageView<EmailView>>),
}

#[derive(ApiResponse)]
enum Read {
    /// The mail as it is now.
    #[oai(status = 200)]
    Ok(Json<EmailView>),
}
