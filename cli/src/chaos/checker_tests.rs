//! The checker finds what it is there for.

use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use crate::chaos::rows::testing::{attempt, row};

fn second(second: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
}

/// A task that was lost once and then done, under the first key of the load.
fn good() -> (Vec<Entry>, Rows) {
    let row = row(vec![
        attempt(1, "worker-1", second(1), second(16), Ending::Lost),
        attempt(2, "worker-2", second(17), second(18), Ending::Succeeded),
    ]);
    let id = row.id;
    let seen = |version, attempt, done| What::Seen {
        id,
        state: String::new(),
        done,
        version,
        attempt,
    };
    let happened = [
        What::Ok {
            number: 0,
            id,
            took_ms: 1,
        },
        seen(2, 1, false),
        seen(3, 2, true),
    ];
    let entries = happened.map(|what| Entry {
        at: second(0),
        what,
    });
    let keys = vec![(key(0), id)];
    (
        entries.to_vec(),
        Rows {
            tasks: vec![row],
            keys,
        },
    )
}

fn found(change: impl FnOnce(&mut Vec<Entry>, &mut Rows)) -> Vec<Violation> {
    let (mut entries, mut rows) = good();
    change(&mut entries, &mut rows);
    check(&entries, &rows)
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(found(|_, _| {}), []);
}

#[test]
fn a_task_that_is_gone_or_has_not_ended_is_lost() {
    let gone = found(|_, rows| rows.tasks.clear());
    let stuck = found(|_, rows| rows.tasks[0].state = State::Queued);

    assert!(matches!(gone[..], [Violation::Lost(_)]), "{gone:?}");
    assert!(matches!(stuck[..], [Violation::Lost(_)]), "{stuck:?}");
}

#[test]
fn a_second_task_a_second_end_and_a_second_attempt_at_a_time_are_twice() {
    let other = found(|entries, _| {
        let id = TaskId::new();
        let what = What::Ok {
            number: 0,
            id,
            took_ms: 1,
        };
        entries.push(Entry {
            at: second(0),
            what,
        });
    });
    let nobodys = found(|_, rows| rows.tasks.push(row(Vec::new())));
    let ends = found(|_, rows| rows.tasks[0].ends = 2);
    let overlap = found(|_, rows| rows.tasks[0].attempts[1].started_at = second(15));

    for twice in [other, nobodys, ends, overlap] {
        assert!(matches!(twice[..], [Violation::Twice(_)]), "{twice:?}");
    }
}

#[test]
fn a_version_or_an_attempt_that_falls_is_found() {
    let version = found(|entries, _| entries.swap(1, 2));
    let after = found(|_, rows| (rows.tasks[0].version, rows.tasks[0].last_event) = (4, 4));
    let silent = found(|_, rows| rows.tasks[0].last_event = 2);
    let missing = found(|_, rows| rows.tasks[0].attempts[0].number = 0);

    for back in [version, after, silent, missing] {
        assert!(matches!(back[..], [Violation::Back(_)]), "{back:?}");
    }
}

#[test]
fn a_failure_must_have_used_up_its_attempts() {
    let early = found(|_, rows| rows.tasks[0].state = State::Failed);
    let cured = found(|_, rows| rows.tasks[0].kind = "poison".to_owned());
    let at_the_cap = found(|_, rows| {
        let row = &mut rows.tasks[0];
        (row.state, row.attempts_max) = (State::Failed, 2);
        row.attempts[1].outcome = Some(Ending::Lost);
    });

    assert!(matches!(early[..], [Violation::Wrong(_)]), "{early:?}");
    assert!(matches!(cured[..], [Violation::Wrong(_)]), "{cured:?}");
    assert_eq!(at_the_cap, []);
}
