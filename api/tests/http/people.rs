//! People with accounts, for tests of who may do what.

use std::time::Duration;

use api::{App, access::LIFETIME};
use chrono::TimeDelta;
use jobs::bell::Bell;
use models::{
    Address, Db, EmailId, OwnerId, credentials, passwords,
    roles::Role,
    second_factors,
    sessions::{self, Origin},
    sql,
    sql::One,
    testing::TestResult,
    tokens::{self, Purpose},
    totp::{STEP_SECONDS, Secret},
    users::{self, NewUser},
};
use platform::health::Health;
use poem::{Body, Route, http::Method};
use serde_json::{Value, json};

use crate::harness::{Answer, Api};

/// A password that is strong enough.
pub(crate) const PASSWORD: &str = "plankton wedding copper 47";

/// The API as it is where everybody has to sign in.
pub(crate) fn closed(db: &Db) -> Api {
    let mut app = App::new(db.clone(), Bell::in_process(), Health::default());
    app.open = false;
    Api::with(app, Route::new())
}

/// Makes an account of this role, without a password.
pub(crate) async fn user(db: &Db, name: &str, role: Role) -> TestResult<OwnerId> {
    let address = Address::parse(&format!("{name}@example.com"))?;
    let new = NewUser {
        id: OwnerId::new(),
        address: &address,
        name,
        language: "en",
        role,
    };
    let mut tx = db.begin().await?;
    let user = users::create(&mut tx, &new, db.now()).await?;
    tx.commit().await?;
    Ok(user.id)
}

/// Gives an account [`PASSWORD`].
pub(crate) async fn with_password(db: &Db, user: OwnerId) -> TestResult {
    let hash = passwords::hash(PASSWORD)?;
    let mut tx = db.begin().await?;
    credentials::put(&mut tx, user, &hash, db.now()).await?;
    Ok(tx.commit().await?)
}

/// Turns the second factor of an account on, and answers what its app knows and the recovery codes.
pub(crate) async fn with_second_factor(
    db: &Db,
    user: OwnerId,
) -> TestResult<(Secret, Vec<String>)> {
    let (mut tx, now) = (db.begin().await?, db.now());
    let secret = second_factors::begin(&mut tx, user, now).await?;
    // By the code before, so that the present one is still good.
    let code = secret.code(now - TimeDelta::seconds(STEP_SECONDS));
    let codes = second_factors::confirm(&mut tx, user, &code, now).await?;
    tx.commit().await?;
    Ok((secret, codes.ok_or("the code is right")?))
}

/// A fresh access token of an account, and its value for `Authorization`.
pub(crate) async fn token(api: &Api, user: OwnerId) -> TestResult<String> {
    let db = &api.app.db;
    let (mut tx, now) = (db.begin().await?, db.now());
    let epoch = users::get(&mut tx, user).await?.epoch;
    let session = sessions::create(&mut tx, user, &Origin::default(), now).await?;
    tx.commit().await?;
    let token = api.app.keys.sign(user, session.id, epoch, now, LIFETIME);
    Ok(format!("Bearer {token}"))
}

/// The token of the newest mail to an address, as the worker draws it.
pub(crate) async fn link(db: &Db, address: &str, purpose: Purpose) -> TestResult<String> {
    let mut tx = db.begin().await?;
    let (email,) = sql!(
        tx, fetch_one One<EmailId>,
        "select id from emails where recipient = $1 and template <> 'security_notice'
            and template <> 'welcome'
        order by id desc limit 1",
        address,
    )?;
    let token = tokens::issue(&mut tx, email, purpose, db.now()).await?;
    tx.commit().await?;
    Ok(token)
}

/// Asks for a new password, and answers the token of the link in the mail, which is written beside the
/// answer.
pub(crate) async fn reset_link(api: &Api, address: &str) -> TestResult<String> {
    let db = &api.app.db;
    let before = mails(db, address, "reset_password").await?;
    let asked = api
        .post("/v1/password/forgot", &json!({"address": address}))
        .await?;
    assert_eq!(asked.status, 202, "{}", asked.text);
    for _ in 0..500 {
        if mails(db, address, "reset_password").await? > before {
            return link(db, address, Purpose::Reset).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err("no mail was written".into())
}

/// How many mails of a kind went to an address.
pub(crate) async fn mails(db: &Db, address: &str, template: &str) -> TestResult<i64> {
    let (count,) = sql!(
        db.conn().await?, fetch_one One<i64>,
        "select count(*) from emails where recipient = $1 and template = $2", address, template,
    )?;
    Ok(count)
}

impl Api {
    /// Any request with a JSON body, of whoever has this token.
    pub(crate) async fn by(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> TestResult<Answer> {
        let headers = [
            ("authorization", token),
            ("content-type", "application/json"),
        ];
        let body = body.map_or_else(Body::empty, |body| Body::from_string(body.to_string()));
        self.send(method, path, &headers, body).await
    }

    /// Signs in with [`PASSWORD`] and a code.
    pub(crate) async fn login_with(&self, address: &str, code: &str) -> TestResult<Answer> {
        let body = json!({"address": address, "password": PASSWORD, "code": code});
        self.post("/v1/login", &body).await
    }

    /// Signs in with [`PASSWORD`].
    pub(crate) async fn login(&self, address: &str) -> TestResult<Answer> {
        let body = json!({"address": address, "password": PASSWORD});
        self.post("/v1/login", &body).await
    }
}
