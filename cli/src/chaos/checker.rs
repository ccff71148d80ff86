//! Proves from the history and the rows that nothing was lost and nothing was done twice.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

use jobs::{Ending, State};
use models::TaskId;

use super::{
    driver::key,
    history::{Entry, What},
    rows::{Row, Rows},
};

/// What was promised and not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// An acknowledged task is not there or has not ended.
    Lost(String),
    /// Something has happened twice.
    Twice(String),
    /// A version or an attempt went back, or something changed after the end.
    Back(String),
    /// A task ended in a way that nothing explains.
    Wrong(String),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(what) => write!(f, "lost: {what}"),
            Self::Twice(what) => write!(f, "twice: {what}"),
            Self::Back(what) => write!(f, "went back: {what}"),
            Self::Wrong(what) => write!(f, "wrong: {what}"),
        }
    }
}

/// Everything that is not as promised.
pub(crate) fn check(entries: &[Entry], rows: &Rows) -> Vec<Violation> {
    let mut violations = Vec::new();
    check_acknowledged(entries, rows, &mut violations);
    check_seen(entries, rows, &mut violations);
    check_ends(entries, rows, &mut violations);
    rows.tasks
        .iter()
        .for_each(|row| check_row(row, &mut violations));
    violations
}

/// Every acknowledged task is there, and it is the only one of its key.
fn check_acknowledged(entries: &[Entry], rows: &Rows, violations: &mut Vec<Violation>) {
    let keys: HashMap<&str, TaskId> = rows
        .keys
        .iter()
        .map(|(key, id)| (key.as_str(), *id))
        .collect();
    let behind: HashSet<TaskId> = keys.values().copied().collect();
    let mut acknowledged: BTreeMap<i64, TaskId> = BTreeMap::new();
    for entry in entries {
        match &entry.what {
            What::Ok { number, id, .. } => {
                let first = *acknowledged.entry(*number).or_insert(*id);
                if first != *id {
                    let what = format!("{} was acknowledged as {first} and {id}", key(*number));
                    violations.push(Violation::Twice(what));
                }
            }
            What::Gone { id } => violations.push(Violation::Lost(format!("{id} was not found"))),
            _ => {}
        }
    }
    let there: HashSet<TaskId> = rows.tasks.iter().map(|row| row.id).collect();
    for (number, id) in acknowledged {
        if !there.contains(&id) {
            violations.push(Violation::Lost(format!("{id} is not there")));
        }
        if keys.get(key(number).as_str()) != Some(&id) {
            violations.push(Violation::Twice(format!(
                "another task than {id} has its key"
            )));
        }
    }
    for row in rows.tasks.iter().filter(|row| row.kind == "noop") {
        if !behind.contains(&row.id) {
            violations.push(Violation::Twice(format!("{} has nobody's key", row.id)));
        }
    }
}

/// Whoever polled a task saw its version and its attempt rise, and nothing after its end.
fn check_seen(entries: &[Entry], rows: &Rows, violations: &mut Vec<Violation>) {
    let mut last: HashMap<TaskId, (i64, i64)> = HashMap::new();
    let versions: HashMap<TaskId, i64> =
        rows.tasks.iter().map(|row| (row.id, row.version)).collect();
    for entry in entries {
        let What::Seen {
            id,
            done,
            version,
            attempt,
            ..
        } = &entry.what
        else {
            continue;
        };
        if let Some((version_before, attempt_before)) = last.insert(*id, (*version, *attempt))
            && (*version <= version_before || *attempt < attempt_before)
        {
            violations.push(Violation::Back(format!(
                "{id} was seen at version {version_before} in attempt {attempt_before}, then at \
                 version {version} in attempt {attempt}"
            )));
        }
        let in_the_end = versions.get(id);
        if *done && in_the_end.is_some_and(|in_the_end| in_the_end != version) {
            violations.push(Violation::Back(format!("{id} changed after its end")));
        }
    }
}

/// Every task ended, once, as it should.
fn check_ends(entries: &[Entry], rows: &Rows, violations: &mut Vec<Violation>) {
    let cancelled: HashSet<TaskId> = entries
        .iter()
        .filter_map(|entry| match entry.what {
            What::Cancelled { id } => Some(id),
            _ => None,
        })
        .collect();
    for row in &rows.tasks {
        let used_up = i64::try_from(row.attempts.len()) == Ok(row.attempts_max)
            && row
                .attempts
                .iter()
                .all(|attempt| attempt.outcome == Some(Ending::Lost));
        let explained = match row.state {
            State::Succeeded => row.kind == "noop",
            // Poison always comes to this, anything else when its workers were killed so often.
            State::Failed => used_up,
            State::Cancelled => cancelled.contains(&row.id),
            _ => {
                violations.push(Violation::Lost(format!(
                    "{} is still {}",
                    row.id, row.state
                )));
                continue;
            }
        };
        if !explained {
            let (id, kind, state, attempts) = (row.id, &row.kind, row.state, row.attempts.len());
            let what = format!("{kind} {id} is {state} after {attempts} attempts");
            violations.push(Violation::Wrong(what));
        }
    }
}

/// A row agrees with its events and its attempts.
fn check_row(row: &Row, violations: &mut Vec<Violation>) {
    let id = row.id;
    let successes = row
        .attempts
        .iter()
        .filter(|attempt| attempt.outcome == Some(Ending::Succeeded))
        .count();
    if row.ends > 1 || successes > 1 {
        let what = format!("{id} ended {} times, {successes} times well", row.ends);
        violations.push(Violation::Twice(what));
    }
    if row.state.is_done() && (row.ends == 0 || row.last_event != row.version) {
        violations.push(Violation::Back(format!(
            "{id} has {} ends, version {} and last event {}",
            row.ends, row.version, row.last_event
        )));
    }
    let numbers = row.attempts.iter().map(|attempt| attempt.number);
    if !numbers.eq(1..=row.attempt) {
        violations.push(Violation::Back(format!(
            "{id} misses attempts of {}",
            row.attempt
        )));
    }
    for pair in row.attempts.windows(2) {
        if pair[0]
            .ended_at
            .is_none_or(|ended| ended > pair[1].started_at)
        {
            let what = format!("attempts {} and {} of {id}", pair[0].number, pair[1].number);
            violations.push(Violation::Twice(format!("{what} overlap")));
        }
    }
}

#[cfg(test)]
#[path = "checker_tests.rs"]
mod tests;
