//! The outline of a course: its form, its schema, and how parts of it become one.

use std::{cmp::Reverse, collections::HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    limits::Limits,
    loops::stuttering,
    schema::{list, object, text, tuple},
    text::{normalise, shared_words, tidy, words},
};

/// Lessons that a module holds when they divide evenly.
const MODULE_LESSONS: usize = 3;

/// The answer to the outline prompt. The order of the fields is the order in which they are written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct OutlineDraft {
    pub(crate) title: String,
    pub(crate) summary: String,
    pub(crate) modules: Vec<ModuleDraft>,
}

/// One module of an outline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ModuleDraft {
    pub(crate) title: String,
    pub(crate) lessons: Vec<LessonPlan>,
}

/// One lesson of an outline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LessonPlan {
    pub(crate) title: String,
    pub(crate) objective: String,
}

impl LessonPlan {
    fn is_sound(&self) -> bool {
        !stuttering(&self.title) && !stuttering(&self.objective)
    }
}

/// How many lessons each module holds: about three, as even as can be, the larger modules first.
pub(crate) fn module_sizes(lessons: usize) -> Vec<usize> {
    spread(
        lessons,
        ((lessons + MODULE_LESSONS / 2) / MODULE_LESSONS).max(1),
    )
}

/// How many lessons each ask plans, when one answer cannot hold them all.
pub(crate) fn part_sizes(lessons: usize, per_ask: usize) -> Vec<usize> {
    spread(lessons, lessons.div_ceil(per_ask.max(1)).max(1))
}

fn spread(items: usize, groups: usize) -> Vec<usize> {
    (0..groups)
        .map(|group| items / groups + usize::from(group < items % groups))
        .collect()
}

/// What a part of a long outline is asked about.
///
/// The first part speaks of the topic itself and gives the course its title. Later parts carry their
/// number in the topic: a model that plans each part alone would otherwise begin each with the same
/// lesson, and a small context cannot hold the titles that were given before.
pub(crate) fn part_topic(topic: &str, part: usize) -> String {
    if part == 0 {
        topic.to_owned()
    } else {
        format!("{topic}, part {}", part + 1)
    }
}

/// The JSON schema of an [`OutlineDraft`] with exactly so many lessons, spread over modules.
pub(crate) fn schema(lessons: usize, limits: &Limits) -> Value {
    let lesson = object([
        ("title", text(&limits.title)),
        ("objective", text(&limits.objective)),
    ]);
    let module = |size| {
        object([
            ("title", text(&limits.title)),
            ("lessons", list(&lesson, size)),
        ])
    };
    object([
        ("title", text(&limits.title)),
        ("summary", text(&limits.summary)),
        (
            "modules",
            tuple(
                &module_sizes(lessons)
                    .into_iter()
                    .map(module)
                    .collect::<Vec<_>>(),
            ),
        ),
    ])
}

impl OutlineDraft {
    /// Every lesson, in order.
    pub(crate) fn lessons(&self) -> impl Iterator<Item = &LessonPlan> {
        self.modules.iter().flat_map(|module| &module.lessons)
    }

    /// Every text that an author reads in the plan.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        let modules = self.modules.iter().map(|module| module.title.as_str());
        let lessons = self
            .lessons()
            .flat_map(|lesson| [lesson.title.as_str(), lesson.objective.as_str()]);
        [self.title.as_str(), self.summary.as_str()]
            .into_iter()
            .chain(modules)
            .chain(lessons)
    }

    /// The same outline with every text tidied.
    pub(crate) fn tidied(mut self) -> Self {
        self.title = tidy(&self.title);
        self.summary = tidy(&self.summary);
        for module in &mut self.modules {
            module.title = tidy(&module.title);
            for lesson in &mut module.lessons {
                lesson.title = tidy(&lesson.title);
                lesson.objective = tidy(&lesson.objective);
            }
        }
        self
    }

    /// The same outline, with lessons of another one in the place of those whose title is taken or
    /// that stutter.
    ///
    /// Lessons stand alone: a title that comes twice is no reason to throw the whole plan away.
    pub(crate) fn mended(mut self, other: &Self, planned: Option<&Self>) -> Self {
        let title = |lesson: &LessonPlan| normalise(&lesson.title);
        let own: HashSet<String> = self.lessons().map(title).collect();
        let mut taken: HashSet<String> = planned
            .into_iter()
            .flat_map(Self::lessons)
            .map(title)
            .collect();
        let lessons = self
            .modules
            .iter_mut()
            .flat_map(|module| &mut module.lessons);
        for lesson in lessons {
            if lesson.is_sound() && taken.insert(title(lesson)) {
                continue;
            }
            let fresh = |lesson: &&LessonPlan| {
                let title = title(lesson);
                lesson.is_sound() && !taken.contains(&title) && !own.contains(&title)
            };
            if let Some(spare) = other.lessons().find(fresh) {
                taken.insert(title(spare));
                *lesson = spare.clone();
            }
        }
        self
    }

    /// Appends the modules of a later part.
    pub(crate) fn append(&mut self, part: Self) {
        self.modules.extend(part.modules);
    }
}

/// The numbers (from 0) of lessons whose title an earlier lesson has already.
pub(crate) fn repeated_titles<'a>(titles: impl Iterator<Item = &'a str>) -> Vec<usize> {
    let mut seen = HashSet::new();
    let repeated = titles
        .enumerate()
        .filter(|(_, title)| !seen.insert(normalise(title)));
    repeated.map(|(number, _)| number).collect()
}

/// The objectives of every lesson, with each of the author's taught somewhere.
///
/// A lesson's own objective comes first. An objective of the author that no lesson took up is added to
/// the lesson that shares the most words with it, and among equals to the one with the least to teach:
/// so a lesson with more than one objective was repaired, and the review says so.
pub(crate) fn objectives(outline: &OutlineDraft, wanted: &[String]) -> Vec<Vec<String>> {
    let plans: Vec<&LessonPlan> = outline.lessons().collect();
    let mut objectives: Vec<Vec<String>> = plans
        .iter()
        .map(|plan| vec![plan.objective.clone()])
        .collect();
    for objective in wanted {
        if objectives
            .iter()
            .flatten()
            .any(|taught| covers(taught, objective))
        {
            continue;
        }
        let rank = |number: &usize| {
            let plan = plans[*number];
            let shared = shared_words(objective, &format!("{} {}", plan.title, plan.objective));
            (shared, Reverse(objectives[*number].len()))
        };
        // `max_by_key` keeps the last of equals: reversed, the earliest lesson wins.
        if let Some(lesson) = (0..plans.len()).rev().max_by_key(rank) {
            objectives[lesson].push(objective.clone());
        }
    }
    objectives
}

/// Whether one objective says everything that another does.
pub(crate) fn covers(taught: &str, wanted: &str) -> bool {
    let distinct: HashSet<String> = words(wanted).into_iter().collect();
    shared_words(wanted, taught) == distinct.len()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An outline with so many lessons about `topic`.
    pub(crate) fn good(topic: &str, lessons: usize) -> OutlineDraft {
        let mut number = 0;
        let mut plan = || {
            number += 1;
            LessonPlan {
                title: format!("{topic}, step {number}"),
                objective: format!("Explain step {number} of {topic}"),
            }
        };
        let module = |size: usize| ModuleDraft {
            title: format!("{topic} in {size} lessons"),
            lessons: (0..size).map(|_| plan()).collect(),
        };
        OutlineDraft {
            title: format!("{topic} step by step"),
            summary: format!("You will be able to explain {topic}."),
            modules: module_sizes(lessons).into_iter().map(module).collect(),
        }
    }

    #[test]
    fn modules_are_even_and_the_larger_ones_come_first() {
        let sizes = |lessons| module_sizes(lessons);
        assert_eq!(sizes(1), [1]);
        assert_eq!(sizes(3), [3]);
        assert_eq!(sizes(4), [4]);
        assert_eq!(sizes(5), [3, 2]);
        assert_eq!(sizes(7), [4, 3]);
        assert_eq!(sizes(8), [3, 3, 2]);
        assert_eq!(sizes(10), [4, 3, 3]);
        assert_eq!(sizes(12), [3, 3, 3, 3]);
        assert!((1..=60).all(|lessons| sizes(lessons).iter().sum::<usize>() == lessons));
    }

    #[test]
    fn a_long_course_is_planned_in_even_parts() {
        assert_eq!(part_sizes(12, 12), [12]);
        assert_eq!(part_sizes(13, 12), [7, 6]);
        assert_eq!(part_sizes(60, 12), [12; 5]);
        assert_eq!(part_topic("Tides", 0), "Tides");
        assert_eq!(part_topic("Tides", 2), "Tides, part 3");
    }

    #[test]
    fn the_schema_counts_modules_and_lessons() {
        let schema = schema(8, &Limits::of(1_024));
        let modules = &schema["properties"]["modules"];

        assert_eq!(modules["minItems"], 3);
        assert_eq!(
            modules["prefixItems"][2]["properties"]["lessons"]["maxItems"],
            2
        );
        let keys: Vec<&String> = schema["properties"]
            .as_object()
            .expect("an object")
            .keys()
            .collect();
        assert_eq!(keys, ["title", "summary", "modules"]);
    }

    #[test]
    fn a_repeated_title_is_the_later_one() {
        let titles = ["Tides", "What moves", "TIDES!", "what moves"];
        assert_eq!(repeated_titles(titles.into_iter()), [2, 3]);
    }

    #[test]
    fn an_objective_that_nobody_took_up_goes_where_it_fits_best() {
        let outline = good("tides", 3);
        let wanted = ["explain Step 2 of tides", "Read a table", "Draw step 3"].map(str::to_owned);

        let objectives = objectives(&outline, &wanted);

        assert_eq!(objectives[0], ["Explain step 1 of tides", "Read a table"]);
        assert_eq!(objectives[1], ["Explain step 2 of tides"]);
        assert_eq!(objectives[2], ["Explain step 3 of tides", "Draw step 3"]);
    }

    #[test]
    fn a_repeated_title_is_replaced_by_a_lesson_of_another_answer() {
        let mut outline = good("tides", 3);
        outline.modules[0].lessons[2].title = "Tides: step 1".to_owned();
        let mut other = good("tides", 3);
        other.modules[0].lessons[0].title = "tides at night".to_owned();

        let mended = outline.mended(&other, None);

        let titles: Vec<&str> = mended
            .lessons()
            .map(|lesson| lesson.title.as_str())
            .collect();
        assert_eq!(titles, ["tides, step 1", "tides, step 2", "tides at night"]);
        let planned = good("tides", 1);
        let late = good("tides", 3).mended(&other, Some(&planned));
        assert_eq!(late.modules[0].lessons[0].title, "tides at night");
    }
}
