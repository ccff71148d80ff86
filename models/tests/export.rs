//! What a course looks like outside of the database.

use std::collections::BTreeMap;

use chrono::DateTime;
use models::{
    CourseId, LessonId, ModuleId, OwnerId,
    content::{
        Choice, Content, Exercise, Flag, GateReport, Item, ItemKind, Misconception, Provenance,
        Quality, Quiz, Section,
    },
    courses::{Brief, Course, Status},
    export,
    lessons::{self, Lesson},
    modules::Module,
    testing::TestResult,
};
use serde_json::json;

#[test]
fn the_document_has_places_instead_of_row_ids() -> TestResult {
    let (course, modules, lessons) = course();

    let document = export::document(&course, &modules, &lessons);

    insta::assert_json_snapshot!(document);
    let text = serde_json::to_string(&document)?;
    assert!(!text.contains(&course.id.to_string()) && !text.contains("1970"));
    Ok(())
}

#[test]
fn the_same_course_in_other_rows_exports_the_same() {
    let export = || {
        let (course, modules, lessons) = course();
        export::document(&course, &modules, &lessons)
    };

    assert_eq!(export(), export());
}

#[test]
fn markdown_shows_the_answers_at_the_end_only() {
    let (course, modules, lessons) = course();

    let markdown = export::markdown(&export::document(&course, &modules, &lessons));

    insta::assert_snapshot!(markdown);
    let (before, after) = markdown.split_once("## Answers").unwrap_or_default();
    assert!(!before.contains("Because of the Moon"));
    assert!(after.contains("Because of the Moon"));
}

#[test]
fn a_course_without_an_outline_is_a_document_too() {
    let (mut course, _, _) = course();
    course.title = None;

    let document = export::document(&course, &[], &[]);

    assert_eq!(document.title, "Tides");
    assert!(document.modules.is_empty());
}

fn course() -> (Course, Vec<Module>, Vec<Lesson>) {
    let id = CourseId::new();
    let time = DateTime::UNIX_EPOCH;
    let course = Course {
        id,
        owner_id: OwnerId::LOCAL,
        task_id: None,
        version: 7,
        status: Status::Draft,
        brief: Brief {
            objectives: vec!["Read a tide table".to_owned()],
            ..Brief::new("Tides")
        },
        seed: 11,
        title: Some("Tides: an *introduction*".to_owned()),
        summary: Some("Why the sea rises.\nAnd falls.".to_owned()),
        provenance: Some(provenance()),
        quality: Some(Quality {
            gates: vec![GateReport {
                gate: "titles".to_owned(),
                passed: true,
                detail: "2 of 2".to_owned(),
            }],
            passed: true,
        }),
        created_at: time,
        updated_at: time,
        finished_at: Some(time),
    };
    let module = Module {
        id: ModuleId::new(),
        course_id: id,
        ordinal: 1,
        title: "The Moon".to_owned(),
    };
    let mut first = lesson(id, module.id, 1);
    first.content = Some(content());
    first.quiz = Some(quiz());
    first.status = lessons::Status::NeedsReview;
    first.flags = vec![Flag {
        gate: "length".to_owned(),
        detail: "short".to_owned(),
    }];
    first.provenance = Some(provenance());
    let second = lesson(id, module.id, 2);
    (course, vec![module], vec![first, second])
}

fn lesson(course_id: CourseId, module_id: ModuleId, ordinal: i64) -> Lesson {
    Lesson {
        id: LessonId::new(),
        course_id,
        module_id,
        ordinal,
        version: 1,
        status: lessons::Status::Pending,
        title: format!("Lesson about <b>tide</b> {ordinal}"),
        objectives: vec!["Explain high water".to_owned()],
        content: None,
        quiz: None,
        flags: Vec::new(),
        provenance: None,
        round: 0,
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
    }
}

fn content() -> Content {
    Content {
        summary: "The Moon pulls.".to_owned(),
        sections: vec![Section {
            heading: "# Pull".to_owned(),
            text: "The Moon pulls the sea.\n\n<script>alert(1)</script>".to_owned(),
        }],
        key_points: vec![
            "- The Moon pulls.".to_owned(),
            "The sea follows.".to_owned(),
        ],
        misconception: Misconception {
            claim: "Wind makes tides.".to_owned(),
            truth: "The Moon does.".to_owned(),
        },
        exercise: Exercise {
            task: "Find the next high water.".to_owned(),
            solution: "Look into the table.".to_owned(),
        },
    }
}

fn quiz() -> Quiz {
    let choice = |text: &str, correct| Choice {
        text: text.to_owned(),
        correct,
    };
    Quiz {
        passing_grade: 70,
        items: vec![Item {
            kind: ItemKind::Single,
            stem: "What pulls the sea?".to_owned(),
            options: vec![choice("The wind", false), choice("The Moon", true)],
            explanation: "Because of the Moon.".to_owned(),
            objective: 0,
        }],
    }
}

fn provenance() -> Provenance {
    Provenance {
        generator: "gemma".to_owned(),
        model_id: "starter".to_owned(),
        model_sha256: "ab".repeat(32),
        prompt_id: "lesson".to_owned(),
        prompt_sha256: "cd".repeat(32),
        seed: 11,
        params: BTreeMap::from([
            ("top_k".to_owned(), json!(64)),
            ("temperature".to_owned(), json!(0.7)),
        ]),
        tokens_in: 100,
        tokens_out: 200,
    }
}
