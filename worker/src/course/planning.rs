//! From a brief to a plan: asks for the outline, in parts when one answer cannot hold it.

use anyhow::Context;
use models::{
    content::{Flag, Provenance},
    courses::{Brief, Course, Plan, PlannedLesson, PlannedModule},
};

use super::{
    ask::{Answer, Part},
    gates::flag,
    limits::Limits,
    loops::stuttering,
    outline::{self, OutlineDraft},
    prompts::{self, OutlineVariables, Setting},
    sampling,
    text::{cut, names},
};
use crate::{error::JobError, model::Loaded, run::Run};

/// Asks for the outline of a course and turns it into a plan.
///
/// Each part is a checkpoint: a crash repeats at most the part in flight.
pub(crate) async fn plan(course: &Course, model: &Loaded, run: &Run) -> Result<Plan, JobError> {
    let limits = Limits::of(model.info().context);
    let sizes = outline::part_sizes(usize::from(course.brief.lessons), limits.lessons_per_ask);
    let mut whole: Option<(OutlineDraft, Provenance)> = None;
    for (number, size) in sizes.iter().copied().enumerate() {
        let planned = whole.as_ref().map(|(outline, _)| outline);
        let part = part(course, &limits, number, size, planned)?;
        let gates = |draft: &OutlineDraft| gates(draft, planned, &course.brief.topic);
        let join = |best: Option<&OutlineDraft>, later: OutlineDraft| match best {
            Some(best) => better(best.clone().mended(&later, planned), later, gates),
            None => later,
        };
        let asking = part.ask(model, run.cancelled(), join, gates);
        let answer = run
            .checkpoint(&part.name, &part.digest(model), asking)
            .await?;
        let Answer {
            draft,
            provenance,
            tokens_in,
            tokens_out,
            ..
        } = answer;
        run.used(tokens_in, tokens_out);
        let draft = draft.tidied();
        match &mut whole {
            None => whole = Some((draft, provenance)),
            Some((outline, first)) => {
                outline.append(draft);
                first.tokens_in += provenance.tokens_in;
                first.tokens_out += provenance.tokens_out;
            }
        }
    }
    let (outline, provenance) = whole.context("a course has at least one lesson")?;
    Ok(into_plan(outline, provenance, &course.brief.objectives))
}

fn part(
    course: &Course,
    limits: &Limits,
    number: usize,
    lessons: usize,
    planned: Option<&OutlineDraft>,
) -> Result<Part, JobError> {
    let brief = &course.brief;
    let topic = outline::part_topic(&brief.topic, number);
    let variables = OutlineVariables {
        setting: Setting {
            topic: &topic,
            ..Setting::of(brief)
        },
        lessons,
        objectives: objectives(brief, limits, number),
        notes: &notes(brief, limits, planned),
    };
    Ok(Part {
        name: if number == 0 {
            "outline".to_owned()
        } else {
            format!("outline/{}", number + 1)
        },
        prompt: &prompts::OUTLINE,
        text: prompts::OUTLINE.render(&variables)?,
        schema: outline::schema(lessons, limits),
        sampling: sampling::OUTLINE,
        tokens_max: limits.answer_tokens,
        asks_max: limits.asks_max,
        seed: course.seed,
        round: 1,
    })
}

/// As many of the author's objectives as the prompt bears. Those left out are not lost: the plan is
/// repaired with whatever the outline did not take up.
fn objectives<'b>(brief: &'b Brief, limits: &Limits, number: usize) -> &'b [String] {
    let mut room = if number == 0 {
        limits.outline_objectives
    } else {
        0
    };
    let fitting = brief.objectives.iter().take_while(|objective| {
        let length = objective.chars().count();
        let fits = length <= room;
        room = room.saturating_sub(length);
        fits
    });
    let count = fitting.count();
    &brief.objectives[..count]
}

/// The author's notes, and where there is room for them the titles that earlier parts have used.
fn notes(brief: &Brief, limits: &Limits, planned: Option<&OutlineDraft>) -> String {
    let notes = cut(&brief.notes, limits.outline_notes);
    if let Some(planned) = planned.filter(|_| limits.outline_planned) {
        let titles: Vec<&str> = planned
            .lessons()
            .map(|lesson| lesson.title.as_str())
            .collect();
        let all = format!("{notes} Planned already: {}.", titles.join("; "));
        return all.trim().to_owned();
    }
    notes.to_owned()
}

/// The one of two outlines in which less is wrong, the first where they are equal.
fn better(
    first: OutlineDraft,
    second: OutlineDraft,
    gates: impl Fn(&OutlineDraft) -> Vec<Flag>,
) -> OutlineDraft {
    if gates(&second).len() < gates(&first).len() {
        second
    } else {
        first
    }
}

/// What is wrong with an outline, or with a part of one that comes after `planned`.
fn gates(draft: &OutlineDraft, planned: Option<&OutlineDraft>, topic: &str) -> Vec<Flag> {
    let draft = draft.clone().tidied();
    let mut flags = Vec::new();
    if planned.is_none() && !names(&draft.title, topic) {
        flags.push(flag("topic", "the title does not name the topic"));
    }
    let before = planned.into_iter().flat_map(OutlineDraft::lessons);
    let titles = before
        .chain(draft.lessons())
        .map(|lesson| lesson.title.as_str());
    for lesson in outline::repeated_titles(titles) {
        flags.push(flag(
            "title",
            format!("lesson {} has the title of an earlier one", lesson + 1),
        ));
    }
    let broken = draft.texts().filter(|text| stuttering(text));
    flags.extend(broken.map(|text| flag("loop", format!("\"{text}\" repeats itself"))));
    flags
}

fn into_plan(outline: OutlineDraft, provenance: Provenance, wanted: &[String]) -> Plan {
    let mut objectives = outline::objectives(&outline, wanted).into_iter();
    let mut lesson = |plan: outline::LessonPlan| PlannedLesson {
        title: plan.title,
        objectives: objectives.next().unwrap_or_default(),
    };
    let modules = outline.modules.into_iter().map(|module| PlannedModule {
        title: module.title,
        lessons: module.lessons.into_iter().map(&mut lesson).collect(),
    });
    Plan {
        title: outline.title,
        summary: outline.summary,
        provenance,
        modules: modules.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::course::outline::tests::good;

    #[test]
    fn objectives_that_do_not_fit_are_left_to_the_repair() {
        let limits = Limits::of(1_024);
        let long = "x".repeat(limits.outline_objectives / 2);
        let brief = Brief {
            objectives: vec![long; 3],
            ..Brief::new("tides")
        };

        assert_eq!(objectives(&brief, &limits, 0).len(), 2);
        assert_eq!(objectives(&brief, &limits, 1).len(), 0);
    }

    #[test]
    fn a_later_part_is_told_of_earlier_titles_where_there_is_room() {
        let brief = Brief {
            notes: "Be brief.".to_owned(),
            ..Brief::new("tides")
        };
        let planned = good("tides", 2);

        let small = notes(&brief, &Limits::of(1_024), Some(&planned));
        let large = notes(&brief, &Limits::of(8_192), Some(&planned));

        assert_eq!(small, "Be brief.");
        assert_eq!(
            large,
            "Be brief. Planned already: tides, step 1; tides, step 2."
        );
    }

    #[test]
    fn titles_of_earlier_parts_count_as_taken() {
        let draft = good("tides", 3);

        assert_eq!(gates(&draft, None, "tides"), []);
        assert_eq!(gates(&draft, Some(&good("tides", 2)), "tides").len(), 2);
        assert_eq!(gates(&draft, None, "bread")[0].gate, "topic");
    }

    #[test]
    fn an_outline_that_stutters_is_asked_for_again() {
        let find = |draft: &OutlineDraft| gates(draft, None, "tides");
        let mut draft = good("tides", 3);
        draft.modules[0].lessons[1].title = "tides and cacacacaca".to_owned();
        assert_eq!(find(&draft)[0].gate, "loop");

        let mended = draft.clone().mended(&good("tides at night", 3), None);
        assert_eq!(find(&mended), []);
        assert_eq!(mended.modules[0].lessons[0], draft.modules[0].lessons[0]);

        // What cannot be mended is replaced whole.
        draft.title = "cacacacaca".to_owned();
        assert_eq!(better(draft, mended.clone(), find), mended);
    }

    #[test]
    fn a_plan_has_every_lesson_in_its_module() {
        let plan = into_plan(
            good("tides", 5),
            Provenance::default(),
            &["Swim".to_owned()],
        );

        let sizes: Vec<usize> = plan
            .modules
            .iter()
            .map(|module| module.lessons.len())
            .collect();
        assert_eq!(sizes, [3, 2]);
        assert_eq!(plan.modules[1].lessons[1].title, "tides, step 5");
        assert_eq!(
            plan.modules[0].lessons[0].objectives,
            ["Explain step 1 of tides", "Swim"]
        );
    }
}
