//! How accounts begin: somebody asks, and the mail is answered.
//!
//! The answer to a request is the same whether the address has an account or not, and so is the work:
//! what differs is the letter, which only the owner of the mailbox reads.

use models::{
    Error, OwnerId,
    address_changes::{self, Confirmed},
    audit::{self, Action},
    contacts,
    registrations::{self, MAILS_MAX, Registration},
    templates::Template,
    tokens::{self, Purpose},
    users::{self, User},
};
use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    sessions::deed,
    words::{self, Password, Token},
};
use crate::{
    app::App,
    body::Body,
    caller::Public,
    codes,
    json::Json,
    letters::{self, Event, Reader},
    limits::{LINKS, REGISTRATIONS},
    place::Place,
    problem::Problem,
    request::RequestContext,
    routes::Tag,
};

/// The operations that begin accounts.
pub(crate) struct Registrations;

#[OpenApi(tag = "Tag::Accounts")]
impl Registrations {
    /// Asks for an account.
    ///
    /// A mail goes to the address; the account is there once its link is followed (`verify`). The
    /// answer does not tell whether the address has an account: the mail does.
    #[oai(path = "/v1/register", method = "post", operation_id = "register")]
    async fn register(
        &self,
        app: Data<&App>,
        _public: Public,
        place: Place,
        context: RequestContext,
        body: Body<NewAccount>,
    ) -> Result<Asked, Problem> {
        app.admit(REGISTRATIONS, &place.key()).await?;
        let (new, password) = (body.value.check()?, body.value.password.expose());
        let about = [new.name.as_str(), new.address.as_str()];
        let password_hash = app.passwords.hash_new(password, &about).await?;
        let registration = Registration {
            password_hash,
            ..new
        };
        let (mut tx, now) = (app.begin().await?, app.db.now());
        let earlier = registrations::count(&mut tx, &registration.address, now).await?;
        let known = users::find_by_address(&mut tx, &registration.address).await?;
        registrations::create(&mut tx, &registration, now).await?;
        let task = if earlier >= MAILS_MAX {
            None
        } else if let Some(user) = known {
            let reader = Reader::from(&user);
            let event = Event::Registered;
            Some(letters::notice(&mut tx, reader, event, &place, &context, now).await?)
        } else {
            let reader = Reader {
                owner: registration.user_id,
                address: &registration.address,
                name: &registration.name,
                language: &registration.language,
            };
            let template = Template::VerifyEmail;
            Some(letters::link(&mut tx, template, reader, &context, now).await?)
        };
        tx.commit().await?;
        if let Some(task) = task {
            app.bell.tell(&task, now);
        }
        Ok(Asked::Ok(Json::new(CheckMail { next: "verify" })))
    }

    /// Confirms a mail address by the token of a link: of a new account, or of one that moves.
    #[oai(path = "/v1/verify", method = "post", operation_id = "verify")]
    async fn verify(
        &self,
        app: Data<&App>,
        _public: Public,
        place: Place,
        context: RequestContext,
        body: Body<Link>,
    ) -> Result<Verified, Problem> {
        app.admit(LINKS, &place.key()).await?;
        let token = body.value.token.expose();
        // Looked up first: who makes tokens up does not keep others from writing.
        let mut conn = app.conn().await?;
        let known = tokens::find(&mut conn, token, Purpose::Verify, app.db.now()).await?;
        known.ok_or_else(unknown_link)?;
        drop(conn);
        let (mut tx, now) = (app.begin().await?, app.db.now());
        let proof = tokens::redeem(&mut tx, token, Purpose::Verify, now).await?;
        let proof = proof.ok_or_else(unknown_link)?;
        if let Some(user) = registrations::redeem(&mut tx, proof.owner_id, now).await? {
            let welcome = Template::Welcome;
            let task = letters::link(&mut tx, welcome, (&user).into(), &context, now).await?;
            let deed = deed(user.id, Action::Registered, &place, &context);
            audit::append(&mut tx, &deed, now).await?;
            tx.commit().await?;
            app.bell.tell(&task, now);
            return Ok(Verified::of("registered", Some(&user)));
        }
        let before = match users::hold(&mut tx, proof.owner_id).await {
            Err(Error::NotFound(_)) => return Err(unknown_link()),
            held => held?,
        };
        match address_changes::confirm(&mut tx, &before, &proof, now).await? {
            Confirmed::Nothing => Err(unknown_link()),
            Confirmed::Half => {
                tx.commit().await?;
                Ok(Verified::of("half", None))
            }
            Confirmed::Moved(user) => {
                let deed = deed(user.id, Action::AddressChanged, &place, &context);
                audit::append(&mut tx, &deed, now).await?;
                tx.commit().await?;
                app.standings.clear();
                letters::tell(&app, &before, Event::AddressChanged, &place, &context).await;
                Ok(Verified::of("moved", Some(&user)))
            }
        }
    }
}

/// The link is not one that was sent, or was followed before.
pub(super) fn unknown_link() -> Problem {
    Problem::new(&codes::LINK_INVALID, codes::LINK_INVALID.meaning)
}

/// An account to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewAccount {
    /// Where the account is written to.
    #[schemars(schema_with = "words::mail_address")]
    address: String,
    /// How the person is called.
    #[schemars(schema_with = "words::person")]
    name: String,
    /// The language to write in; English unless told.
    #[serde(default)]
    #[schemars(schema_with = "words::language")]
    language: Option<String>,
    /// What the person will sign in with.
    #[schemars(schema_with = "words::new_password")]
    password: Password,
}

impl NewAccount {
    /// The registration, but for its hash.
    fn check(&self) -> Result<Registration, Problem> {
        let address = words::parse(&self.address)?;
        let language = self.language.as_deref().unwrap_or("en");
        let name = contacts::check(Some(&self.name), language)?.unwrap_or_default();
        Ok(Registration {
            user_id: OwnerId::new(),
            address,
            name,
            language: language.to_owned(),
            password_hash: String::new(),
        })
    }
}

#[derive(ApiResponse)]
enum Asked {
    /// A mail is on its way.
    #[oai(status = 202)]
    Ok(Json<CheckMail>),
}

/// What to do next.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CheckMail {
    /// The operation that takes the token of the link in the mail.
    pub(super) next: &'static str,
}

/// The token of a link in a mail.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Link {
    /// The token of the link.
    #[schemars(schema_with = "words::secret")]
    token: Token,
}

#[derive(ApiResponse)]
enum Verified {
    /// The address is confirmed.
    #[oai(status = 200)]
    Ok(Json<Outcome>),
}

impl Verified {
    fn of(outcome: &'static str, user: Option<&User>) -> Self {
        let address = user.map(|user| user.address.as_str().to_owned());
        Self::Ok(Json::new(Outcome { outcome, address }))
    }
}

/// What came of a confirmation.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Verification")]
struct Outcome {
    /// `registered`: there is an account now. `moved`: the account has another address now. `half`: the
    /// other address has to confirm too.
    #[schemars(with = "OutcomeWord")]
    outcome: &'static str,
    /// The address that the account has now.
    address: Option<String>,
}

/// What came of a confirmation.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the words to clients")]
enum OutcomeWord {
    Registered,
    Moved,
    Half,
}
