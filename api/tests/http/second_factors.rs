//! Second factors over HTTP.

use chrono::TimeDelta;
use models::{
    Db, OwnerId, on_both,
    roles::Role,
    testing::{TestDb, TestResult},
    totp::{STEP_SECONDS, Secret},
};
use poem::http::Method;
use serde_json::{Value, json};

use crate::{
    accounts::{ADA, NEXT, bearer, signed_in},
    harness::{Answer, Api},
    people::{PASSWORD, mails, reset_link, token, user, with_second_factor},
};

const PATH: &str = "/v1/users/me/second-factor";
const STEP: TimeDelta = TimeDelta::seconds(STEP_SECONDS);

fn required() -> (u16, String) {
    (401, "second_factor_required".to_owned())
}

fn invalid() -> (u16, String) {
    (401, "second_factor_invalid".to_owned())
}

/// Asks for something about the second factor.
async fn post(api: &Api, by: &Answer, path: &str, body: Value) -> TestResult<Answer> {
    let path = format!("{PATH}{path}");
    api.by(&bearer(by), Method::POST, &path, Some(&body)).await
}

/// Moves the clock to the beginning of a time step, so that none ends in the middle of a test.
fn begin_step(db: &Db) {
    let left = STEP_SECONDS - db.now().timestamp() % STEP_SECONDS;
    db.disturb_clock(TimeDelta::seconds(left));
}

/// An API with an account of Ada's that has a second factor, and what signing in answered before.
async fn enrolled(db: &Db) -> TestResult<(Api, Answer, Secret, Vec<String>)> {
    begin_step(db);
    let (api, tokens) = signed_in(db).await?;
    let ada: OwnerId = tokens.word("/user_id").parse()?;
    let (secret, codes) = with_second_factor(db, ada).await?;
    Ok((api, tokens, secret, codes))
}

/// What was written down of an action, newest first.
async fn entries(api: &Api, action: &str) -> TestResult<Vec<Value>> {
    let name = uuid::Uuid::now_v7().simple().to_string();
    let root = token(api, user(&api.app.db, &name, Role::Admin).await?).await?;
    let path = format!("/v1/admin/audit?action={action}");
    let log = api.by(&root, Method::GET, &path, None).await?;
    Ok(log.at("/items").as_array().cloned().unwrap_or_default())
}

on_both! {
    async fn signing_in_takes_a_code_once_the_app_was_confirmed(db: &Db) -> TestResult {
        begin_step(db);
        let (api, tokens) = signed_in(db).await?;
        let wrong = post(&api, &tokens, "", json!({"password": "wrong"})).await?;
        let begun = post(&api, &tokens, "", json!({"password": PASSWORD})).await?;
        assert_eq!(wrong.problem(), (401, "credentials_invalid".to_owned()));
        assert_eq!(begun.status, 201, "{}", begun.text);
        assert!(begun.word("/uri").contains(&begun.word("/secret")), "{}", begun.text);
        let secret = Secret::decode(&begun.word("/secret"))?;
        assert_eq!(api.login(ADA).await?.status, 200, "it is not confirmed yet");

        let confirm = async |code: &str| post(&api, &tokens, "/confirm", json!({"code": code})).await;
        assert_eq!(confirm("nonsense").await?.problem(), invalid());
        let code = secret.code(db.now());
        let confirmed = confirm(&code).await?;

        assert_eq!(confirmed.at("/recovery_codes").as_array().map(Vec::len), Some(10));
        let guess = json!({"address": ADA, "password": "wrong", "code": code});
        let guessed = api.post("/v1/login", &guess).await?;
        assert_eq!(guessed.problem(), (401, "credentials_invalid".to_owned()), "as for anybody");
        assert_eq!(api.login(ADA).await?.problem(), required());
        assert_eq!(api.login_with(ADA, &code).await?.problem(), invalid(), "taken before");
        let again = post(&api, &tokens, "", json!({"password": PASSWORD})).await?;
        assert_eq!(again.problem(), (409, "second_factor_on".to_owned()));
        let known = api.by(&bearer(&tokens), Method::GET, PATH, None).await?;
        assert!(known.at("/confirmed_at").is_string(), "{}", known.text);
        assert_eq!(known.at("/recovery_codes_left"), json!(10));
        assert_eq!(mails(db, ADA, "security_notice").await?, 1);
        assert_eq!(entries(&api, "second_factor.on").await?.len(), 1);
        Ok(())
    }

    async fn a_code_is_good_for_its_time_and_once(db: &Db) -> TestResult {
        let (api, tokens, secret, _) = enrolled(db).await?;
        let ada = tokens.word("/user_id");
        let login = async |code: String| TestResult::Ok(api.login_with(ADA, &code).await?);

        // A clock that is a step ahead.
        assert_eq!(login(secret.code(db.now() + STEP * 3)).await?.problem(), invalid());
        let ahead = secret.code(db.now() + STEP);
        assert_eq!(login(ahead.clone()).await?.status, 200);
        assert_eq!(login(ahead).await?.problem(), invalid(), "once");
        let now = secret.code(db.now());
        assert_eq!(login(now).await?.problem(), invalid(), "older than one that was taken");

        db.disturb_clock(STEP * 4);
        // A clock that is a step behind.
        assert_eq!(login(secret.code(db.now() - STEP)).await?.status, 200);
        let failed = entries(&api, "user.login_failed").await?;
        assert_eq!(failed.len(), 3);
        assert_eq!(failed[0]["subject"], json!(format!("users/{ada}")));
        Ok(())
    }

    async fn a_recovery_code_signs_in_once_and_its_owner_is_told(db: &Db) -> TestResult {
        let (api, _, _, codes) = enrolled(db).await?;
        let typed = codes[0].to_uppercase().replace('-', " ");

        let tokens = api.login_with(ADA, &typed).await?;

        assert_eq!(tokens.status, 200, "{}", tokens.text);
        assert_eq!(api.login_with(ADA, &codes[0]).await?.problem(), invalid());
        let known = api.by(&bearer(&tokens), Method::GET, PATH, None).await?;
        assert_eq!(known.at("/recovery_codes_left"), json!(9));
        assert_eq!(mails(db, ADA, "security_notice").await?, 1);
        assert_eq!(entries(&api, "recovery_code.used").await?.len(), 1);
        Ok(())
    }

    async fn it_takes_password_and_code_to_renew_codes_and_to_turn_it_off(db: &Db) -> TestResult {
        let (api, tokens, secret, codes) = enrolled(db).await?;
        let both = |password: &str, code: &str| json!({"password": password, "code": code});

        for path in ["/recovery-codes", "/delete"] {
            let wrong = post(&api, &tokens, path, both("wrong", &codes[0])).await?;
            assert_eq!(wrong.problem(), (401, "credentials_invalid".to_owned()));
            let wrong = post(&api, &tokens, path, both(PASSWORD, "nonsense")).await?;
            assert_eq!(wrong.problem(), invalid());
        }
        let renewed = post(&api, &tokens, "/recovery-codes", both(PASSWORD, &codes[0])).await?;
        assert_eq!(renewed.status, 200, "{}", renewed.text);
        assert_eq!(api.login_with(ADA, &codes[1]).await?.problem(), invalid(), "void");
        let code = renewed.word("/recovery_codes/0");
        assert_eq!(api.login_with(ADA, &code).await?.status, 200);
        let off = post(&api, &tokens, "/delete", both(PASSWORD, &secret.code(db.now()))).await?;

        assert_eq!(off.status, 204, "{}", off.text);
        assert_eq!(api.login(ADA).await?.status, 200);
        let known = api.by(&bearer(&tokens), Method::GET, PATH, None).await?;
        assert!(known.at("/confirmed_at").is_null(), "{}", known.text);
        let again = post(&api, &tokens, "/delete", both(PASSWORD, &code)).await?;
        assert_eq!(again.problem(), invalid());
        for action in ["recovery_codes.renewed", "second_factor.off"] {
            assert_eq!(entries(&api, action).await?.len(), 1, "{action}");
        }
        assert_eq!(mails(db, ADA, "security_notice").await?, 3);
        Ok(())
    }

    async fn who_chooses_a_new_password_by_mail_still_needs_a_code(db: &Db) -> TestResult {
        let (api, _, secret, _) = enrolled(db).await?;
        let link = reset_link(&api, ADA).await?;
        let reset = json!({"token": link, "password": NEXT});
        assert_eq!(api.post("/v1/password/reset", &reset).await?.status, 204);
        let login = |code: Option<String>| json!({"address": ADA, "password": NEXT, "code": code});

        let without = api.post("/v1/login", &login(None)).await?;
        let with = api.post("/v1/login", &login(Some(secret.code(db.now())))).await?;

        assert_eq!(without.problem(), required());
        assert_eq!(with.status, 200, "{}", with.text);
        Ok(())
    }

    async fn of_two_logins_with_the_same_code_one_is_refused(db: &Db) -> TestResult {
        let (api, _, secret, codes) = enrolled(db).await?;

        for code in [secret.code(db.now()), codes[0].clone()] {
            let (a, b) = tokio::try_join!(api.login_with(ADA, &code), api.login_with(ADA, &code))?;
            let mut statuses = [a.status.as_u16(), b.status.as_u16()];
            statuses.sort_unstable();
            assert_eq!(statuses, [200, 401]);
        }
        Ok(())
    }
}

#[tokio::test]
async fn codes_cannot_be_tried_for_long() -> TestResult {
    let test = TestDb::sqlite().await?;
    let (api, tokens, secret, _) = enrolled(&test.db).await?;
    let limited = (429, "rate_limited".to_owned());
    let mut last = invalid();
    for _ in 0..11 {
        let answer = post(&api, &tokens, "/confirm", json!({"code": "000000"})).await?;
        last = answer.problem();
    }

    assert_eq!(last, limited);
    let right = secret.code(test.db.now());
    assert_eq!(
        api.login_with(ADA, &right).await?.problem(),
        limited,
        "the right one has to wait as well"
    );
    assert_eq!(
        api.login(ADA).await?.problem(),
        required(),
        "none was tried"
    );
    test.close().await
}

#[tokio::test]
async fn a_key_of_a_machine_is_no_way_around_a_second_factor() -> TestResult {
    let test = TestDb::sqlite().await?;
    let (api, tokens, _, codes) = enrolled(&test.db).await?;
    let wanted = json!({"name": "ci", "scopes": ["profile.read"]});
    let by = bearer(&tokens);
    let made = api.by(&by, Method::POST, "/v1/keys", Some(&wanted)).await?;
    let key = format!("Bearer {}", made.word("/key"));
    let both = json!({"password": PASSWORD, "code": codes[0]});

    for path in ["/recovery-codes", "/delete"] {
        let path = format!("{PATH}{path}");
        let refused = api.by(&key, Method::POST, &path, Some(&both)).await?;
        assert_eq!(refused.problem(), (403, "permission_missing".to_owned()));
    }
    assert_eq!(api.login(ADA).await?.problem(), required());
    test.close().await
}
