//! The gates over a whole course: pure functions from what was written to a report.

use std::collections::HashSet;

use models::{
    content::{Flag, GateReport, Quality},
    courses::Brief,
    lessons::Lesson,
};

use super::{
    gates::flag,
    lesson::running_text,
    outline::{covers, repeated_titles},
    text::{likeness, names, shingles},
};

/// Two lessons whose runs of five words are this much alike teach the same in the same words.
const LIKENESS_MAX: f64 = 0.25;

/// What the review of a course found.
#[derive(Debug)]
pub(crate) struct Review {
    /// The report, one entry a gate.
    pub(crate) quality: Quality,
    /// What to tell the author about a lesson: its place in the list, and the finding.
    pub(crate) findings: Vec<(usize, Flag)>,
    /// Lessons (places in the list) that repeat an earlier one and may come out better when asked again.
    pub(crate) again: Vec<usize>,
}

/// Reviews a course whose lessons have all been tried.
pub(crate) fn review(brief: &Brief, title: &str, lessons: &[Lesson]) -> Review {
    let alike = near_duplicates(lessons);
    let repeated = repeated_titles(lessons.iter().map(|lesson| lesson.title.as_str()));
    let untested = untested(lessons);

    let findings = findings(&alike, &repeated, &untested);
    let mut gates = vec![
        counted(brief, lessons),
        written(lessons),
        gate(
            "topic",
            names(title, &brief.topic),
            "the title names the topic",
            "the title does not name the topic",
        ),
        places_gate(
            "titles_unique",
            &repeated,
            "have the title of an earlier one",
        ),
        taught(brief, lessons),
        places_gate(
            "objectives_tested",
            &places(&untested),
            "have an objective that no question tests",
        ),
        places_gate(
            "near_duplicates",
            &alike.iter().map(|(_, later)| *later).collect::<Vec<_>>(),
            "repeat an earlier one",
        ),
        places_gate(
            "lesson_gates",
            &flagged(lessons),
            "did not pass every gate of their own",
        ),
    ];
    gates.extend(repaired(lessons));
    let passed = gates.iter().all(|gate| gate.passed);
    let again: HashSet<usize> = alike.iter().map(|(_, later)| *later).collect();
    let mut again: Vec<usize> = again.into_iter().collect();
    again.sort_unstable();
    Review {
        quality: Quality { gates, passed },
        findings,
        again,
    }
}

/// What is wrong with which lesson, by its place in the list.
fn findings(
    alike: &[(usize, usize)],
    repeated: &[usize],
    untested: &[(usize, &str)],
) -> Vec<(usize, Flag)> {
    let mut findings = Vec::new();
    findings.extend(alike.iter().map(|(earlier, later)| {
        let detail = format!("much of it stands in lesson {} too", earlier + 1);
        (*later, flag("near_duplicate", detail))
    }));
    findings.extend(repeated.iter().map(|place| {
        (
            *place,
            flag("title", "an earlier lesson has the same title"),
        )
    }));
    findings.extend(untested.iter().map(|(place, objective)| {
        (
            *place,
            flag(
                "objective_untested",
                format!("no question tests: {objective}"),
            ),
        )
    }));
    findings
}

/// Pairs of lessons (earlier, later) that are alike. Sixty lessons are 1,770 pairs: milliseconds.
fn near_duplicates(lessons: &[Lesson]) -> Vec<(usize, usize)> {
    let sets: Vec<HashSet<String>> = lessons
        .iter()
        .map(|lesson| {
            lesson
                .content
                .as_ref()
                .map(running_text)
                .map(|text| shingles(&text))
        })
        .map(Option::unwrap_or_default)
        .collect();
    let mut pairs = Vec::new();
    for later in 1..sets.len() {
        for earlier in 0..later {
            if likeness(&sets[earlier], &sets[later]) >= LIKENESS_MAX {
                pairs.push((earlier, later));
            }
        }
    }
    pairs
}

/// Objectives of written lessons that no question is tied to, with the place of their lesson.
fn untested(lessons: &[Lesson]) -> Vec<(usize, &str)> {
    let mut untested = Vec::new();
    for (place, lesson) in lessons
        .iter()
        .enumerate()
        .filter(|(_, lesson)| lesson.content.is_some())
    {
        let items = lesson.quiz.iter().flat_map(|quiz| &quiz.items);
        let tested: HashSet<usize> = items.map(|item| item.objective).collect();
        let objectives = lesson.objectives.iter().enumerate();
        let missing = objectives.filter(|(number, _)| !tested.contains(number));
        untested.extend(missing.map(|(_, objective)| (place, objective.as_str())));
    }
    untested
}

fn counted(brief: &Brief, lessons: &[Lesson]) -> GateReport {
    let detail = format!("{} of {} lessons planned", lessons.len(), brief.lessons);
    gate(
        "counts",
        lessons.len() == usize::from(brief.lessons),
        &detail,
        &detail,
    )
}

fn written(lessons: &[Lesson]) -> GateReport {
    let without = (0..lessons.len()).filter(|place| lessons[*place].content.is_none());
    places_gate(
        "lessons_written",
        &without.collect::<Vec<_>>(),
        "could not be written",
    )
}

/// Every objective of the author's belongs to a lesson that was written.
fn taught(brief: &Brief, lessons: &[Lesson]) -> GateReport {
    let written = lessons.iter().filter(|lesson| lesson.content.is_some());
    let objectives: Vec<&String> = written.flat_map(|lesson| &lesson.objectives).collect();
    let missing = brief
        .objectives
        .iter()
        .filter(|wanted| !objectives.iter().any(|taught| covers(taught, wanted)));
    let missing: Vec<&str> = missing.map(String::as_str).collect();
    gate(
        "objectives_taught",
        missing.is_empty(),
        "every objective asked for is taught",
        &format!("not taught: {}", missing.join("; ")),
    )
}

/// The objectives that the outline had forgotten: see [`super::outline::objectives`]. It is a note, not a fault.
fn repaired(lessons: &[Lesson]) -> Option<GateReport> {
    let added: Vec<String> = lessons
        .iter()
        .flat_map(|lesson| {
            lesson
                .objectives
                .iter()
                .skip(1)
                .map(|objective| format!("\"{objective}\" to lesson {}", lesson.ordinal))
        })
        .collect();
    let detail = format!(
        "objectives that the outline left out were added: {}",
        added.join(", ")
    );
    (!added.is_empty()).then(|| gate("objectives_repaired", true, &detail, ""))
}

fn flagged(lessons: &[Lesson]) -> Vec<usize> {
    // The findings of an earlier review of the same course are not the lesson's own.
    let own = |flag: &Flag| {
        !["near_duplicate", "title", "objective_untested"].contains(&flag.gate.as_str())
    };
    (0..lessons.len())
        .filter(|place| lessons[*place].flags.iter().any(own))
        .collect()
}

fn places(findings: &[(usize, &str)]) -> Vec<usize> {
    findings.iter().map(|(place, _)| *place).collect()
}

/// A gate that passes when no lesson is named.
fn places_gate(name: &str, places: &[usize], fault: &str) -> GateReport {
    let mut numbers: Vec<usize> = places.iter().map(|place| place + 1).collect();
    numbers.dedup();
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    gate(
        name,
        places.is_empty(),
        "every lesson",
        &format!("lessons that {fault}: {}", numbers.join(", ")),
    )
}

fn gate(name: &str, passed: bool, good: &str, bad: &str) -> GateReport {
    let detail = if passed { good } else { bad };
    GateReport {
        gate: name.to_owned(),
        passed,
        detail: detail.to_owned(),
    }
}
