//! What keeps accounts their owners', whatever happens at the same time or is out of order.

use models::{
    Db, Limit, credentials, on_both, passwords,
    roles::Role,
    sessions::{self, End},
    testing::{TestDb, TestResult},
    users,
};
use poem::http::Method;
use serde_json::{Value, json};

use crate::{
    accounts::{ADA, NEXT, bearer, me, signed_in},
    harness::{Answer, Api},
    people::{PASSWORD, closed, mails, reset_link, token, user, with_password},
};

async fn change_password(api: &Api, by: &Answer) -> TestResult<Answer> {
    let change = json!({"old": PASSWORD, "new": NEXT});
    api.by(
        &bearer(by),
        Method::PUT,
        "/v1/users/me/password",
        Some(&change),
    )
    .await
}

async fn make_key(api: &Api, by: &Answer) -> TestResult<Answer> {
    let body = json!({"name": "ci", "scopes": ["profile.read"]});
    let made = api
        .by(&bearer(by), Method::POST, "/v1/keys", Some(&body))
        .await?;
    assert_eq!(made.status, 201, "{}", made.text);
    Ok(made)
}

on_both! {
    async fn a_login_with_a_password_that_is_being_replaced_is_none(db: &Db) -> TestResult {
        let (api, now) = (closed(db), db.now());
        let ada = user(db, "ada", Role::Author).await?;
        with_password(db, ada).await?;
        let next = passwords::hash(NEXT)?;
        let mut tx = db.begin().await?;
        users::hold(&mut tx, ada).await?;

        // Whichever comes first, the old password opens nothing that lasts.
        let replace = async move {
            credentials::put(&mut tx, ada, &next, now).await?;
            sessions::end_all(&mut tx, ada, End::Password, now).await?;
            users::renew(&mut tx, ada, now).await?;
            TestResult::Ok(tx.commit().await?)
        };
        let (login, ()) = tokio::try_join!(api.login(ADA), replace)?;

        assert_eq!(login.problem(), (401, "credentials_invalid".to_owned()));
        let mut conn = db.conn().await?;
        let left = sessions::list(&mut conn, ada, None, Limit::default(), now).await?;
        assert!(left.items.is_empty());
        Ok(())
    }

    async fn what_secures_an_account_does_not_wait_for_mail(db: &Db) -> TestResult {
        let (api, first) = signed_in(db).await?;
        let root = token(&api, user(db, "root", Role::Admin).await?).await?;
        let drain = json!({"mode": "draining"});
        let drained = api.by(&root, Method::PUT, "/v1/admin/queues/email", Some(&drain)).await?;
        assert_eq!(drained.status, 200, "{}", drained.text);
        let exchange = async |answer: &Answer| {
            api.post("/v1/refresh", &json!({"refresh_token": answer.word("/refresh_token")})).await
        };

        let second = exchange(&first).await?;
        let copied = exchange(&first).await?;
        let after = me(&api, &bearer(&second)).await?;
        let tokens = api.login(ADA).await?;
        let changed = change_password(&api, &tokens).await?;
        let newcomer = json!({"address": "new@example.com", "name": "New", "password": PASSWORD});
        let register = api.post("/v1/register", &newcomer).await?;

        assert_eq!(second.status, 200, "{}", second.text);
        assert_eq!(copied.problem(), (401, "refresh_token_invalid".to_owned()));
        assert_eq!(after.problem(), (401, "token_invalid".to_owned()));
        let path = "/v1/admin/audit?action=user.token_reused";
        let log = api.by(&root, Method::GET, path, None).await?;
        assert_eq!(log.at("/items").as_array().map(Vec::len), Some(1), "{}", log.text);
        assert_eq!(changed.status, 204, "{}", changed.text);
        assert_eq!(api.login(ADA).await?.problem().0, 401);
        assert_eq!(mails(db, ADA, "security_notice").await?, 0);
        assert_eq!(register.problem(), (503, "queue_draining".to_owned()));
        Ok(())
    }

    async fn a_password_that_is_chosen_anew_ends_the_keys(db: &Db) -> TestResult {
        let (api, tokens) = signed_in(db).await?;
        let key = format!("Bearer {}", make_key(&api, &tokens).await?.word("/key"));
        assert_eq!(me(&api, &key).await?.status, 200);
        assert_eq!(mails(db, ADA, "security_notice").await?, 1, "the owner is told of the key");

        let link = reset_link(&api, ADA).await?;
        let reset = json!({"token": link, "password": NEXT});
        assert_eq!(api.post("/v1/password/reset", &reset).await?.status, 204);

        assert_eq!(me(&api, &key).await?.problem(), (401, "token_invalid".to_owned()));
        Ok(())
    }

    async fn ended_sessions_are_written_down(db: &Db) -> TestResult {
        let (api, tokens) = signed_in(db).await?;
        let other = api.login(ADA).await?.word("/session_id");
        let root = token(&api, user(db, "root", Role::Admin).await?).await?;

        for path in [format!("/v1/sessions/{other}"), "/v1/sessions".to_owned()] {
            let ended = api.by(&bearer(&tokens), Method::DELETE, &path, None).await?;
            assert_eq!(ended.status, 204, "{}", ended.text);
        }

        let path = "/v1/admin/audit?action=user.logged_out";
        let log = api.by(&root, Method::GET, path, None).await?;
        let user = tokens.word("/user_id");
        assert_eq!(log.word("/items/0/subject"), format!("users/{user}"), "{}", log.text);
        assert_eq!(log.word("/items/1/subject"), format!("sessions/{other}"));
        assert_eq!(log.word("/items/1/actor_id"), user);
        Ok(())
    }

    async fn a_contact_is_the_mailbox_of_the_account_or_none(db: &Db) -> TestResult {
        let (api, tokens) = signed_in(db).await?;
        let put = async |path: &str, body: Value| {
            api.by(&bearer(&tokens), Method::PUT, path, Some(&body)).await
        };
        let victim = json!({"address": "bob@example.com", "wants": {"courses": true}});
        let own = json!({"address": "ADA@example.com", "wants": {"courses": false}});

        let refused = put("/v1/contact", victim).await?;
        let said = put("/v1/contact", own).await?;
        let none = put("/v1/contact", json!({"address": null})).await?;
        let named = put("/v1/users/me", json!({"name": "Countess", "preferences": {"public": true}})).await?;
        let after = api.by(&bearer(&tokens), Method::GET, "/v1/contact", None).await?;

        assert_eq!(refused.problem(), (422, "validation_failed".to_owned()));
        assert_eq!(refused.word("/errors/0/pointer"), "/address");
        assert_eq!(said.word("/address"), ADA, "{}", said.text);
        assert_eq!(said.at("/wants/courses"), json!(false));
        assert!(none.at("/address").is_null());
        assert_eq!(named.word("/name"), "Countess", "{}", named.text);
        assert!(after.at("/address").is_null(), "whoever wants no mail gets none: {}", after.text);
        Ok(())
    }
}

#[tokio::test]
async fn whoever_guesses_passwords_does_not_keep_the_owner_from_changing_theirs() -> TestResult {
    let test = TestDb::sqlite().await?;
    let (api, tokens) = signed_in(&test.db).await?;
    let wrong = json!({"address": ADA, "password": "nonsense"});
    for _ in 0..20 {
        api.post("/v1/login", &wrong).await?;
    }

    assert_eq!(api.login(ADA).await?.problem().0, 429);
    let changed = change_password(&api, &tokens).await?;
    assert_eq!(changed.status, 204, "{}", changed.text);
    test.close().await
}

#[tokio::test]
async fn nobody_is_flooded_with_mail_about_an_account_that_moves() -> TestResult {
    let test = TestDb::sqlite().await?;
    let (api, tokens) = signed_in(&test.db).await?;
    let body = json!({"address": "victim@example.com", "password": PASSWORD});
    let mut last = 0;
    for _ in 0..5 {
        let path = "/v1/users/me/address";
        let asked = api
            .by(&bearer(&tokens), Method::PUT, path, Some(&body))
            .await?;
        last = asked.status.as_u16();
    }

    assert_eq!(last, 429);
    let sent = mails(&test.db, "victim@example.com", "verify_email").await?;
    assert_eq!(sent, 3);
    test.close().await
}

#[tokio::test]
async fn links_cannot_be_guessed_for_long() -> TestResult {
    let test = TestDb::sqlite().await?;
    for (path, body) in [
        ("/v1/verify", json!({"token": "nonsense"})),
        (
            "/v1/password/reset",
            json!({"token": "nonsense", "password": NEXT}),
        ),
    ] {
        let api = closed(&test.db);
        assert_eq!(
            api.post(path, &body).await?.problem(),
            (404, "link_invalid".to_owned())
        );
        let mut last = 0;
        for _ in 0..100 {
            last = api.post(path, &body).await?.status.as_u16();
        }
        assert_eq!(last, 429, "{path}");
    }
    test.close().await
}

#[tokio::test]
async fn few_mails_for_new_passwords_are_written_at_once() -> TestResult {
    let test = TestDb::sqlite().await?;
    let api = closed(&test.db);
    // Nobody else writes meanwhile.
    let held = test.db.begin().await?;
    let ask = async |n: usize| {
        let body = json!({"address": format!("reader{n}@example.com")});
        TestResult::Ok(
            api.post("/v1/password/forgot", &body)
                .await?
                .status
                .as_u16(),
        )
    };

    let mut answers = Vec::new();
    for n in 0..17 {
        answers.push(ask(n).await?);
    }
    drop(held);

    let (last, others) = answers.split_last().ok_or("seventeen")?;
    assert!(others.iter().all(|status| *status == 202), "{answers:?}");
    assert_eq!(*last, 429);
    test.close().await
}
