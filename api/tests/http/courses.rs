//! Courses over HTTP: asked for, read while they are being written, exported, deleted.

use models::{
    Db,
    content::{Content, Quality, Quiz},
    courses::{self, Plan, PlannedLesson, PlannedModule},
    id::CourseId,
    lessons::{self, Status, Written},
    on_both,
    testing::TestResult,
};
use serde_json::json;

use crate::harness::{Answer, Api};

/// Asks for a course of two lessons; answers the task and the path of the course.
async fn ask(api: &Api) -> TestResult<(Answer, String)> {
    let brief = json!({"topic": " Tide pools ", "lessons": 2, "seed": 7});
    let task = api.post("/v1/courses", &brief).await?;
    assert_eq!(task.status, 202, "{}", task.text);
    let path = task.word("/links/subject");
    Ok((task, path))
}

fn id_in(path: &str) -> TestResult<CourseId> {
    Ok(path.rsplit('/').next().unwrap_or_default().parse()?)
}

/// Gives a course its outline, as the worker does.
async fn plan(api: &Api, path: &str) -> TestResult {
    let lesson = |title: &str| PlannedLesson {
        title: title.to_owned(),
        objectives: vec![format!("Explain {title}")],
    };
    let module = |title: &str, lessons| PlannedModule {
        title: title.to_owned(),
        lessons,
    };
    let plan = Plan {
        title: "Tide pools".to_owned(),
        summary: "Life between the tides.".to_owned(),
        modules: vec![
            module("Shores", vec![lesson("Tides")]),
            module("Life", vec![lesson("Anemones")]),
        ],
        ..Plan::default()
    };
    let mut tx = api.app.db.begin().await?;
    courses::plan(&mut tx, id_in(path)?, &plan, api.app.db.now()).await?;
    Ok(tx.commit().await?)
}

/// Writes a lesson, as the worker does.
async fn write(api: &Api, path: &str, ordinal: i64) -> TestResult {
    let now = api.app.db.now();
    let lesson = lessons::get(&mut api.app.db.conn().await?, id_in(path)?, ordinal).await?;
    let written = Written {
        content: Content {
            summary: "Twice a day.".to_owned(),
            ..Content::default()
        },
        quiz: Quiz::default(),
        flags: Vec::new(),
        provenance: models::content::Provenance::default(),
        status: Status::Ready,
    };
    let mut tx = api.app.db.begin().await?;
    lessons::begin(&mut tx, lesson.id, now).await?;
    assert!(lessons::finish(&mut tx, lesson.id, 1, &written, now).await?);
    Ok(tx.commit().await?)
}

async fn finish(api: &Api, path: &str) -> TestResult {
    let mut tx = api.app.db.begin().await?;
    courses::finish(&mut tx, id_in(path)?, &Quality::default(), api.app.db.now()).await?;
    Ok(tx.commit().await?)
}

on_both! {
    async fn a_course_can_be_read_from_the_first_moment(db: &Db) -> TestResult {
        let api = Api::new(db);

        let (task, path) = ask(&api).await?;
        let course = api.get(&path).await?;

        assert_eq!(task.word("/kind"), "course.generate");
        assert_eq!(task.word("/priority"), "interactive");
        assert_eq!(task.header("location"), task.word("/links/self"));
        assert_eq!(course.status, 200);
        assert_eq!(course.word("/status"), "writing");
        assert_eq!(course.word("/brief/topic"), "Tide pools");
        assert_eq!(course.word("/brief/audience"), "curious beginners");
        assert_eq!(course.at("/seed"), 7);
        assert_eq!(course.at("/modules"), json!([]));
        assert_eq!(course.word("/links/task"), task.word("/links/self"));
        let listed = api.get("/v1/courses?limit=1").await?;
        assert_eq!(listed.word("/items/0/id"), course.word("/id"));
        assert!(listed.at("/next").is_null());
        Ok(())
    }

    async fn lessons_appear_as_they_are_written(db: &Db) -> TestResult {
        let api = Api::new(db);
        let (_, path) = ask(&api).await?;
        let empty = api.get(&path).await?;
        plan(&api, &path).await?;

        let planned = api.get_with(&path, &[("if-none-match", empty.header("etag"))]).await?;
        let second = format!("{path}/lessons/2");
        let pending = api.get(&second).await?;
        write(&api, &path, 1).await?;
        let known = [("if-none-match", pending.header("etag"))];
        let untouched = api.get_with(&second, &known).await?;
        write(&api, &path, 2).await?;
        let written = api.get_with(&second, &known).await?;
        let course = api.get_with(&path, &[("if-none-match", planned.header("etag"))]).await?;

        assert_eq!(planned.status, 200);
        assert_eq!(planned.word("/modules/1/lessons/0/title"), "Anemones");
        assert_eq!(planned.word("/modules/1/lessons/0/links/self"), second);
        assert_eq!(pending.word("/status"), "pending");
        assert!(pending.at("/content").is_null());
        assert_eq!(untouched.status, 304);
        assert_eq!(written.word("/content/summary"), "Twice a day.");
        assert_eq!(written.at("/objectives"), json!(["Explain Anemones"]));
        assert_eq!(course.status, 200, "the course changes with its lessons");
        assert_eq!(course.word("/modules/1/lessons/0/status"), "ready");
        assert_eq!(api.get(&format!("{path}/lessons/3")).await?.problem().0, 404);
        Ok(())
    }

    async fn a_finished_course_is_exported_in_both_forms(db: &Db) -> TestResult {
        let api = Api::new(db);
        let (_, path) = ask(&api).await?;
        let early = api.get(&format!("{path}/export")).await?;
        plan(&api, &path).await?;
        write(&api, &path, 1).await?;
        write(&api, &path, 2).await?;
        finish(&api, &path).await?;

        let markdown = api.get(&format!("{path}/export")).await?;
        let document = api.get(&format!("{path}/export?format=json")).await?;
        let odd = api.get(&format!("{path}/export?format=docx")).await?;

        assert_eq!(early.problem(), (409, "course_not_finished".to_owned()));
        assert_eq!(markdown.header("content-type"), "text/markdown; charset=utf-8");
        assert!(markdown.text.contains("Anemones"), "{}", markdown.text);
        assert_eq!(document.header("content-type"), "application/json");
        assert!(document.text.contains("Anemones"), "{}", document.text);
        assert_eq!(odd.problem(), (400, "invalid_parameter".to_owned()));
        Ok(())
    }

    async fn deleting_a_course_cancels_its_task(db: &Db) -> TestResult {
        let api = Api::new(db);
        let (task, path) = ask(&api).await?;

        let deleted = api.delete(&path).await?;

        assert_eq!((deleted.status.as_u16(), deleted.text.as_str()), (204, ""));
        assert_eq!(api.get(&path).await?.problem(), (404, "not_found".to_owned()));
        assert_eq!(api.get(&task.word("/links/self")).await?.word("/state"), "cancelled");
        assert_eq!(api.delete(&path).await?.problem().0, 404);
        Ok(())
    }

    async fn a_course_whose_task_is_retried_is_being_written_again(db: &Db) -> TestResult {
        let api = Api::new(db);
        let (task, path) = ask(&api).await?;
        api.fail(task.word("/id").parse()?).await?;
        let mut tx = db.begin().await?;
        courses::fail(&mut tx, id_in(&path)?, db.now()).await?;
        tx.commit().await?;
        assert_eq!(api.get(&path).await?.word("/status"), "failed");

        api.post(&format!("{}/retry", task.word("/links/self")), &json!(null)).await?;

        assert_eq!(api.get(&path).await?.word("/status"), "writing");
        Ok(())
    }
}
