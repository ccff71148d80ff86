//! Server-sent events, read one by one.

use anyhow::Context;
use serde_json::Value;

/// One event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its place in the sequence of the task.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its data.
    pub data: Value,
}

/// An open stream of events.
#[derive(Debug)]
pub struct Events {
    answer: reqwest::Response,
    unread: String,
}

impl Events {
    /// The events of an answer.
    pub fn new(answer: reqwest::Response) -> Self {
        Self {
            answer,
            unread: String::new(),
        }
    }

    /// The next event; `None` when the server has closed the stream.
    pub async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        loop {
            if let Some(end) = self.unread.find("\n\n") {
                let block: String = self.unread.drain(..end + 2).collect();
                match parse(block.trim_end())? {
                    Some(event) => return Ok(Some(event)),
                    None => continue,
                }
            }
            match self.answer.chunk().await? {
                Some(chunk) => self.unread.push_str(std::str::from_utf8(&chunk)?),
                None => return Ok(None),
            }
        }
    }

    /// Every event until the server closes the stream.
    pub async fn rest(mut self) -> anyhow::Result<Vec<Event>> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await? {
            events.push(event);
        }
        Ok(events)
    }
}

/// An event from its lines; `None` for a comment or a retry advice.
fn parse(block: &str) -> anyhow::Result<Option<Event>> {
    let field = |name: &str| {
        let of_name = |line: &str| {
            Some(
                line.strip_prefix(name)?
                    .strip_prefix(':')?
                    .trim()
                    .to_owned(),
            )
        };
        block.lines().find_map(of_name)
    };
    let Some(data) = field("data") else {
        return Ok(None);
    };
    Ok(Some(Event {
        id: field("id").context("an event without id")?.parse()?,
        name: field("event").context("an event without name")?,
        data: serde_json::from_str(&data)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_no_events() -> anyhow::Result<()> {
        assert_eq!(parse(": still here")?, None);
        assert_eq!(parse("retry: 1000")?, None);

        let event = parse("id: 3\nevent: done\ndata: {\"state\": \"succeeded\"}")?;

        let data = serde_json::json!({"state": "succeeded"});
        assert_eq!(
            event,
            Some(Event {
                id: 3,
                name: "done".to_owned(),
                data
            })
        );
        Ok(())
    }
}
