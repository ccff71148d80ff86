//! What operators see and do.

use api::{App, Operators};
use jobs::bell::Bell;
use models::{Db, on_both, testing::TestResult};
use platform::health::Health;
use poem::Route;
use serde_json::json;

use crate::harness::Api;

/// The API, operated by whoever sends this token.
fn operated(db: &Db, token: &str) -> Api {
    let mut app = App::new(db.clone(), Bell::in_process(), Health::default());
    app.operators = Operators::bearer(token);
    Api::with(app, Route::new())
}

fn operator(db: &Db) -> Api {
    let mut app = App::new(db.clone(), Bell::in_process(), Health::default());
    app.operators = Operators::Everybody;
    Api::with(app, Route::new())
}

on_both! {
    async fn only_the_operator_token_opens_the_door(db: &Db) -> TestResult {
        let api = operated(db, "secret");
        let ask = async |value: &str| {
            api.get_with("/v1/admin/queues", &[("authorization", value)]).await
        };

        assert_eq!(ask("Bearer secret").await?.status, 200);
        assert_eq!(ask("bearer secret").await?.status, 200);
        for wrong in ["Bearer Secret", "Bearer ", "Bearer", "secret", "Basic secret"] {
            let refused = ask(wrong).await?;
            assert_eq!(refused.problem(), (401, "operator_token_required".to_owned()), "{wrong}");
            assert_eq!(refused.header("www-authenticate"), "Bearer");
        }
        assert_eq!(Api::new(db).get("/v1/admin/queues").await?.status, 403);
        Ok(())
    }

    async fn a_queue_is_paused_and_resumed(db: &Db) -> TestResult {
        let api = operator(db);
        let task = api.noop(1).await?;
        let until = db.now() + chrono::TimeDelta::hours(1);
        let pause = json!({"mode": "paused", "paused_until": until});

        let paused = api.put("/v1/admin/queues/default", &pause).await?;
        let resumed = api.put("/v1/admin/queues/default", &json!({"mode": "open"})).await?;
        let listed = api.get("/v1/admin/queues").await?;

        assert_eq!(paused.word("/mode"), "paused");
        assert_eq!(paused.at("/due"), 1, "{}", paused.text);
        assert!(paused.at("/work_seconds").as_f64().is_some_and(|seconds| seconds > 0.0));
        assert_eq!(resumed.at("/paused_until"), json!(null));
        assert_eq!(listed.at("/items").as_array().map(Vec::len), Some(4));
        api.succeed(task).await?;
        let absent = api.put("/v1/admin/queues/nothing", &json!({"mode": "open"})).await?;
        assert_eq!(absent.problem().0, 404);
        let wrong = api.put("/v1/admin/queues/default", &json!({"mode": "closed"})).await?;
        assert_eq!(wrong.problem().0, 422);
        Ok(())
    }
}
