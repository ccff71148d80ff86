//! An author asks for a course, watches it being written, and takes it home.

use e2e::{app::TestApp, everywhere};
use models::testing::TestResult;
use reqwest::StatusCode;
use serde_json::{Value, json};

const TOPIC: &str = "Tide pools";

fn lessons(course: &Value) -> Vec<&Value> {
    let modules = course["modules"].as_array().into_iter().flatten();
    modules
        .flat_map(|module| module["lessons"].as_array().into_iter().flatten())
        .collect()
}

fn written(course: &Value) -> usize {
    let is_written =
        |lesson: &&&Value| matches!(lesson["status"].as_str(), Some("ready" | "needs_review"));
    lessons(course).iter().filter(is_written).count()
}

everywhere! {
    async fn an_author_asks_for_a_course_and_watches_it_until_the_export(
        stage: &Stage
    ) -> TestResult {
        let app = TestApp::start(stage).await?;
        let brief = json!({"topic": TOPIC, "lessons": 3, "seed": 7});

        let accepted = app.http.post("/v1/courses", &brief).await?;
        assert_eq!(accepted.status, StatusCode::ACCEPTED, "{accepted:?}");
        let id = accepted.text("id")?;
        assert_eq!(accepted.header("location"), Some(format!("/v1/tasks/{id}").as_str()));
        let course = accepted.body["links"]["subject"].as_str().ok_or("no subject")?.to_owned();
        let events = app.http.events(&id, None).await?;

        // A lesson can be read while the others are still being written.
        let early = app.http.until(&course, |course| written(course) > 0).await?;
        assert_eq!(early["status"], "writing", "{early}");
        assert!(written(&early) < lessons(&early).len(), "{early}");
        let unfinished = app.http.get(&format!("{course}/export?format=json")).await?;
        assert_eq!(unfinished.body["code"], "course_not_finished", "{unfinished:?}");

        let events = events.rest().await?;
        let ids: Vec<u64> = events.iter().map(|event| event.id).collect();
        assert_eq!(ids, (1..=events.len() as u64).collect::<Vec<_>>(), "a gap in the events");
        assert_eq!(events.last().map(|event| event.name.as_str()), Some("done"));
        let task = app.http.ended(&id).await?;
        assert_eq!(task["state"], "succeeded", "{task}");
        assert_eq!(task["progress"]["percent"], 100.0, "{task}");

        let finished = app.http.get(&course).await?.body;
        assert_eq!(finished["status"], "draft");
        assert_eq!(written(&finished), 3, "{finished}");
        let markdown = app.http.get(&format!("{course}/export?format=markdown")).await?;
        let text = markdown.body.as_str().unwrap_or_default().to_lowercase();
        assert!(text.contains(&TOPIC.to_lowercase()), "the course does not name its topic: {text}");
        app.close().await?;
        Ok(())
    }

    async fn a_course_that_was_cancelled_stops_with_its_lessons(stage: &Stage) -> TestResult {
        let app = TestApp::start(stage).await?;
        let accepted = app.http.post("/v1/courses", &json!({"topic": TOPIC})).await?;
        let id = accepted.text("id")?;
        app.http.until(&format!("/v1/tasks/{id}"), |task| task["state"] != "queued").await?;

        let cancelled = app.http.post(&format!("/v1/tasks/{id}/cancel"), &json!({})).await?;

        assert!(cancelled.status.is_success(), "{cancelled:?}");
        let task = app.http.ended(&id).await?;
        assert_eq!(task["state"], "cancelled", "{task}");
        // Its children end as well: nothing is left for close() to find.
        let children = format!("/v1/tasks?parent={id}");
        let ended = |page: &Value| {
            page["items"].as_array().is_some_and(|tasks| tasks.iter().all(|task| task["done"] == true))
        };
        app.http.until(&children, ended).await?;
        app.close().await?;
        Ok(())
    }

    // What a crash does is told by the kill -9 test of the lyo command, on the real process.
    async fn a_course_goes_on_after_a_restart(stage: &Stage) -> TestResult {
        let mut app = TestApp::start(stage).await?;
        let brief = json!({"topic": TOPIC, "lessons": 3, "seed": 11});
        let undisturbed = export(&app, &brief).await?;

        let accepted = app.http.post("/v1/courses", &brief).await?;
        let course = accepted.body["links"]["subject"].as_str().ok_or("no subject")?.to_owned();
        app.http.until(&course, |course| !lessons(course).is_empty()).await?;
        app.drain_and_restart().await?;
        app.http.ended(&accepted.text("id")?).await?;

        let disturbed = app.http.get(&format!("{course}/export?format=json")).await?;
        assert_eq!(disturbed.body, undisturbed);
        app.close().await?;
        Ok(())
    }
}

/// Has a course written without disturbance.
async fn export(app: &TestApp, brief: &Value) -> anyhow::Result<Value> {
    let accepted = app.http.post("/v1/courses", brief).await?;
    app.http.ended(&accepted.text("id")?).await?;
    let course = accepted.body["links"]["subject"]
        .as_str()
        .unwrap_or_default();
    Ok(app
        .http
        .get(&format!("{course}/export?format=json"))
        .await?
        .body)
}
