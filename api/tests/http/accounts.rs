//! The life of an account over HTTP.

use api::PasswordArgs;
use models::{
    Address, Db, credentials, on_both, roles::Role, testing::TestResult, tokens::Purpose, users,
};
use poem::{Route, http::Method};
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Api},
    people::{PASSWORD, closed, link, mails, reset_link, token, user, with_password},
};

pub(crate) const ADA: &str = "ada@example.com";
pub(crate) const NEXT: &str = "gravel tiger umbrella 92";

fn registration(password: &str) -> Value {
    json!({"address": ADA, "name": "Ada", "language": "de", "password": password})
}

pub(crate) fn bearer(answer: &Answer) -> String {
    format!("Bearer {}", answer.word("/access_token"))
}

pub(crate) async fn me(api: &Api, token: &str) -> TestResult<Answer> {
    api.by(token, Method::GET, "/v1/users/me", None).await
}

/// An API with an account of Ada's, and what signing in answers.
pub(crate) async fn signed_in(db: &Db) -> TestResult<(Api, Answer)> {
    let api = closed(db);
    let ada = user(db, "ada", Role::Author).await?;
    with_password(db, ada).await?;
    let tokens = api.login(ADA).await?;
    assert_eq!(tokens.status, 200, "{}", tokens.text);
    Ok((api, tokens))
}

on_both! {
    async fn an_account_begins_with_a_mail_that_is_answered(db: &Db) -> TestResult {
        let api = closed(db);

        let asked = api.post("/v1/register", &registration(PASSWORD)).await?;
        assert_eq!(asked.status, 202, "{}", asked.text);
        assert_eq!(api.login(ADA).await?.problem(), (401, "credentials_invalid".to_owned()));
        let link = json!({"token": link(db, ADA, Purpose::Verify).await?});
        let verified = api.post("/v1/verify", &link).await?;
        let again = api.post("/v1/verify", &link).await?;
        let tokens = api.login(ADA).await?;
        let me = me(&api, &bearer(&tokens)).await?;

        assert_eq!((verified.word("/outcome"), verified.word("/address")),
            ("registered".to_owned(), ADA.to_owned()), "{}", verified.text);
        assert_eq!(again.problem(), (404, "link_invalid".to_owned()));
        assert_eq!(tokens.word("/token_type"), "Bearer");
        assert_eq!((me.word("/role"), me.word("/name")), ("author".to_owned(), "Ada".to_owned()));
        assert_eq!(mails(db, ADA, "welcome").await?, 1);
        Ok(())
    }

    async fn who_has_an_account_is_told_by_mail_alone(db: &Db) -> TestResult {
        let api = closed(db);
        let unknown = api.post("/v1/register", &registration(PASSWORD)).await?;
        let ada = json!({"token": link(db, ADA, Purpose::Verify).await?});
        api.post("/v1/verify", &ada).await?;

        let known = api.post("/v1/register", &registration(NEXT)).await?;
        let forgotten = api.post("/v1/password/forgot", &json!({"address": "x@example.com"})).await?;
        let wrong = json!({"address": ADA, "password": "nonsense"});
        let nobody = json!({"address": "nobody@example.com", "password": "nonsense"});
        let (wrong, nobody) = (api.post("/v1/login", &wrong).await?, api.post("/v1/login", &nobody).await?);

        assert_eq!((unknown.status, &unknown.text), (known.status, &known.text));
        assert_eq!(forgotten.status, 202);
        assert_eq!(wrong.problem(), nobody.problem());
        assert_eq!(wrong.word("/detail"), nobody.word("/detail"));
        assert_eq!(mails(db, ADA, "verify_email").await?, 1);
        assert_eq!(mails(db, ADA, "security_notice").await?, 1);
        assert_eq!(api.login(ADA).await?.status, 200, "the password is the one that was confirmed");
        Ok(())
    }

    async fn a_session_goes_on_with_its_refresh_token_and_ends_with_a_copy(db: &Db) -> TestResult {
        let (api, first) = signed_in(db).await?;
        let exchange = async |answer: &Answer| {
            api.post("/v1/refresh", &json!({"refresh_token": answer.word("/refresh_token")})).await
        };

        let second = exchange(&first).await?;
        assert_eq!(second.status, 200, "{}", second.text);
        assert_eq!(me(&api, &bearer(&second)).await?.status, 200);
        assert_eq!(second.word("/session_id"), first.word("/session_id"));
        let copied = exchange(&first).await?;

        assert_eq!(copied.problem(), (401, "refresh_token_invalid".to_owned()));
        assert_eq!(exchange(&second).await?.problem().0, 401, "its family is revoked");
        assert_eq!(me(&api, &bearer(&second)).await?.problem(), (401, "token_invalid".to_owned()));
        assert_eq!(mails(db, ADA, "security_notice").await?, 1);
        Ok(())
    }

    async fn sessions_are_listed_and_ended(db: &Db) -> TestResult {
        let (api, here) = signed_in(db).await?;
        let there = api.login(ADA).await?;
        let third = api.login(ADA).await?;
        let (own, other) = (bearer(&here), bearer(&there));

        let listed = api.by(&own, Method::GET, "/v1/sessions", None).await?;
        let path = format!("/v1/sessions/{}", there.word("/session_id"));
        let ended = api.by(&own, Method::DELETE, &path, None).await?;
        let refused = me(&api, &other).await?;
        let out = api.by(&own, Method::POST, "/v1/logout", None).await?;
        let after = me(&api, &own).await?;

        assert_eq!(listed.at("/items").as_array().map(Vec::len), Some(3));
        assert_eq!(listed.at("/items/2/current"), json!(true), "{}", listed.text);
        assert_eq!((ended.status.as_u16(), out.status.as_u16()), (204, 204));
        assert_eq!((refused.problem().0, after.problem().0), (401, 401));
        let everywhere = api.by(&bearer(&third), Method::DELETE, "/v1/sessions", None).await?;
        assert_eq!(everywhere.status, 204);
        assert_eq!(me(&api, &bearer(&third)).await?.problem().0, 401);
        Ok(())
    }

    async fn a_password_is_changed_by_who_knows_it_and_chosen_anew_by_who_reads_the_mail(db: &Db) -> TestResult {
        let (api, tokens) = signed_in(db).await?;
        let change = |old: &str| json!({"old": old, "new": NEXT});
        let put = async |body: Value| {
            api.by(&bearer(&tokens), Method::PUT, "/v1/users/me/password", Some(&body)).await
        };

        assert_eq!(put(change("wrong")).await?.problem(), (401, "credentials_invalid".to_owned()));
        let weak = put(json!({"old": PASSWORD, "new": "password123"})).await?;
        assert_eq!(weak.problem(), (422, "validation_failed".to_owned()));
        assert_eq!(put(change(PASSWORD)).await?.status, 204);
        assert_eq!(me(&api, &bearer(&tokens)).await?.problem().0, 401, "every session has ended");
        assert_eq!(api.login(ADA).await?.problem().0, 401);

        let link = reset_link(&api, ADA).await?;
        let reset = |password: &str| json!({"token": link, "password": password});
        assert_eq!(api.post("/v1/password/reset", &reset("password123")).await?.problem().0, 422);
        assert_eq!(api.post("/v1/password/reset", &reset(PASSWORD)).await?.status, 204);
        assert_eq!(api.post("/v1/password/reset", &reset(PASSWORD)).await?.problem().0, 404);
        assert_eq!(api.login(ADA).await?.status, 200);
        assert_eq!(mails(db, ADA, "security_notice").await?, 2);
        Ok(())
    }

    async fn an_account_moves_when_both_mailboxes_agree(db: &Db) -> TestResult {
        let (api, tokens) = signed_in(db).await?;
        let there = "ada@elsewhere.example";
        let body = json!({"address": there, "password": PASSWORD});

        let asked = api.by(&bearer(&tokens), Method::PUT, "/v1/users/me/address", Some(&body)).await?;
        let new = json!({"token": link(db, there, Purpose::Verify).await?});
        let old = json!({"token": link(db, ADA, Purpose::Verify).await?});
        let half = api.post("/v1/verify", &new).await?;
        let moved = api.post("/v1/verify", &old).await?;

        assert_eq!(asked.status, 202, "{}", asked.text);
        assert_eq!(half.word("/outcome"), "half", "{}", half.text);
        assert_eq!((moved.word("/outcome"), moved.word("/address")),
            ("moved".to_owned(), there.to_owned()), "{}", moved.text);
        assert_eq!(me(&api, &bearer(&tokens)).await?.problem().0, 401, "every session has ended");
        let tokens = api.login(there).await?;
        assert_eq!(me(&api, &bearer(&tokens)).await?.word("/address"), there);
        assert_eq!(mails(db, ADA, "security_notice").await?, 1, "the old mailbox is told");
        Ok(())
    }

    async fn a_profile_is_its_owners(db: &Db) -> TestResult {
        let (api, tokens) = signed_in(db).await?;
        let put = async |body: Value| {
            api.by(&bearer(&tokens), Method::PUT, "/v1/users/me", Some(&body)).await
        };

        let changed = put(json!({"name": "Countess", "language": "de",
            "preferences": {"time_zone": "Europe/Lisbon", "public": true}})).await?;
        let wrong = put(json!({"name": "Ada", "preferences": {"time_zone": "no zone", "public": true}})).await?;
        let unknown = put(json!({"name": "Ada", "role": "admin", "preferences": {"public": true}})).await?;

        assert_eq!(changed.word("/name"), "Countess", "{}", changed.text);
        assert_eq!(changed.word("/preferences/time_zone"), "Europe/Lisbon");
        assert_eq!(wrong.word("/errors/0/pointer"), "/preferences/time_zone");
        assert_eq!(unknown.word("/errors/0/pointer"), "/role", "nobody grants themselves a role");
        Ok(())
    }

    async fn an_account_is_deleted_with_what_it_made(db: &Db) -> TestResult {
        let (api, tokens) = signed_in(db).await?;
        let course = json!({"topic": "Tide pools"});
        let made = api.by(&bearer(&tokens), Method::POST, "/v1/courses", Some(&course)).await?;
        assert_eq!(made.status, 202, "{}", made.text);
        let path = "/v1/users/me/delete";
        let wrong = json!({"password": "wrong"});
        let refused = api.by(&bearer(&tokens), Method::POST, path, Some(&wrong)).await?;
        let right = json!({"password": PASSWORD});
        let deleted = api.by(&bearer(&tokens), Method::POST, path, Some(&right)).await?;

        assert_eq!(refused.problem().0, 401);
        assert_eq!(deleted.status, 204, "{}", deleted.text);
        assert_eq!(me(&api, &bearer(&tokens)).await?.problem().0, 401);
        assert_eq!(api.login(ADA).await?.problem().0, 401);
        let found = users::find_by_address(&mut db.conn().await?, &Address::parse(ADA)?).await?;
        assert_eq!(found, None);
        Ok(())
    }

    async fn an_imported_password_is_kept_better_after_a_login(db: &Db) -> TestResult {
        let api = closed(db);
        let ada = user(db, "ada", Role::Author).await?;
        // As `htpasswd -B` writes it, of the same password.
        let imported = "$2y$04$abcdefghijklmnopqrstuuO4T4xV3fIa2i97.B/iO0bFtDybNz4lK";
        let mut tx = db.begin().await?;
        credentials::put(&mut tx, ada, imported, db.now()).await?;
        tx.commit().await?;

        assert_eq!(api.login(ADA).await?.status, 200);

        let kept = credentials::find(&mut db.conn().await?, ada).await?.ok_or("a password")?;
        assert!(kept.starts_with("$argon2id$"), "{kept}");
        assert_eq!(api.login(ADA).await?.status, 200);
        Ok(())
    }
}

#[tokio::test]
async fn passwords_cannot_be_tried_for_long() -> TestResult {
    let test = models::testing::TestDb::sqlite().await?;
    let (api, _) = signed_in(&test.db).await?;
    let wrong = json!({"address": "ADA@example.com", "password": "nonsense"});
    let mut last = api.post("/v1/login", &wrong).await?;
    for _ in 0..20 {
        last = api.post("/v1/login", &wrong).await?;
    }

    assert_eq!(last.problem(), (429, "rate_limited".to_owned()));
    assert!(
        last.header("retry-after")
            .parse::<u64>()
            .is_ok_and(|seconds| seconds > 0)
    );
    assert_eq!(
        api.login(ADA).await?.problem().0,
        429,
        "the right one has to wait as well"
    );
    test.close().await
}

#[tokio::test]
async fn this_machine_needs_no_token_and_a_wrong_one_is_not_none() -> TestResult {
    let test = models::testing::TestDb::sqlite().await?;
    let (open, closed) = (Api::new(&test.db), closed(&test.db));

    let local = open.get("/v1/users/me").await?;
    let wrong = me(&open, "Bearer wrong").await?;
    let nobody = closed.get("/v1/users/me").await?;

    assert_eq!(
        (local.status.as_u16(), local.word("/role")),
        (200, "author".to_owned())
    );
    assert_eq!(wrong.problem(), (401, "token_invalid".to_owned()));
    assert_eq!(nobody.problem(), (401, "token_required".to_owned()));
    let guest = user(&test.db, "guest", Role::Guest).await?;
    let refused = closed
        .by(
            &token(&closed, guest).await?,
            Method::GET,
            "/v1/tasks",
            None,
        )
        .await?;
    assert_eq!(refused.problem(), (403, "permission_missing".to_owned()));
    test.close().await
}

#[tokio::test]
async fn a_password_that_was_stolen_elsewhere_cannot_be_chosen() -> TestResult {
    let test = models::testing::TestDb::sqlite().await?;
    let mut app = closed(&test.db).app;
    let list = tempfile::NamedTempFile::new()?;
    // The SHA-1 of `PASSWORD`.
    std::fs::write(&list, "D32E04893E14F2610640744AE2422A778276076D:12\n")?;
    let path = list.path().to_str().ok_or("a UTF-8 name")?;
    let breached_passwords = Some(path.parse()?);
    PasswordArgs { breached_passwords }.apply(&mut app);
    let api = Api::with(app, Route::new());

    let refused = api.post("/v1/register", &registration(PASSWORD)).await?;
    let taken = api.post("/v1/register", &registration(NEXT)).await?;

    assert_eq!(refused.problem(), (422, "validation_failed".to_owned()));
    assert_eq!(refused.word("/errors/0/pointer"), "/password");
    assert!(
        refused.word("/detail").contains("theft"),
        "{}",
        refused.text
    );
    assert_eq!(taken.status, 202, "{}", taken.text);
    test.close().await
}
