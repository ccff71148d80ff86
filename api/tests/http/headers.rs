//! What every request and answer carries, whatever the operation.

use models::{Db, on_both, testing::TestResult};
use serde_json::json;

use crate::harness::Api;

on_both! {
    async fn a_sane_request_id_is_taken_over_and_another_one_is_not(db: &Db) -> TestResult {
        let api = Api::new(db);

        let sane = api.get_with("/healthz", &[("x-request-id", "abc-1")]).await?;
        let odd = api.get_with("/healthz", &[("x-request-id", "a b")]).await?;
        let long = api.get_with("/healthz", &[("x-request-id", &"x".repeat(129))]).await?;

        assert_eq!(sane.header("x-request-id"), "abc-1");
        assert_eq!(odd.header("x-request-id").len(), 36);
        assert_eq!(long.header("x-request-id").len(), 36);
        assert_eq!(sane.header("x-content-type-options"), "nosniff");
        assert_eq!(sane.header("x-frame-options"), "DENY");
        assert_eq!(sane.header("referrer-policy"), "no-referrer");
        assert_eq!(sane.header("cross-origin-resource-policy"), "same-origin");
        Ok(())
    }

    async fn the_trace_of_a_request_is_stored_and_echoed(db: &Db) -> TestResult {
        let api = Api::new(db);
        let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let body = json!({"kind": "noop", "payload": {"n": 1}});

        let traced = api.post_with("/v1/tasks", &body, &[("traceparent", traceparent)]).await?;
        let untraced = api.post_with("/v1/tasks", &body, &[("traceparent", "00-x")]).await?;

        assert_eq!(traced.word("/trace_id"), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(traced.header("traceparent"), traceparent);
        assert!(untraced.at("/trace_id").is_null());
        assert_eq!(untraced.header("traceparent"), "");
        Ok(())
    }

    async fn the_names_under_api_stand_for_the_real_ones(db: &Db) -> TestResult {
        let api = Api::new(db);
        let id = api.noop(1).await?;

        assert_eq!(api.get(&format!("/api/v1/tasks/{id}")).await?.word("/id"), id.to_string());
        assert_eq!(api.get("/api/v1/tasks?limit=1").await?.status, 200);
        assert_eq!(api.get("/api/health").await?.word("/status"), "ok");
        assert_eq!(api.get("/api/ready").await?.at("/ready"), true);
        assert_eq!(api.get("/api/healthz").await?.status, 404);
        Ok(())
    }

    async fn a_condition_that_cannot_be_read_is_not_overlooked(db: &Db) -> TestResult {
        let api = Api::new(db);
        let body = json!({"kind": "noop", "payload": {"n": 1}});

        let key = api.post_with("/v1/tasks", &body, &[("idempotency-key", "schlüssel")]).await?;
        let tag = api.get_with("/v1/tasks", &[("if-match", "\"ü\"")]).await?;

        assert_eq!(key.problem(), (400, "malformed_idempotency_key".to_owned()));
        assert_eq!(tag.problem(), (400, "invalid_parameter".to_owned()));
        assert_eq!(tag.word("/errors/0/parameter"), "if-match");
        Ok(())
    }

    async fn readiness_tells_of_every_part(db: &Db) -> TestResult {
        use platform::health::Status;
        let api = Api::new(db);
        api.app.health.set("model", Status::Starting("Downloading, 43 %".to_owned()));

        let starting = api.get("/readyz").await?;
        api.app.health.set("bell", Status::Down("no answer".to_owned()));
        let down = api.get("/readyz").await?;
        api.app.db.close().await;
        let closed = api.get("/readyz").await?;

        assert_eq!(starting.status, 200);
        assert_eq!(starting.at("/components/model/detail"), "Downloading, 43 %");
        assert_eq!(starting.at("/components/database/state"), "ready");
        assert_eq!(down.status, 503);
        assert_eq!(down.at("/components/bell/state"), "down");
        assert_eq!(closed.at("/components/database/state"), "down");
        assert_eq!(api.get("/healthz").await?.status, 200);
        Ok(())
    }
}
