//! Send one mail.

use std::time::Duration;

use chrono::{DateTime, Utc};
use models::{
    EmailId, Result, Tx, effects,
    emails::{self, Letter},
};
use serde::{Deserialize, Serialize};

use crate::{
    job::{Job, Queue},
    retry::Retry,
    store::{self, Options},
    task::Task,
};

/// Send one mail, or find out that it must not be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendEmail {
    /// The mail, created from a letter.
    pub email_id: EmailId,
}

impl Job for SendEmail {
    const KIND: &'static str = "email.send";
    const QUEUE: Queue = Queue::Email;
    // Providers are away for minutes now and then: the attempts span about half an hour.
    const RETRY: Retry = Retry {
        attempts: 10,
        base: Duration::from_secs(2),
        max: Duration::from_mins(10),
    };
    const TIMEOUT: Duration = Duration::from_mins(1);

    fn subject(&self) -> Option<String> {
        Some(format!("emails/{}", self.email_id))
    }

    /// Nobody waits for the provider any more; what it tells later is still written down.
    async fn given_up(self, tx: &mut Tx, now: DateTime<Utc>) -> Result<()> {
        effects::give_up(tx, emails::key(self.email_id), now).await
    }
}

impl SendEmail {
    /// Stores a letter and the task that sends it, or says which rule the letter breaks.
    pub async fn submit(
        tx: &mut Tx,
        letter: Letter,
        options: Options,
        now: DateTime<Utc>,
    ) -> Result<Task> {
        let letter = letter.validate()?;
        let email_id = emails::create(tx, options.owner, &letter, now).await?;
        let task = store::enqueue(tx, &Self { email_id }, options, now).await?;
        emails::attach(tx, email_id, task.id).await?;
        Ok(task)
    }
}
