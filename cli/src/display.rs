//! What a person sees while a course is being written: a bar at a terminal, lines elsewhere.

use std::{
    collections::BTreeSet,
    io::{IsTerminal, stderr},
    time::{Duration, SystemTime},
};

use chrono::{DateTime, Utc};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    client::Task,
    outline::{Lesson, Outline},
};

/// How often the spinner turns.
const TICK: Duration = Duration::from_millis(120);

/// Shows one course; everything goes to standard error, since the result is on standard output.
pub(crate) struct Display {
    bar: Option<ProgressBar>,
    message: String,
    shown: BTreeSet<u64>,
}

impl Display {
    /// An empty display, live when standard error is a terminal.
    pub(crate) fn new() -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(100), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{spinner} {bar:32} {pos:>3} %  {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(TICK);
            bar
        });
        Self {
            bar,
            message: String::new(),
            shown: BTreeSet::new(),
        }
    }

    /// Shows how far the task is and what is being done.
    pub(crate) fn progress(&mut self, task: &Task) {
        let percent = task.progress.percent.clamp(0.0, 100.0);
        let message = plain(&message(task));
        match &self.bar {
            Some(bar) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "from 0 to 100"
                )]
                bar.set_position(percent as u64);
                bar.set_message(format!("{message}{}{}", parts(task), time_left(task)));
            }
            // Lines are for logs: the same message is not worth a second one.
            None if self.message != message => eprintln!("{percent:3.0} %  {message}"),
            None => {}
        }
        self.message = message;
    }

    /// Shows each lesson once, when nobody works on it any more.
    pub(crate) fn lessons(&mut self, outline: &Outline) {
        for lesson in outline.lessons().filter(|lesson| lesson.is_over()) {
            if self.shown.insert(lesson.ordinal) {
                self.line(&lesson_line(lesson));
            }
        }
    }

    /// Shows one line that stays.
    pub(crate) fn line(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => eprintln!("{line}"),
        }
    }

    /// Takes the bar away; lines stay.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// What is being done, or why nothing is: a task that is tried again says what went wrong.
fn message(task: &Task) -> String {
    let backoff = task
        .waiting
        .as_ref()
        .is_some_and(|waiting| waiting.reason == "backoff");
    if let (true, Some(error)) = (backoff, &task.error) {
        return format!("Trying again soon: {error}");
    }
    match (&task.progress.message, task.state.as_str()) {
        (Some(message), _) => message.clone(),
        (None, "queued") => "Waiting for a worker".to_owned(),
        (None, "running") => "Starting".to_owned(),
        (None, state) => state.to_owned(),
    }
}

fn parts(task: &Task) -> String {
    match (task.progress.completed, task.progress.total) {
        (Some(completed), Some(total)) => format!(" ({completed} of {total})"),
        _ => String::new(),
    }
}

fn time_left(task: &Task) -> String {
    let now = DateTime::<Utc>::from(SystemTime::now());
    let left = task.eta.as_ref().map(|eta| (eta.p50 - now).num_seconds());
    match left {
        Some(seconds @ 1..) => format!(", about {seconds} s left"),
        _ => String::new(),
    }
}

fn lesson_line(lesson: &Lesson) -> String {
    let (mark, note) = match lesson.status.as_str() {
        "ready" => ('✓', ""),
        "needs_review" => ('!', " (to be reviewed)"),
        _ => ('✗', " (could not be written)"),
    };
    format!(
        "  {mark} {:>2}. {}{note}",
        lesson.ordinal,
        plain(&lesson.title)
    )
}

/// A text as a terminal may show it: what a model wrote must not move the cursor.
pub(crate) fn plain(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lesson_says_when_it_needs_a_person() {
        let lesson = |status: &str| Lesson {
            ordinal: 3,
            title: "Tides".to_owned(),
            status: status.to_owned(),
        };

        assert_eq!(lesson_line(&lesson("ready")), "  ✓  3. Tides");
        assert_eq!(
            lesson_line(&lesson("needs_review")),
            "  !  3. Tides (to be reviewed)"
        );
        assert_eq!(
            lesson_line(&lesson("failed")),
            "  ✗  3. Tides (could not be written)"
        );
    }

    #[test]
    fn what_a_model_wrote_cannot_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\nc"), "a [2Jb c");
    }

    #[test]
    fn a_task_that_is_tried_again_says_what_went_wrong() {
        let task: Task = serde_json::from_value(json!({
            "id": "1", "state": "queued", "done": false, "links": {"subject": null},
            "progress": {"percent": 3.0, "message": "Writing the outline"},
            "waiting": {"reason": "backoff"},
            "error": {"code": "model_unavailable", "detail": "no such file"},
        }))
        .expect("it is the contract's task");

        assert_eq!(message(&task), "Trying again soon: no such file");
    }
}
