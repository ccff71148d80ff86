//! Courses and lessons through their whole life, on both databases.

use chrono::{DateTime, TimeDelta, Utc};
use models::{
    CourseId, Db, Error, Limit, OwnerId, Tx,
    content::{Content, Flag, Provenance, Quality, Quiz},
    courses::{self, Brief, Course, Plan, PlannedLesson, PlannedModule, Status},
    lessons::{self, Lesson, Written},
    modules, on_both,
    testing::TestResult,
};

on_both! {
    async fn a_seed_is_drawn_when_absent_and_kept_when_given(db: &Db) -> TestResult {
        let mut tx = db.begin().await?;
        let given = Brief { seed: Some(courses::SEED_END - 1), ..Brief::new("Tides") };

        let given = courses::create(&mut tx, OwnerId::LOCAL, &given, db.now()).await?;
        let drawn = create(&mut tx, db.now()).await?;
        let other = create(&mut tx, db.now()).await?;

        assert_eq!(given.seed, courses::SEED_END - 1);
        assert_ne!(drawn.seed, other.seed);
        assert_eq!((drawn.version, drawn.status), (1, Status::Writing));
        Ok(())
    }

    async fn a_course_belongs_to_its_owner(db: &Db) -> TestResult {
        let mut tx = db.begin().await?;
        let course = create(&mut tx, db.now()).await?;
        let stranger = OwnerId::new();

        assert_eq!(courses::get(&mut tx, OwnerId::LOCAL, course.id).await?, course);
        let foreign = courses::get(&mut tx, stranger, course.id).await;
        assert!(matches!(foreign, Err(Error::NotFound("course"))));
        let deleted = courses::delete(&mut tx, stranger, course.id).await;
        assert!(matches!(deleted, Err(Error::NotFound("course"))));
        assert!(courses::list(&mut tx, stranger, None, Limit::default()).await?.items.is_empty());
        let unknown = courses::get_any(&mut tx, CourseId::new()).await;
        assert!(matches!(unknown, Err(Error::NotFound("course"))));
        Ok(())
    }

    async fn a_course_knows_its_task(db: &Db) -> TestResult {
        let mut tx = db.begin().await?;
        let course = create(&mut tx, db.now()).await?;

        // Foreign keys hold: a task has to be there.
        let refused = courses::attach(&mut tx, course.id, models::TaskId::new()).await;

        assert!(matches!(refused, Err(Error::Database(_))));
        Ok(())
    }

    async fn pages_are_complete_although_times_are_equal(db: &Db) -> TestResult {
        let mut tx = db.begin().await?;
        let now = db.now();
        let mut expected = Vec::new();
        for number in 0..7 {
            let time = now + TimeDelta::microseconds(number / 3);
            expected.push(create(&mut tx, time).await?.id);
        }
        expected.reverse();

        let mut found = Vec::new();
        let mut cursor = None;
        loop {
            let page = courses::list(&mut tx, OwnerId::LOCAL, cursor, Limit::new(3)?).await?;
            found.extend(page.items.iter().map(|course| course.id));
            let Some(next) = page.next else { break };
            // What arrives meanwhile is newer, and belongs to a page before.
            create(&mut tx, now + TimeDelta::seconds(1)).await?;
            cursor = Some(next.to_string().parse()?);
        }

        assert_eq!(found, expected);
        Ok(())
    }

    async fn a_plan_becomes_modules_and_lessons_once(db: &Db) -> TestResult {
        let mut tx = db.begin().await?;
        let course = create(&mut tx, db.now()).await?;

        courses::plan(&mut tx, course.id, &plan(), db.now()).await?;
        let first = lessons::list(&mut tx, course.id).await?;
        let other = Plan { title: "Other".to_owned(), ..plan() };
        courses::plan(&mut tx, course.id, &other, db.now()).await?;

        let planned = courses::get_any(&mut tx, course.id).await?;
        assert_eq!(planned.title.as_deref(), Some("Tides"));
        assert_eq!(planned.version, 2);
        assert_eq!(planned.provenance, Some(Provenance::default()));
        assert_eq!(lessons::list(&mut tx, course.id).await?, first);
        let places: Vec<_> = first.iter().map(|lesson| (lesson.ordinal, &*lesson.title)).collect();
        assert_eq!(places, [(1, "Moon"), (2, "Sun \"too\""), (3, "Bays")]);
        assert_eq!(first[0].objectives, ["See", "Say"]);
        let modules = modules::list(&mut tx, course.id).await?;
        assert_eq!(modules.iter().map(|module| module.ordinal).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(first[2].module_id, modules[1].id);
        Ok(())
    }

    async fn a_course_without_lessons_is_planned_too(db: &Db) -> TestResult {
        let mut tx = db.begin().await?;
        let course = create(&mut tx, db.now()).await?;

        courses::plan(&mut tx, course.id, &Plan::default(), db.now()).await?;

        assert!(lessons::list(&mut tx, course.id).await?.is_empty());
        Ok(())
    }

    async fn every_step_of_a_lesson_raises_both_versions(db: &Db) -> TestResult {
        let mut tx = db.begin().await?;
        let now = db.now();
        let (course, lesson) = planned(&mut tx, now).await?;
        let id = lesson.id;

        lessons::begin(&mut tx, id, now).await?;
        let begun = lessons::get(&mut tx, course.id, 1).await?;
        assert!(lessons::finish(&mut tx, id, 1, &written("one"), now).await?);
        lessons::flag(&mut tx, id, &[flag()], now).await?;
        let flagged = lessons::get_any(&mut tx, id).await?;
        lessons::begin(&mut tx, id, now).await?;
        assert!(lessons::finish(&mut tx, id, 2, &written("two"), now).await?);

        let last = lessons::get_any(&mut tx, id).await?;
        assert_eq!(begun.status, lessons::Status::Generating);
        assert_eq!(flagged.status, lessons::Status::NeedsReview);
        assert_eq!(flagged.flags, [flag()]);
        assert_eq!(last.status, lessons::Status::Ready);
        assert_eq!(last.content, Some(written("two").content));
        assert_eq!((last.round, last.version), (2, 6));
        assert_eq!(courses::get_any(&mut tx, course.id).await?.version, course.version + 5);
        Ok(())
    }

    async fn a_round_is_written_once(db: &Db) -> TestResult {
        let mut tx = db.begin().await?;
        let (course, lesson) = planned(&mut tx, db.now()).await?;

        let first = lessons::finish(&mut tx, lesson.id, 2, &written("two"), db.now()).await?;
        let before = courses::get_any(&mut tx, course.id).await?;
        let again = lessons::finish(&mut tx, lesson.id, 2, &written("again"), db.now()).await?;
        let late = lessons::finish(&mut tx, lesson.id, 1, &written("late"), db.now()).await?;

        assert_eq!((first, again, late), (true, false, false));
        let found = lessons::get_any(&mut tx, lesson.id).await?;
        assert_eq!(found.content, Some(written("two").content));
        assert_eq!(courses::get_any(&mut tx, course.id).await?, before);
        Ok(())
    }

    async fn steps_that_do_not_apply_change_nothing(db: &Db) -> TestResult {
        let mut tx = db.begin().await?;
        let now = db.now();
        let (_, lesson) = planned(&mut tx, now).await?;

        lessons::flag(&mut tx, lesson.id, &[flag()], now).await?;
        assert_eq!(lessons::get_any(&mut tx, lesson.id).await?, lesson, "only a ready one");
        lessons::finish(&mut tx, lesson.id, 1, &written("one"), now).await?;
        let ready = lessons::get_any(&mut tx, lesson.id).await?;
        lessons::begin(&mut tx, lesson.id, now).await?;
        lessons::fail(&mut tx, lesson.id, now).await?;

        assert_eq!(lessons::get_any(&mut tx, lesson.id).await?, ready, "a ready one stays ready");
        Ok(())
    }

    async fn a_lesson_that_fails_keeps_the_text_it_has(db: &Db) -> TestResult {
        let mut tx = db.begin().await?;
        let now = db.now();
        let (course, first) = planned(&mut tx, now).await?;
        let second = lessons::get(&mut tx, course.id, 2).await?;
        lessons::finish(&mut tx, first.id, 1, &written("one"), now).await?;
        lessons::flag(&mut tx, first.id, &[flag()], now).await?;
        lessons::begin(&mut tx, first.id, now).await?;

        lessons::fail(&mut tx, first.id, now).await?;
        lessons::fail(&mut tx, second.id, now).await?;

        let first = lessons::get_any(&mut tx, first.id).await?;
        assert_eq!(first.status, lessons::Status::NeedsReview);
        assert_eq!(first.content, Some(written("one").content));
        let second = lessons::get_any(&mut tx, second.id).await?;
        assert_eq!(second.status, lessons::Status::Failed);
        Ok(())
    }

    async fn a_course_ends_as_a_draft_or_fails_and_may_resume(db: &Db) -> TestResult {
        let mut tx = db.begin().await?;
        let now = db.now();
        let course = create(&mut tx, now).await?;
        let quality = Quality { gates: Vec::new(), passed: true };

        courses::resume(&mut tx, course.id, now).await?;
        assert_eq!(courses::get_any(&mut tx, course.id).await?, course, "only a failed one");
        courses::fail(&mut tx, course.id, now).await?;
        courses::finish(&mut tx, course.id, &quality, now).await?;
        let failed = courses::get_any(&mut tx, course.id).await?;
        assert_eq!((failed.status, failed.version), (Status::Failed, 2));
        courses::resume(&mut tx, course.id, now).await?;
        courses::finish(&mut tx, course.id, &quality, now).await?;
        courses::fail(&mut tx, course.id, now).await?;

        let draft = courses::get_any(&mut tx, course.id).await?;
        assert_eq!((draft.status, draft.version), (Status::Draft, 4));
        assert_eq!(draft.quality, Some(quality));
        assert_eq!(draft.finished_at, Some(now));
        Ok(())
    }

    async fn deleting_a_course_takes_its_lessons_with_it(db: &Db) -> TestResult {
        let mut tx = db.begin().await?;
        let (course, lesson) = planned(&mut tx, db.now()).await?;

        courses::delete(&mut tx, OwnerId::LOCAL, course.id).await?;

        let gone = lessons::get_any(&mut tx, lesson.id).await;
        assert!(matches!(gone, Err(Error::NotFound("lesson"))));
        assert!(modules::list(&mut tx, course.id).await?.is_empty());
        let again = courses::delete(&mut tx, OwnerId::LOCAL, course.id).await;
        assert!(matches!(again, Err(Error::NotFound("course"))));
        let late = lessons::get(&mut tx, course.id, 1).await;
        assert!(matches!(late, Err(Error::NotFound("lesson"))));
        Ok(())
    }
}

async fn create(tx: &mut Tx, now: DateTime<Utc>) -> models::Result<Course> {
    courses::create(tx, OwnerId::LOCAL, &Brief::new("Tides"), now).await
}

async fn planned(tx: &mut Tx, now: DateTime<Utc>) -> models::Result<(Course, Lesson)> {
    let course = create(tx, now).await?;
    courses::plan(tx, course.id, &plan(), now).await?;
    let lesson = lessons::get(tx, course.id, 1).await?;
    Ok((courses::get_any(tx, course.id).await?, lesson))
}

fn plan() -> Plan {
    let lesson = |title: &str, objectives: &[&str]| PlannedLesson {
        title: title.to_owned(),
        objectives: objectives
            .iter()
            .map(|&objective| objective.to_owned())
            .collect(),
    };
    let module = |title: &str, lessons| PlannedModule {
        title: title.to_owned(),
        lessons,
    };
    Plan {
        title: "Tides".to_owned(),
        summary: "Why the sea rises.".to_owned(),
        provenance: Provenance::default(),
        modules: vec![
            module(
                "Causes",
                vec![lesson("Moon", &["See", "Say"]), lesson("Sun \"too\"", &[])],
            ),
            module("Places", vec![lesson("Bays", &["Go"])]),
        ],
    }
}

fn written(summary: &str) -> Written {
    Written {
        content: Content {
            summary: summary.to_owned(),
            ..Content::default()
        },
        quiz: Quiz::default(),
        flags: Vec::new(),
        provenance: Provenance::default(),
        status: lessons::Status::Ready,
    }
}

fn flag() -> Flag {
    Flag {
        gate: "repetition".to_owned(),
        detail: "like lesson 2".to_owned(),
    }
}
