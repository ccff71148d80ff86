//! A course from brief to draft, with a model that answers by a script, on both databases.

use std::sync::Arc;

use crate::{
    scripted::{Ask, Reply, Scripted, lesson},
    support::{Worker, brief, document, ended, submit, task},
};
use jobs::{State, store};
use models::{
    OwnerId,
    courses::{self, Brief, Status},
    lessons::{self, Status as LessonStatus},
    on_both,
    testing::{TestDb, TestResult},
};

fn good() -> Arc<Scripted> {
    Arc::new(Scripted::new(|_| Reply::Good))
}

/// Writes a course undisturbed and answers its document.
async fn write(test: &TestDb, brief: &Brief, model: &Arc<Scripted>) -> TestResult<String> {
    let (course, id) = submit(&test.db, brief).await?;
    let worker = Worker::start(test, model, 2)?;
    let task = ended(&test.db, id).await?;
    worker.drain().await?;
    assert_eq!(task.state, State::Succeeded, "{:?}", task.error);
    document(&test.db, course).await
}

on_both! {
    async fn a_brief_becomes_a_draft_with_lessons_and_quizzes(test: &TestDb) -> TestResult {
        let wanted = Brief { objectives: vec!["Read a tide table".to_owned()], ..brief(6) };
        let (course, id) = submit(&test.db, &wanted).await?;
        let worker = Worker::start(test, &good(), 2)?;

        let task = ended(&test.db, id).await?;
        worker.drain().await?;

        assert_eq!((task.state, task.percent), (State::Succeeded, 100.0), "{:?}", task.error);
        assert_eq!((task.children_succeeded, task.attempts_used()), (6, 1));
        let mut conn = test.db.conn().await?;
        let course = courses::get_any(&mut conn, course).await?;
        assert_eq!(course.status, Status::Draft);
        let quality = course.quality.ok_or("the gates reported")?;
        assert!(quality.passed, "{quality:?}");
        let repaired = quality.gates.iter().find(|gate| gate.gate == "objectives_repaired");
        assert!(repaired.is_some_and(|gate| gate.detail.contains("Read a tide table")));
        let lessons = lessons::list(&mut conn, course.id).await?;
        assert_eq!(lessons.len(), 6);
        for lesson in &lessons {
            assert_eq!((lesson.status, lesson.round), (LessonStatus::Ready, 1));
            let quiz = lesson.quiz.as_ref().ok_or("there is a quiz")?;
            assert_eq!(quiz.items.len(), 3);
            let provenance = lesson.provenance.as_ref().ok_or("somebody wrote it")?;
            assert_eq!(provenance.prompt_id, "lesson.md");
        }
        Ok(())
    }

    async fn of_the_lessons_only_the_first_is_urgent(test: &TestDb) -> TestResult {
        let model = good();

        write(test, &brief(6), &model).await?;

        assert_eq!(model.urgent(), ["lesson/1", "outline", "quiz/1"]);
        Ok(())
    }

    async fn the_same_seed_gives_the_same_bytes(test: &TestDb) -> TestResult {
        let first = write(test, &brief(4), &good()).await?;
        let second = write(test, &brief(4), &good()).await?;
        let other = write(test, &Brief { seed: Some(8), ..brief(4) }, &good()).await?;

        assert_eq!(first, second);
        assert_ne!(first, other);
        Ok(())
    }

    async fn one_lesson_that_cannot_be_read_does_not_lose_the_course(test: &TestDb) -> TestResult {
        let model = Arc::new(Scripted::new(|ask: &Ask| match ask.part.as_str() {
            "lesson/2" => Reply::Cut,
            _ => Reply::Good,
        }));
        let (course, id) = submit(&test.db, &brief(3)).await?;
        let worker = Worker::start(test, &model, 2)?;

        let task = ended(&test.db, id).await?;
        worker.drain().await?;

        assert_eq!(task.state, State::Succeeded, "{:?}", task.error);
        assert!(task.warnings.iter().any(|warning| warning.contains("Lesson 2")), "{:?}", task.warnings);
        assert_eq!(model.asked()["lesson/2"], 8, "it is asked as often as a small model is");
        let mut conn = test.db.conn().await?;
        let course = courses::get_any(&mut conn, course).await?;
        assert_eq!(course.status, Status::Draft);
        assert!(course.quality.is_some_and(|quality| !quality.passed));
        let statuses: Vec<_> =
            lessons::list(&mut conn, course.id).await?.iter().map(|lesson| lesson.status).collect();
        assert_eq!(statuses, [LessonStatus::Ready, LessonStatus::Failed, LessonStatus::Ready]);
        Ok(())
    }

    async fn a_course_without_any_lesson_fails_and_can_be_tried_again(test: &TestDb) -> TestResult {
        let broken = Arc::new(Scripted::new(|ask: &Ask| {
            if ask.part.starts_with("lesson/") { Reply::Cut } else { Reply::Good }
        }));
        let (course, id) = submit(&test.db, &brief(2)).await?;
        let worker = Worker::start(test, &broken, 2)?;
        let failed = ended(&test.db, id).await?;
        worker.drain().await?;
        assert_eq!(failed.state, State::Failed);
        assert_eq!(failed.error.map(|error| error.code).as_deref(), Some("no_lesson_written"));
        let before = courses::get_any(&mut test.db.conn().await?, course).await?;
        assert_eq!(before.status, Status::Failed);

        let mut tx = test.db.begin().await?;
        store::again(&mut tx, OwnerId::LOCAL, id, false, test.db.now()).await?;
        tx.commit().await?;
        let worker = Worker::start(test, &good(), 2)?;
        let task = ended(&test.db, id).await?;
        worker.drain().await?;

        assert_eq!(task.state, State::Succeeded, "{:?}", task.error);
        let after = courses::get_any(&mut test.db.conn().await?, course).await?;
        assert_eq!(after.status, Status::Draft);
        assert!(after.quality.is_some_and(|quality| quality.passed));
        Ok(())
    }

    async fn a_lesson_that_repeats_an_earlier_one_is_written_once_more(test: &TestDb) -> TestResult {
        // The first text of lesson 3 is that of lesson 1; the second is its own.
        let model = Arc::new(Scripted::new(|ask: &Ask| match (ask.part.as_str(), ask.before) {
            ("lesson/1" | "lesson/3", 0) => Reply::Json(lesson("Tide pools", 99)),
            _ => Reply::Good,
        }));
        let (course, id) = submit(&test.db, &brief(3)).await?;
        let worker = Worker::start(test, &model, 2)?;

        let task = ended(&test.db, id).await?;
        worker.drain().await?;

        assert_eq!(task.state, State::Succeeded, "{:?}", task.error);
        assert_eq!(task.warnings, Vec::<String>::new());
        let mut conn = test.db.conn().await?;
        let lessons = lessons::list(&mut conn, course).await?;
        let rounds: Vec<i64> = lessons.iter().map(|lesson| lesson.round).collect();
        assert_eq!(rounds, [1, 1, 2]);
        let course = courses::get_any(&mut conn, course).await?;
        assert!(course.quality.is_some_and(|quality| quality.passed));
        Ok(())
    }

    async fn a_lesson_that_repeats_an_earlier_one_twice_is_for_the_author(test: &TestDb) -> TestResult {
        let model = Arc::new(Scripted::new(|ask: &Ask| match ask.part.as_str() {
            "lesson/1" | "lesson/3" => Reply::Json(lesson("Tide pools", 99)),
            _ => Reply::Good,
        }));
        let (course, id) = submit(&test.db, &brief(3)).await?;
        let worker = Worker::start(test, &model, 2)?;

        let task = ended(&test.db, id).await?;
        worker.drain().await?;

        assert_eq!(task.state, State::Succeeded, "{:?}", task.error);
        let lessons = lessons::list(&mut test.db.conn().await?, course).await?;
        assert_eq!(lessons[2].status, LessonStatus::NeedsReview);
        assert_eq!(lessons[2].flags[0].gate, "near_duplicate");
        assert_eq!(lessons[0].status, LessonStatus::Ready);
        Ok(())
    }

    async fn a_quiz_that_cannot_be_read_leaves_the_lesson(test: &TestDb) -> TestResult {
        let model = Arc::new(Scripted::new(|ask: &Ask| match ask.part.as_str() {
            "quiz/1" => Reply::Cut,
            _ => Reply::Good,
        }));
        let (course, id) = submit(&test.db, &brief(1)).await?;
        let worker = Worker::start(test, &model, 2)?;

        let task = ended(&test.db, id).await?;
        worker.drain().await?;

        assert_eq!(task.state, State::Succeeded, "{:?}", task.error);
        let lesson = lessons::get(&mut test.db.conn().await?, course, 1).await?;
        assert_eq!(lesson.status, LessonStatus::NeedsReview);
        assert!(lesson.content.is_some());
        assert_eq!(lesson.flags[0].gate, "quiz_unreadable");
        Ok(())
    }

    async fn a_long_course_is_planned_in_parts(test: &TestDb) -> TestResult {
        let (course, id) = submit(&test.db, &brief(30)).await?;
        let model = good();
        let worker = Worker::start(test, &model, 4)?;

        let task = ended(&test.db, id).await?;
        worker.drain().await?;

        assert_eq!(task.state, State::Succeeded, "{:?}", task.error);
        assert_eq!(model.asked()["outline"], 3);
        let lessons = lessons::list(&mut test.db.conn().await?, course).await?;
        assert_eq!(lessons.len(), 30);
        assert_eq!(lessons[29].title, "Tide pools, part 3 10");
        Ok(())
    }

    async fn a_fault_of_the_engine_is_tried_again(test: &TestDb) -> TestResult {
        let model = Arc::new(Scripted::new(|ask: &Ask| match (ask.part.as_str(), ask.before) {
            ("outline", 0) => Reply::Fail,
            _ => Reply::Good,
        }));
        let (_, id) = submit(&test.db, &brief(1)).await?;
        let worker = Worker::start(test, &model, 1)?;

        let ended = ended(&test.db, id).await?;
        worker.drain().await?;

        assert_eq!(ended.state, State::Succeeded, "{:?}", ended.error);
        assert_eq!(task(&test.db, id).await?.attempts_used(), 2);
        Ok(())
    }
}
