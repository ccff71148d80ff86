//! Every problem, provoked over HTTP and held to its snapshot.

use std::collections::HashSet;

use api::codes::{ALL, Code, Scope};
use models::testing::{TestDb, TestResult};
use poem::{Body, http::Method};
use serde_json::{Value, json};

use crate::provoke::{JSON, NOBODY, api, provoke};

#[tokio::test]
async fn every_problem_is_provoked_and_looks_as_documented() -> TestResult {
    let test = TestDb::sqlite().await?;
    let api = api(&test);
    let answers_requests = ALL.iter().filter(|code| code.scope != Scope::Tasks);

    for code in answers_requests {
        let answer = provoke(&api, code.name).await?;

        assert_eq!(
            answer.problem(),
            (code.status, code.name.to_owned()),
            "{}",
            answer.text
        );
        assert_eq!(
            answer.header("content-type"),
            "application/problem+json",
            "{}",
            code.name
        );
        assert_eq!(answer.header("x-request-id"), "snapshot", "{}", code.name);
        assert!(!answer.text.contains("secret"), "{} tells why", code.name);
        // Ids in paths differ each time.
        let mut body = answer.json();
        let path = answer.word("/instance");
        body["instance"] = path
            .split('/')
            .map(without_id)
            .collect::<Vec<_>>()
            .join("/")
            .into();
        insta::assert_json_snapshot!(code.name, body);
    }
    Ok(())
}

fn without_id(part: &str) -> &str {
    if part.len() == 36 { "{id}" } else { part }
}

#[test]
fn names_are_unique_and_found_in_both_spellings() {
    let names: HashSet<_> = ALL.iter().map(|code| code.name).collect();

    assert_eq!(names.len(), ALL.len());
    for code in ALL {
        let reference = code.reference();
        let spelling = reference.rsplit('/').next().unwrap_or_default();
        for name in [code.name, spelling] {
            assert_eq!(Code::find(name).map(|found| found.name), Some(code.name));
        }
    }
}

#[tokio::test]
async fn a_path_says_which_methods_it_takes() -> TestResult {
    let test = TestDb::sqlite().await?;
    let api = api(&test);
    let allowed = async |path: &str| {
        let answer = api.send(Method::PATCH, path, &[], Body::empty()).await?;
        assert_eq!(
            answer.problem(),
            (405, "method_not_allowed".to_owned()),
            "{path}"
        );
        let mut methods: Vec<_> = answer
            .header("allow")
            .split(", ")
            .map(str::to_owned)
            .collect();
        methods.sort();
        TestResult::Ok(methods.join(" "))
    };

    assert_eq!(allowed("/v1/tasks").await?, "GET HEAD POST");
    assert_eq!(allowed(NOBODY).await?, "DELETE GET HEAD");
    assert_eq!(allowed(&format!("/api{NOBODY}/cancel")).await?, "POST");
    assert_eq!(allowed("/openapi.json").await?, "GET HEAD");
    test.close().await
}

#[tokio::test]
async fn every_problem_has_a_page_in_two_forms() -> TestResult {
    let test = TestDb::sqlite().await?;
    let api = api(&test);
    let mut seen = HashSet::new();

    for code in ALL {
        let json = api.get(&code.reference()).await?;
        let html = api
            .get_with(&code.reference(), &[("accept", "text/html,*/*;q=0.8")])
            .await?;

        assert_eq!(json.word("/code"), code.name);
        assert!(
            html.header("content-type").starts_with("text/html"),
            "{}",
            code.name
        );
        assert!(html.text.contains(code.remedy), "{}", code.name);
        assert!(seen.insert(json.word("/type")), "{}", code.name);
    }
    assert_eq!(api.get("/problems/no-such-problem").await?.problem().0, 404);
    test.close().await
}

#[tokio::test]
async fn a_refused_field_is_named_by_its_pointer() -> TestResult {
    let test = TestDb::sqlite().await?;
    let api = api(&test);

    for (path, body, pointer, code) in refused_fields() {
        let answer = api.post(path, &body).await?;

        assert_eq!(
            answer.problem(),
            (422, "validation_failed".to_owned()),
            "{body}"
        );
        assert_eq!(answer.word("/errors/0/pointer"), pointer, "{body}");
        assert_eq!(answer.word("/errors/0/code"), code, "{body}");
    }
    test.close().await
}

/// A path, a body, the field that is wrong in it, and in which way.
fn refused_fields() -> [(&'static str, Value, &'static str, &'static str); 11] {
    [
        ("/v1/courses", json!({}), "/topic", "missing"),
        (
            "/v1/courses",
            json!({"topic": "Tides", "colour": "red"}),
            "/colour",
            "unknown",
        ),
        (
            "/v1/courses",
            json!({"topic": "Tides", "lessons": 61}),
            "/lessons",
            "invalid",
        ),
        (
            "/v1/courses",
            json!({"topic": "Tides", "lessons": "six"}),
            "/lessons",
            "invalid",
        ),
        (
            "/v1/courses",
            json!({"topic": "Tides", "objectives": ["a", ""]}),
            "/objectives/1",
            "invalid",
        ),
        ("/v1/tasks", json!({"kind": "noop"}), "/payload", "missing"),
        (
            "/v1/tasks",
            json!({"kind": "noop", "payload": {}}),
            "/payload/n",
            "missing",
        ),
        (
            "/v1/tasks",
            json!({"kind": "noop", "payload": {"n": 1, "m": 2}}),
            "/payload/m",
            "invalid",
        ),
        (
            "/v1/tasks",
            json!({"kind": "course.generate", "payload": {}}),
            "/kind",
            "unknown",
        ),
        (
            "/v1/tasks/batch",
            json!({"items": [{"payload": {}}]}),
            "/items/0/kind",
            "missing",
        ),
        ("/v1/tasks/batch", json!({"items": []}), "/items", "invalid"),
    ]
}

#[tokio::test]
async fn a_deep_body_is_refused_before_it_is_built() -> TestResult {
    let test = TestDb::sqlite().await?;
    let api = api(&test);
    let deep = "[".repeat(33) + &"]".repeat(33);

    let answer = api
        .send(Method::POST, "/v1/tasks", &[JSON], deep.into())
        .await?;

    assert_eq!(answer.problem(), (400, "malformed_json".to_owned()));
    test.close().await
}
