//! Keys of machines, and those who look after the accounts of others.

use models::{Db, audit, audit::Verdict, on_both, roles::Role, testing::TestResult};
use poem::http::Method;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Api},
    people::{closed, token, user},
};

async fn make_key(api: &Api, by: &str, scopes: Value) -> TestResult<Answer> {
    let body = json!({"name": "ci", "scopes": scopes});
    api.by(by, Method::POST, "/v1/keys", Some(&body)).await
}

on_both! {
    async fn a_key_opens_what_its_scopes_name_until_it_is_revoked(db: &Db) -> TestResult {
        let api = closed(db);
        let ada = user(db, "ada", Role::Author).await?;
        let by = token(&api, ada).await?;

        let made = make_key(&api, &by, json!(["tasks.read"])).await?;
        assert_eq!(made.status, 201, "{}", made.text);
        let key = format!("Bearer {}", made.word("/key"));
        let ask = async |method, path: &str| api.by(&key, method, path, None).await;
        let listed = api.by(&by, Method::GET, "/v1/keys", None).await?;

        assert_eq!(ask(Method::GET, "/v1/tasks").await?.status, 200);
        assert_eq!(ask(Method::GET, "/v1/courses").await?.problem(),
            (403, "permission_missing".to_owned()));
        assert_eq!(ask(Method::GET, "/v1/keys").await?.problem().0, 403);
        assert!(!listed.text.contains(&made.word("/key")), "it is shown once");
        assert_eq!(listed.word("/items/0/prefix"), made.word("/about/prefix"));
        let person = make_key(&api, &by, json!(["keys.write"])).await?;
        assert_eq!(person.word("/errors/0/pointer"), "/scopes/0");
        let path = format!("/v1/keys/{}", made.word("/about/id"));
        let other = token(&api, user(db, "eve", Role::Admin).await?).await?;
        assert_eq!(api.by(&other, Method::DELETE, &path, None).await?.problem().0, 404);
        assert_eq!(api.by(&by, Method::DELETE, &path, None).await?.status, 204);
        assert_eq!(ask(Method::GET, "/v1/tasks").await?.problem(), (401, "token_invalid".to_owned()));
        Ok(())
    }

    async fn accounts_are_found_suspended_restored_and_promoted(db: &Db) -> TestResult {
        let api = closed(db);
        let (ada, root) = (user(db, "ada", Role::Author).await?, user(db, "root", Role::Admin).await?);
        let moderator = user(db, "mod", Role::Moderator).await?;
        let (victim, by) = (token(&api, ada).await?, token(&api, root).await?);
        let one = format!("/v1/admin/users/{ada}");
        let post = async |by: &str, path: String| api.by(by, Method::POST, &path, None).await;

        let found = api.by(&by, Method::GET, "/v1/admin/users?text=ADA&role=author", None).await?;
        let guard = token(&api, moderator).await?;
        let suspended = post(&guard, format!("{one}/suspend")).await?;
        let refused = api.by(&victim, Method::GET, "/v1/users/me", None).await?;
        let restored = post(&guard, format!("{one}/restore")).await?;
        let grant = json!({"role": "moderator"});
        let granted = api.by(&by, Method::PUT, &format!("{one}/role"), Some(&grant)).await?;

        assert_eq!(found.word("/items/0/id"), ada.to_string(), "{}", found.text);
        assert!(suspended.at("/suspended_at").is_string(), "{}", suspended.text);
        assert_eq!(refused.problem(), (401, "token_invalid".to_owned()));
        assert!(restored.at("/suspended_at").is_null());
        assert_eq!(granted.word("/role"), "moderator", "{}", granted.text);
        for path in [format!("/v1/admin/users/{root}/suspend"), format!("/v1/admin/users/{moderator}/suspend")] {
            assert_eq!(post(&guard, path.clone()).await?.problem(), (409, "not_over_them".to_owned()), "{path}");
        }
        let own = json!({"role": "guest"});
        let lockout = api.by(&by, Method::PUT, &format!("/v1/admin/users/{root}/role"), Some(&own)).await?;
        assert_eq!(lockout.problem().0, 409);
        let log = api.by(&by, Method::GET, &format!("/v1/admin/audit?actor={moderator}"), None).await?;
        assert_eq!(log.at("/items").as_array().map(Vec::len), Some(2), "{}", log.text);
        assert_eq!(log.word("/items/1/action"), "user.suspended");
        assert_eq!(log.word("/items/1/subject"), format!("users/{ada}"));
        Ok(())
    }

    async fn a_key_looks_after_accounts_as_far_as_its_own_account_may(db: &Db) -> TestResult {
        let api = closed(db);
        let (ada, root) = (user(db, "ada", Role::Author).await?, user(db, "root", Role::Admin).await?);
        let by = token(&api, user(db, "mod", Role::Moderator).await?).await?;
        let made = make_key(&api, &by, json!(["users.suspend"])).await?;
        let key = format!("Bearer {}", made.word("/key"));
        let suspend = async |id| {
            api.by(&key, Method::POST, &format!("/v1/admin/users/{id}/suspend"), None).await
        };

        assert_eq!(suspend(ada).await?.status, 200);
        assert_eq!(suspend(root).await?.problem(), (409, "not_over_them".to_owned()));
        Ok(())
    }

    async fn whoever_may_do_less_signs_in_again_and_acts_as_nobody_else(db: &Db) -> TestResult {
        let api = closed(db);
        let (ada, eve) = (user(db, "ada", Role::Author).await?, user(db, "eve", Role::Admin).await?);
        let root = token(&api, user(db, "root", Role::Admin).await?).await?;
        let by = token(&api, eve).await?;
        let path = format!("/v1/admin/users/{ada}/impersonate");
        let borrowed = api.by(&by, Method::POST, &path, None).await?;
        let as_ada = format!("Bearer {}", borrowed.word("/access_token"));
        let me = async |token: &str| {
            TestResult::Ok(api.by(token, Method::GET, "/v1/users/me", None).await?.status.as_u16())
        };
        let grant = async |role: &str| {
            let path = format!("/v1/admin/users/{eve}/role");
            let granted = api.by(&root, Method::PUT, &path, Some(&json!({"role": role}))).await?;
            TestResult::Ok(granted.status.as_u16())
        };

        assert_eq!((grant("admin").await?, me(&by).await?, me(&as_ada).await?), (200, 200, 200));
        assert_eq!((grant("author").await?, me(&by).await?, me(&as_ada).await?), (200, 401, 401));
        Ok(())
    }

    async fn what_is_done_to_the_tasks_of_others_is_written_down(db: &Db) -> TestResult {
        let api = closed(db);
        let root = user(db, "root", Role::Admin).await?;
        let by = token(&api, root).await?;
        let post = async |verb: &str, body: Value| {
            let path = format!("/v1/admin/tasks/{verb}");
            let done = api.by(&by, Method::POST, &path, Some(&body)).await?;
            TestResult::Ok(done.status.as_u16())
        };

        assert_eq!(post("cancel", json!({"kind": "noop", "dry_run": true})).await?, 200);
        assert_eq!(post("cancel", json!({"kind": "noop", "queue": "default"})).await?, 200);
        assert_eq!(post("retry", json!({"owner": root})).await?, 200);

        let log = api.by(&by, Method::GET, "/v1/admin/audit", None).await?;
        let entry = |n: usize| (log.word(&format!("/items/{n}/action")), log.word(&format!("/items/{n}/subject")));
        assert_eq!(log.at("/items").as_array().map(Vec::len), Some(2), "{}", log.text);
        assert_eq!(entry(0), ("tasks.retried".to_owned(), format!("tasks?owner={root}")));
        let cancelled = "tasks?kind=noop&queue=default".to_owned();
        assert_eq!(entry(1), ("tasks.cancelled".to_owned(), cancelled));
        Ok(())
    }

    async fn acting_as_somebody_else_is_bounded_and_written_down(db: &Db) -> TestResult {
        let api = closed(db);
        let (ada, root) = (user(db, "ada", Role::Author).await?, user(db, "root", Role::Admin).await?);
        let by = token(&api, root).await?;
        let path = format!("/v1/admin/users/{ada}/impersonate");

        let borrowed = api.by(&by, Method::POST, &path, None).await?;
        assert_eq!(borrowed.status, 201, "{}", borrowed.text);
        let as_ada = format!("Bearer {}", borrowed.word("/access_token"));
        let me = api.by(&as_ada, Method::GET, "/v1/users/me", None).await?;
        let key = make_key(&api, &as_ada, json!(["tasks.read"])).await?;
        let sessions = api.by(&as_ada, Method::DELETE, "/v1/sessions", None).await?;
        let out = api.by(&as_ada, Method::POST, "/v1/logout", None).await?;
        let after = api.by(&as_ada, Method::GET, "/v1/users/me", None).await?;

        assert_eq!(me.word("/id"), ada.to_string());
        assert_eq!(me.word("/impersonator_id"), root.to_string());
        assert_eq!((key.problem().0, sessions.problem().0), (403, 403));
        assert_eq!((out.status.as_u16(), after.problem().0), (204, 401), "{}", out.text);
        let log = api.by(&by, Method::GET, "/v1/admin/audit?action=user.impersonated", None).await?;
        assert_eq!(log.word("/items/0/actor_id"), root.to_string(), "{}", log.text);
        assert!(matches!(audit::verify(&mut db.conn().await?).await?, Verdict::Whole { .. }));
        Ok(())
    }
}
