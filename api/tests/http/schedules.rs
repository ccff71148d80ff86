//! Schedules, as their owner makes and edits them.

use jobs::store::schedules;
use models::{Db, on_both, testing::TestResult};
use poem::{Body, http::Method};
use serde_json::{Value, json};

use crate::{harness::Api, provoke::JSON};

const NOBODY: &str = "/v1/schedules/01990000-0000-7000-8000-000000000000";

fn nightly() -> Value {
    json!({"name": "Nightly", "cron": "30 2 * * *", "time_zone": "Europe/Berlin",
        "kind": "noop", "payload": {"n": 1}})
}

fn with(field: &str, value: Value) -> Value {
    let mut schedule = nightly();
    schedule[field] = value;
    schedule
}

on_both! {
    async fn a_schedule_is_made_read_edited_and_deleted(db: &Db) -> TestResult {
        let api = Api::new(db);

        let made = api.post("/v1/schedules", &nightly()).await?;
        let path = made.header("location").to_owned();
        let found = api.get(&path).await?;
        let listed = api.get("/v1/schedules").await?;
        let edited = api.put(&path, &with("enabled", json!(false))).await?;
        let deleted = api.delete(&path).await?;

        assert_eq!(made.status, 201, "{}", made.text);
        assert_eq!(made.header("etag"), "\"1\"");
        assert_eq!(made.word("/misfire"), "once");
        assert!(made.word("/next_at").ends_with(":30:00Z"), "{}", made.text);
        assert_eq!(found.json(), made.json());
        assert_eq!(listed.at("/items/0"), made.json());
        assert_eq!(edited.header("etag"), "\"2\"");
        assert_eq!(edited.at("/next_at"), Value::Null);
        assert_eq!(deleted.status, 204);
        assert_eq!(api.get(&path).await?.problem().0, 404);
        Ok(())
    }

    async fn a_repeated_request_makes_no_second_schedule(db: &Db) -> TestResult {
        let api = Api::new(db);
        let key = [("idempotency-key", "nightly")];

        let first = api.post_with("/v1/schedules", &nightly(), &key).await?;
        let again = api.post_with("/v1/schedules", &nightly(), &key).await?;
        let other = api.post_with("/v1/schedules", &with("name", json!("Other")), &key).await?;

        assert_eq!(again.json(), first.json());
        assert_eq!((again.status.as_u16(), again.header("idempotent-replayed")), (201, "true"));
        assert_eq!(other.problem(), (422, "idempotency_mismatch".to_owned()));
        let listed = api.get("/v1/schedules").await?;
        assert_eq!(listed.at("/items").as_array().map(Vec::len), Some(1));
        Ok(())
    }

    async fn an_edit_of_an_old_version_is_refused(db: &Db) -> TestResult {
        let api = Api::new(db);
        let path = api.post("/v1/schedules", &nightly()).await?.header("location").to_owned();
        api.put(&path, &with("name", json!("Second"))).await?;

        let body = with("name", json!("Third")).to_string();
        let stale = [JSON, ("if-match", "\"1\"")];
        let refused = api.send(Method::PUT, &path, &stale, Body::from_string(body.clone())).await?;
        let blind = api.send(Method::PUT, &path, &[JSON], Body::from_string(body)).await?;

        assert_eq!(refused.problem(), (412, "precondition_failed".to_owned()));
        assert_eq!(blind.problem(), (428, "precondition_required".to_owned()));
        assert_eq!(api.get(&path).await?.word("/name"), "Second");
        assert_eq!(api.put(NOBODY, &nightly()).await?.problem().0, 404);
        assert_eq!(api.delete(NOBODY).await?.problem().0, 404);
        Ok(())
    }

    async fn what_could_not_fire_is_refused(db: &Db) -> TestResult {
        let api = Api::new(db);

        for (field, value) in [
            ("name", json!("")),
            ("cron", json!("60 * * * *")),
            ("cron", json!("0 0 31 2 *")),
            ("time_zone", json!("Europe/Atlantis")),
            ("misfire", json!("sometimes")),
            ("kind", json!("course.generate")),
            ("payload", json!({"n": "one"})),
            ("payload", json!([])),
            ("more", json!(1)),
        ] {
            let refused = api.post("/v1/schedules", &with(field, value.clone())).await?;
            assert_eq!(refused.problem().0, 422, "{field} {value}: {}", refused.text);
            let pointer = refused.word("/errors/0/pointer");
            assert!(pointer.starts_with(&format!("/{field}")), "{field} {value}: {pointer}");
        }
        Ok(())
    }

    async fn the_last_firing_leads_to_its_task(db: &Db) -> TestResult {
        let api = Api::new(db);
        let made = api.post("/v1/schedules", &nightly()).await?;
        let at = made.word("/next_at").parse()?;

        let fired = schedules::fire(db, at).await?;

        let found = api.get(made.header("location")).await?;
        assert_eq!(found.word("/last_at"), made.word("/next_at"));
        let task = api.get(&found.word("/last_task")).await?;
        assert_eq!(task.word("/id"), fired[0].id.to_string());
        Ok(())
    }
}
