//! The rows that a task was about learn of its end, whoever ends it.

use jobs::{
    State, Task,
    kinds::{GenerateCourse, WriteLesson},
    store::{self, Options},
};
use models::{
    Db, OwnerId, Result,
    content::Provenance,
    courses::{self, Brief, Course, Plan, PlannedLesson, PlannedModule},
    lessons::{self, Lesson},
    on_both,
    testing::TestResult,
};

use crate::support::{between, cancel, child_of, commit, fail, get, options, seconds, start};

/// A course that nobody began to write, with its task.
async fn asked(db: &Db, options: Options) -> Result<(Course, Task)> {
    let mut tx = db.begin().await?;
    let course = courses::create(&mut tx, OwnerId::LOCAL, &Brief::new("Tides"), db.now()).await?;
    let job = GenerateCourse {
        course_id: course.id,
    };
    let task = store::enqueue(&mut tx, &job, options, db.now()).await?;
    tx.commit().await?;
    Ok((course, task))
}

/// A course of one lesson that waits for it, and the lesson's task.
async fn planned(db: &Db) -> Result<(Course, Task, Task)> {
    let (course, parent) = asked(db, options()).await?;
    let parent = start(db, parent.id, db.now()).await?;
    let plan = Plan {
        title: "Tides".to_owned(),
        summary: String::new(),
        modules: vec![PlannedModule {
            title: "One".to_owned(),
            lessons: vec![PlannedLesson::default()],
        }],
        provenance: Provenance::default(),
    };
    let mut tx = db.begin().await?;
    courses::plan(&mut tx, course.id, &plan, db.now()).await?;
    let lesson = lessons::get(&mut tx, course.id, 1).await?;
    let job = WriteLesson {
        course_id: course.id,
        lesson_id: lesson.id,
        round: 1,
        reason: None,
    };
    let child = store::enqueue(&mut tx, &job, child_of(&parent, "lesson/1/1"), db.now()).await?;
    tx.commit().await?;
    let wait = between(10.0, 90.0);
    commit!(db, tx => store::wait(&mut tx, parent.lease(), &wait, db.now()));
    Ok((course, parent, child))
}

async fn status(db: &Db, course: &Course) -> Result<courses::Status> {
    let mut conn = db.conn().await?;
    Ok(courses::get(&mut conn, OwnerId::LOCAL, course.id)
        .await?
        .status)
}

async fn lesson(db: &Db, course: &Course) -> Result<Lesson> {
    lessons::get(&mut db.conn().await?, course.id, 1).await
}

on_both! {
    async fn a_course_cancelled_before_it_began_is_not_being_written(db: &Db) -> TestResult {
        let (course, task) = asked(db, options()).await?;

        cancel(db, &task).await?;

        assert_eq!(status(db, &course).await?, courses::Status::Failed);
        Ok(())
    }

    async fn a_course_cancelled_while_it_waits_ends_with_its_lessons(db: &Db) -> TestResult {
        let (course, parent, _) = planned(db).await?;

        cancel(db, &parent).await?;

        assert_eq!(status(db, &course).await?, courses::Status::Failed);
        assert_eq!(lesson(db, &course).await?.status, lessons::Status::Failed);
        Ok(())
    }

    async fn a_course_that_expires_is_not_being_written(db: &Db) -> TestResult {
        let expires_at = Some(db.now() + seconds(1));
        let (course, task) = asked(db, Options { expires_at, ..options() }).await?;

        store::reap(db, db.now() + seconds(2), 100).await?;

        assert_eq!(get(db, task.id).await?.state, State::Expired);
        assert_eq!(status(db, &course).await?, courses::Status::Failed);
        Ok(())
    }

    async fn a_course_whose_workers_all_died_is_not_being_written(db: &Db) -> TestResult {
        let (course, task) = asked(db, options()).await?;
        for _ in 0..task.attempts_max {
            assert_eq!(status(db, &course).await?, courses::Status::Writing);
            // Late enough for a task that lost several workers.
            start(db, task.id, db.now() + seconds(5)).await?;
            store::take_over(db, db.now()).await?;
        }

        assert_eq!(get(db, task.id).await?.state, State::Failed);
        assert_eq!(status(db, &course).await?, courses::Status::Failed);
        Ok(())
    }

    async fn a_lesson_that_fails_leaves_its_course(db: &Db) -> TestResult {
        let (course, parent, child) = planned(db).await?;
        let child = start(db, child.id, db.now()).await?;

        fail(db, &child).await?;

        assert_eq!(lesson(db, &course).await?.status, lessons::Status::Failed);
        assert_eq!(status(db, &course).await?, courses::Status::Writing);
        assert_eq!(get(db, parent.id).await?.state, State::Queued);
        Ok(())
    }

    async fn a_course_that_is_gone_holds_up_no_end(db: &Db) -> TestResult {
        let (course, task) = asked(db, options()).await?;
        commit!(db, tx => courses::delete(&mut tx, OwnerId::LOCAL, course.id));

        cancel(db, &task).await?;

        assert_eq!(get(db, task.id).await?.state, State::Cancelled);
        Ok(())
    }
}
