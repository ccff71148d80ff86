//! Budgets, pages of other sites, and names of the API.

use api::{App, Network, NetworkArgs};
use clap::Parser;
use jobs::bell::Bell;
use models::{
    Db,
    roles::Role,
    testing::{TestDb, TestResult},
};
use platform::health::Health;
use poem::{Body, Route, http::Method};

use crate::{
    harness::Api,
    people::{token, user},
};

const ORIGIN: &str = "https://app.example.com";

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    network: NetworkArgs,
}

/// The API where everybody has to sign in, with these settings.
fn api(db: &Db, settings: &[&str]) -> TestResult<Api> {
    let program = Program::try_parse_from(["lyo"].iter().chain(settings))?;
    let mut app = App::new(db.clone(), Bell::in_process(), Health::default());
    app.open = false;
    app.network = Network::new(program.network);
    Ok(Api::with(app, Route::new()))
}

#[tokio::test]
async fn a_caller_has_a_budget_and_is_told_what_is_left() -> TestResult {
    let test = TestDb::sqlite().await?;
    let api = api(
        &test.db,
        &["--reads-per-second", "1", "--writes-per-second", "2"],
    )?;
    let ada = token(&api, user(&test.db, "ada", Role::Author).await?).await?;
    let bob = token(&api, user(&test.db, "bob", Role::Author).await?).await?;
    let tasks = |token| api.by(token, Method::GET, "/v1/tasks", None);

    let first = tasks(&ada).await?;
    assert_eq!(first.header("ratelimit-policy"), "\"reads\";q=30;w=30");
    assert_eq!(first.header("ratelimit"), "\"reads\";r=29;t=1");
    let mut last = first;
    for _ in 0..100 {
        last = tasks(&ada).await?;
        if last.status == 429 {
            break;
        }
    }

    assert_eq!(last.problem(), (429, "rate_limited".to_owned()));
    assert_eq!(last.header("retry-after"), "1");
    assert_eq!(tasks(&bob).await?.status, 200, "somebody else");
    let body = serde_json::json!({"kind": "noop", "payload": {"n": 1}});
    let submitted = api.by(&ada, Method::POST, "/v1/tasks", Some(&body)).await?;
    assert_eq!(submitted.status, 202, "{}", submitted.text);
    assert_eq!(submitted.header("ratelimit-policy"), "\"writes\";q=60;w=30");
    Ok(())
}

#[tokio::test]
async fn who_has_the_machine_to_themselves_has_no_budget() -> TestResult {
    let test = TestDb::sqlite().await?;
    let answer = Api::new(&test.db).get("/v1/tasks").await?;

    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("ratelimit"), "");
    Ok(())
}

#[tokio::test]
async fn pages_of_known_sites_may_use_the_api() -> TestResult {
    let test = TestDb::sqlite().await?;
    let api = api(&test.db, &["--origins", ORIGIN])?;
    let preflight = [
        ("origin", ORIGIN),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,content-type",
        ),
    ];

    let may = api
        .send(Method::OPTIONS, "/v1/tasks", &preflight, Body::empty())
        .await?;
    assert_eq!(may.status, 200);
    assert_eq!(may.header("access-control-allow-origin"), ORIGIN);
    assert_eq!(
        may.header("access-control-allow-headers"),
        "authorization,content-type"
    );
    let problem = api.get_with("/v1/tasks", &[("origin", ORIGIN)]).await?;
    assert_eq!(problem.problem(), (401, "token_required".to_owned()));
    assert_eq!(problem.header("access-control-allow-origin"), ORIGIN);
    assert!(
        problem
            .header("access-control-expose-headers")
            .contains("ratelimit")
    );
    assert_eq!(problem.header("vary"), "Origin");
    assert_eq!(problem.header("access-control-allow-credentials"), "");

    let other = api
        .get_with("/v1/tasks", &[("origin", "https://evil.example")])
        .await?;
    assert_eq!(other.problem(), (403, "origin_not_allowed".to_owned()));
    assert_eq!(other.header("access-control-allow-origin"), "");
    Ok(())
}

#[tokio::test]
async fn the_api_answers_to_its_names_alone() -> TestResult {
    let test = TestDb::sqlite().await?;
    let api = api(&test.db, &["--hosts", "api.example.com"])?;
    for (path, host, status) in [
        ("/v1/tasks", "other.example.com", 421),
        ("/v1/tasks", "api.example.com:443", 401),
        ("/healthz", "10.1.2.3:8080", 200),
    ] {
        let answer = api.get_with(path, &[("host", host)]).await?;
        assert_eq!(answer.status, status, "{path} of {host}");
    }
    Ok(())
}
