//! The letters about accounts: asked for in the transaction of what they are about.

use chrono::{DateTime, Utc};
use jobs::{Priority, Task, kinds::SendEmail, store::Options};
use models::{Address, OwnerId, Tx, emails::Letter, templates::Template, users::User};
use serde_json::{Map, Value, json};
use tracing::warn;

use crate::{app::App, place::Place, problem::Problem, request::RequestContext};

/// Who gets a letter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'r> {
    /// Whose mail it is.
    pub(crate) owner: OwnerId,
    /// Where it goes.
    pub(crate) address: &'r Address,
    /// How the reader is called.
    pub(crate) name: &'r str,
    /// The language to write in.
    pub(crate) language: &'r str,
}

impl<'r> From<&'r User> for Reader<'r> {
    fn from(user: &'r User) -> Self {
        Self {
            owner: user.id,
            address: &user.address,
            name: &user.name,
            language: &user.language,
        }
    }
}

/// Something that matters for the safety of an account.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// Somebody asked for an account with its address.
    Registered,
    /// The password is another one.
    PasswordChanged,
    /// The account has moved to another address.
    AddressChanged,
    /// A refresh token came twice.
    TokenReused,
    /// A key for machines was made.
    KeyCreated,
    /// Signing in takes a code from now on.
    SecondFactorOn,
    /// Signing in takes no code any more.
    SecondFactorOff,
    /// Somebody signed in with a recovery code.
    RecoveryCodeUsed,
    /// There are other recovery codes.
    RecoveryCodesRenewed,
}

impl Event {
    fn words(self, german: bool) -> &'static str {
        match (self, german) {
            (Self::Registered, false) => "Somebody tried to register with your address",
            (Self::Registered, true) => "Jemand wollte sich mit Ihrer Adresse registrieren",
            (Self::PasswordChanged, false) => "Your password was changed",
            (Self::PasswordChanged, true) => "Ihr Passwort wurde geändert",
            (Self::AddressChanged, false) => "Your mail address was changed",
            (Self::AddressChanged, true) => "Ihre Mailadresse wurde geändert",
            (Self::TokenReused, false) => "A session was ended because its token was copied",
            (Self::TokenReused, true) => "Eine Sitzung wurde beendet, weil ihr Token kopiert wurde",
            (Self::KeyCreated, false) => "A key for programs was made for your account",
            (Self::KeyCreated, true) => "Für Ihr Konto wurde ein Schlüssel für Programme erstellt",
            (Self::SecondFactorOn, false) => "Signing in takes a code besides your password now",
            (Self::SecondFactorOn, true) => {
                "Die Anmeldung verlangt jetzt neben dem Passwort einen Code"
            }
            (Self::SecondFactorOff, false) => "Signing in takes no code any more",
            (Self::SecondFactorOff, true) => "Die Anmeldung verlangt keinen Code mehr",
            (Self::RecoveryCodeUsed, false) => "Somebody signed in with one of your recovery codes",
            (Self::RecoveryCodeUsed, true) => {
                "Jemand hat sich mit einem Ihrer Ersatzcodes angemeldet"
            }
            (Self::RecoveryCodesRenewed, false) => "Your recovery codes were replaced",
            (Self::RecoveryCodesRenewed, true) => "Ihre Ersatzcodes wurden ersetzt",
        }
    }
}

/// Tells of something that has happened to an account and stands, whether a mail can be asked for at the
/// moment or not: what secures an account must not wait for the queue of mails.
pub(crate) async fn tell(
    app: &App,
    user: &User,
    event: Event,
    place: &Place,
    context: &RequestContext,
) {
    let telling = async {
        let (mut tx, now) = (app.begin().await?, app.db.now());
        let task = notice(&mut tx, user.into(), event, place, context, now).await?;
        tx.commit().await?;
        app.bell.tell(&task, now);
        Ok::<_, Problem>(())
    };
    if let Err(problem) = telling.await {
        warn!(cause = problem.cause, user.id = %user.id, "Nobody is told of {event:?}: {problem}");
    }
}

/// Tells of something that happened to the account.
pub(crate) async fn notice(
    tx: &mut Tx,
    reader: Reader<'_>,
    event: Event,
    place: &Place,
    context: &RequestContext,
    now: DateTime<Utc>,
) -> Result<Task, Problem> {
    let german = reader.language.split('-').next() == Some("de");
    let variables = json!({
        "name": reader.name,
        "event": event.words(german),
        "time": now.format("%Y-%m-%d %H:%M UTC").to_string(),
        "place": place.address,
    });
    post(
        tx,
        Template::SecurityNotice,
        &variables,
        reader,
        context,
        now,
    )
    .await
}

/// Sends a letter whose link proves that its reader reads that mailbox.
pub(crate) async fn link(
    tx: &mut Tx,
    template: Template,
    reader: Reader<'_>,
    context: &RequestContext,
    now: DateTime<Utc>,
) -> Result<Task, Problem> {
    post(
        tx,
        template,
        &json!({"name": reader.name}),
        reader,
        context,
        now,
    )
    .await
}

async fn post(
    tx: &mut Tx,
    template: Template,
    variables: &Value,
    reader: Reader<'_>,
    context: &RequestContext,
    now: DateTime<Utc>,
) -> Result<Task, Problem> {
    let letter = Letter {
        template,
        variables: variables.as_object().map_or_else(Map::new, Clone::clone),
        to: reader.address.clone(),
        name: Some(reader.name.to_owned()),
        language: reader.language.to_owned(),
        attachments: Vec::new(),
    };
    // Somebody waits for the mail.
    let options = Options {
        priority: Priority::Interactive,
        request_id: Some(context.request_id.clone()),
        trace_id: context.trace_id.clone(),
        ..Options::by(reader.owner)
    };
    Ok(SendEmail::submit(tx, letter, options, now).await?)
}
