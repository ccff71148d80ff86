//! What a server's absence did to clients, and how soon everything was as before.

use std::{collections::HashSet, fmt};

use chrono::{DateTime, TimeDelta, Utc};
use jobs::Ending;
use models::TaskId;

use super::{
    figures::Figures,
    history::{Entry, Server, What},
    rows::Rows,
};

/// After a server is back, clients may feel its absence for so long.
const AFTERMATH: TimeDelta = TimeDelta::seconds(5);

/// How finely the return to full speed is looked at.
const STEP: TimeDelta = TimeDelta::milliseconds(250);

/// A time without a server.
#[derive(Clone, Copy, Debug)]
struct Window {
    down: DateTime<Utc>,
    up: DateTime<Utc>,
}

/// What all absences of a server did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outages {
    /// How often the server was away.
    count: usize,
    /// Submissions that were acknowledged meanwhile.
    acknowledged: Figures,
    /// Submissions that were refused meanwhile: how long the answer took.
    refused: Figures,
    /// Refusals that were something else than 503.
    strange: usize,
    /// From the return until every API that had said that it is not ready said that it is.
    ready: Figures,
    /// From the return until the first second in which as many tasks ended as come in a second.
    full_speed: Figures,
    /// From the return until everything had ended that was accepted before it, but for what other
    /// faults have hit.
    caught_up: Figures,
}

/// Measures the absences of PostgreSQL and of Redis; being emptied counts as one.
pub(crate) fn measure(entries: &[Entry], rows: &Rows, server: Server) -> Outages {
    let windows = windows(entries, server);
    let (mut acknowledged, mut refused, mut strange) = (Vec::new(), Vec::new(), 0);
    for entry in entries {
        let mut windows = windows.iter();
        if !windows.any(|window| (window.down..=window.up).contains(&entry.at)) {
            continue;
        }
        match &entry.what {
            What::Ok { took_ms, .. } => acknowledged.push(*took_ms),
            What::Fail {
                took_ms, status, ..
            } => {
                refused.push(*took_ms);
                strange += usize::from(*status != 503);
            }
            _ => {}
        }
    }
    let seconds = |times: Vec<u64>| -> Figures {
        times
            .into_iter()
            .map(|ms| TimeDelta::milliseconds(ms.cast_signed()).as_seconds_f64())
            .collect()
    };
    Outages {
        count: windows.len(),
        acknowledged: seconds(acknowledged),
        refused: seconds(refused),
        strange,
        // An API is ready without Redis.
        ready: windows
            .iter()
            .filter(|_| server == Server::Postgres)
            .filter_map(|window| ready_after(entries, window.up))
            .collect(),
        full_speed: windows
            .iter()
            .filter_map(|window| full_speed_after(entries, rows, window.up))
            .collect(),
        caught_up: windows
            .iter()
            .map(|window| caught_up_after(entries, rows, window.up))
            .collect(),
    }
}

/// Refusals for which no absence of PostgreSQL is an excuse.
pub(crate) fn unexcused(entries: &[Entry]) -> Vec<String> {
    let windows = windows(entries, Server::Postgres);
    let excused = |at: DateTime<Utc>| {
        windows
            .iter()
            .any(|window| (window.down..=window.up + AFTERMATH).contains(&at))
    };
    let refused = entries.iter().filter_map(|entry| match &entry.what {
        // 409: the first request with the key, of which nobody has heard, is still under way.
        What::Fail {
            number,
            status,
            code,
            ..
        } if *status != 409 && !excused(entry.at) => Some(format!(
            "task {number} was refused with {status} {code} at {}",
            entry.at
        )),
        _ => None,
    });
    refused.collect()
}

fn windows(entries: &[Entry], server: Server) -> Vec<Window> {
    let mut windows = Vec::new();
    let mut since = None;
    for entry in entries {
        match entry.what {
            What::Down { server: gone } if gone == server => since = Some(entry.at),
            What::Up { server: back } if back == server => {
                let up = entry.at;
                windows.extend(since.take().map(|down| Window { down, up }));
            }
            What::Flushed if server == Server::Redis => {
                let (down, up) = (entry.at, entry.at);
                windows.push(Window { down, up });
            }
            _ => {}
        }
    }
    windows
}

/// Seconds until the last API that had noticed the absence was ready.
fn ready_after(entries: &[Entry], up: DateTime<Utc>) -> Option<f64> {
    let gone = |entry: &&Entry| {
        matches!(
            entry.what,
            What::Down {
                server: Server::Postgres
            }
        ) && entry.at > up
    };
    let until = entries.iter().find(gone).map(|entry| entry.at);
    let soon = entries
        .iter()
        .filter(|entry| entry.at >= up && until.is_none_or(|until| entry.at < until));
    let mut seen = HashSet::new();
    let first = soon.filter_map(|entry| match entry.what {
        What::Ready { api, ready: true } if seen.insert(api) => {
            Some((entry.at - up).as_seconds_f64())
        }
        _ => None,
    });
    first.max_by(f64::total_cmp)
}

/// Seconds until a second in which as many tasks ended as the load has in a second.
fn full_speed_after(entries: &[Entry], rows: &Rows, up: DateTime<Utc>) -> Option<f64> {
    let accepted = entries.iter().filter_map(|entry| match entry.what {
        What::Ok { id, .. } => Some((entry.at, id)),
        _ => None,
    });
    let (first, _) = accepted.clone().next()?;
    let (last, _) = accepted.clone().next_back()?;
    let whole_seconds = (last - first).num_seconds().max(1);
    // A key that is sent again is acknowledged again, but there is no second task to end.
    let tasks: HashSet<TaskId> = accepted.map(|(_, id)| id).collect();
    let rate = tasks.len() / usize::try_from(whole_seconds).ok()?;
    let ends: Vec<DateTime<Utc>> = rows
        .tasks
        .iter()
        .filter_map(|row| row.finished_at)
        .collect();
    // Beyond the load nothing can have its speed.
    let starts = (0..)
        .map(|step| up + STEP * step)
        .take_while(|start| *start < last);
    let mut fast = starts.filter(|start| {
        let second = *start..*start + TimeDelta::seconds(1);
        ends.iter().filter(|end| second.contains(end)).count() >= rate
    });
    Some((fast.next()? - up).as_seconds_f64())
}

/// Seconds until everything had ended that was accepted before.
fn caught_up_after(entries: &[Entry], rows: &Rows, up: DateTime<Utc>) -> f64 {
    let before: HashSet<TaskId> = entries
        .iter()
        .filter(|entry| entry.at < up)
        .filter_map(|entry| match entry.what {
            What::Ok { id, .. } => Some(id),
            _ => None,
        })
        .collect();
    let undisturbed = rows.tasks.iter().filter(|row| {
        before.contains(&row.id)
            && row
                .attempts
                .iter()
                .all(|attempt| attempt.outcome != Some(Ending::Lost))
    });
    let last = undisturbed.filter_map(|row| row.finished_at).max();
    last.map_or(0.0, |last| (last - up).as_seconds_f64().max(0.0))
}

impl fmt::Display for Outages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "away {} times", self.count)?;
        writeln!(f, "    acknowledged meanwhile:     {}", self.acknowledged)?;
        writeln!(f, "    refused:                    {}", self.refused)?;
        writeln!(f, "    refused other than by 503:  {}", self.strange)?;
        if self.ready.count() > 0 {
            writeln!(f, "    until every API is ready:   {}", self.ready)?;
        }
        writeln!(f, "    until full speed:           {}", self.full_speed)?;
        write!(f, "    until all before has ended: {}", self.caught_up)
    }
}

impl Outages {
    /// Whether the server was never away.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::rows::testing::{attempt, row};

    fn entry(second: i64, what: What) -> Entry {
        let at = DateTime::UNIX_EPOCH + TimeDelta::seconds(second);
        Entry { at, what }
    }

    fn refusal() -> What {
        What::Fail {
            number: 1,
            status: 503,
            code: "database_unavailable".to_owned(),
            took_ms: 900,
        }
    }

    #[test]
    fn only_the_absence_of_postgres_excuses_a_refusal() {
        let (server, up) = (Server::Postgres, 12);
        let entries = [
            entry(10, What::Down { server }),
            entry(11, refusal()),
            entry(up, What::Up { server }),
            entry(
                14,
                What::Ready {
                    api: 0,
                    ready: true,
                },
            ),
            entry(30, refusal()),
        ];

        let outages = measure(&entries, &Rows::default(), server);

        assert_eq!(outages.refused, [0.9].into_iter().collect());
        assert_eq!((outages.count, outages.strange), (1, 0));
        assert_eq!(outages.ready, [2.0].into_iter().collect());
        assert_eq!(unexcused(&entries).len(), 1);
    }

    #[test]
    fn a_key_that_was_sent_again_makes_no_speed() {
        let seconds = || (0..20).map(|second| DateTime::UNIX_EPOCH + TimeDelta::seconds(second));
        let ended = |at| row(vec![attempt(1, "w", at, at, Ending::Succeeded)]);
        let rows = Rows {
            tasks: seconds().map(ended).collect(),
            ..Rows::default()
        };
        let submitted = rows.tasks.iter().flat_map(|task| [task, task]);
        let entries: Vec<_> = (0..40)
            .zip(submitted)
            .map(|(number, task)| {
                let (id, took_ms) = (task.id, 1);
                let what = What::Ok {
                    number,
                    id,
                    took_ms,
                };
                entry(number / 2, what)
            })
            .collect();

        let up = DateTime::UNIX_EPOCH + TimeDelta::seconds(5);

        assert_eq!(full_speed_after(&entries, &rows, up), Some(0.0));
    }
}
