//! How mail leaves: one enum of carriers, one answer, a gate in front of them.
//!
//! A carrier says what it knows and nothing more: it was taken, it was refused, or there is a doubt.
//! Only what was refused may be tried again.

mod args;
mod config;
mod dkim;
mod folder;
mod gate;
mod message;
mod sendgrid;
mod smtp;

use std::{path::Path, sync::Arc, time::Duration};

use mail::Content;
use models::{Address, EmailId, emails::Attachment, templates::Category};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout},
};

pub use args::EmailArgs;
pub use config::{Carriers, Doubt, MailConfig, SendGridConfig};
pub use dkim::{Dkim, DkimError};

use folder::Folder;
use gate::{Gate, WAIT_MAX};
pub use message::Sender;
use sendgrid::SendGrid;
use smtp::Smtp;

/// Mails that one process hands over at the same time at most. The library's pool keeps so many
/// connections, and would open more.
const CALLS_MAX: u32 = 16;

/// How mail leaves: a handle to share, cheap to clone.
#[derive(Clone, Debug)]
pub struct Mailer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    carrier: Carrier,
    /// Free places among the [`CALLS_MAX`].
    places: Arc<Semaphore>,
    gate: Gate,
    site: String,
    doubt: Doubt,
    doubt_wait: Duration,
}

#[derive(Debug)]
enum Carrier {
    Folder(Folder),
    Smtp(Box<Smtp>),
    SendGrid(Box<SendGrid>),
}

/// A mail, ready to leave.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) id: EmailId,
    pub(crate) to: Address,
    pub(crate) name: Option<String>,
    pub(crate) category: Category,
    pub(crate) content: Content,
    pub(crate) unsubscribe_url: Option<String>,
    pub(crate) attachments: Vec<Attachment>,
}

/// What a carrier knows after it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It took the mail, and may have a name for it.
    Taken(Option<String>),
    /// It did not take the mail: asking again is safe.
    Refused(Refusal),
    /// It may have taken the mail.
    Doubt(String),
}

/// Why a carrier did not take a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Whether the same mail may be taken later.
    pub(crate) retryable: bool,
    /// What it said, without addresses.
    pub(crate) detail: String,
    /// How long it asked to be left alone.
    pub(crate) pause: Option<Duration>,
    /// Whether the carrier itself is in trouble, rather than this mail.
    pub(crate) outage: bool,
}

impl Refusal {
    /// The carrier is in trouble; later may be better.
    fn outage(detail: impl AsRef<str>) -> Self {
        Self {
            retryable: true,
            detail: redact(detail.as_ref()),
            pause: None,
            outage: true,
        }
    }

    /// This mail is not taken, now or later.
    fn permanent(detail: impl AsRef<str>) -> Self {
        Self {
            retryable: false,
            detail: redact(detail.as_ref()),
            pause: None,
            outage: false,
        }
    }
}

impl Mailer {
    /// A mailer for this process.
    ///
    /// # Errors
    /// When the configuration is contradictory, or names a file that cannot be read.
    pub fn new(config: MailConfig) -> anyhow::Result<Self> {
        config.check()?;
        let carrier = match &config.carrier {
            Carriers::Folder(folder) => Carrier::Folder(Folder::new(folder, &config)),
            Carriers::Smtp(url) => Carrier::Smtp(Box::new(Smtp::new(url, &config)?)),
            Carriers::SendGrid(sendgrid) => {
                Carrier::SendGrid(Box::new(SendGrid::new(sendgrid, &config)?))
            }
        };
        Ok(Self::with(carrier, config))
    }

    /// A mailer that writes into a folder, which cannot be configured wrongly.
    pub fn folder(folder: &Path) -> Self {
        let config = MailConfig::folder(folder.to_owned());
        Self::with(Carrier::Folder(Folder::new(folder, &config)), config)
    }

    fn with(carrier: Carrier, config: MailConfig) -> Self {
        Self(Arc::new(Inner {
            carrier,
            places: Arc::new(Semaphore::new(CALLS_MAX as usize)),
            gate: Gate::new(config.per_second),
            site: config.site,
            doubt: config.doubt,
            doubt_wait: config.doubt_wait,
        }))
    }

    /// The word for who carries the mail.
    pub(crate) fn provider(&self) -> &'static str {
        match &self.0.carrier {
            Carrier::Folder(_) => "folder",
            Carrier::Smtp(_) => "smtp",
            Carrier::SendGrid(_) => "sendgrid",
        }
    }

    /// The public address of the site.
    pub(crate) fn site(&self) -> &str {
        &self.0.site
    }

    /// What to do when a doubt is not cleared.
    pub(crate) fn doubt(&self) -> Doubt {
        self.0.doubt
    }

    /// How long to wait for a provider to clear a doubt.
    pub(crate) fn doubt_wait(&self) -> Duration {
        self.0.doubt_wait
    }

    /// Whether asking twice for the same mail is the same as asking once.
    pub(crate) fn is_repeatable(&self) -> bool {
        matches!(self.0.carrier, Carrier::Folder(_))
    }

    /// Waits until one more mail may be handed over, or says when to come back. The place is to be
    /// held until the carrier has answered.
    pub(crate) async fn admit(&self) -> Result<OwnedSemaphorePermit, Duration> {
        let place = self.0.places.clone().acquire_owned();
        // The semaphore is never closed.
        let Ok(Ok(place)) = timeout(WAIT_MAX, place).await else {
            return Err(WAIT_MAX);
        };
        sleep(self.0.gate.admit(Instant::now())?).await;
        Ok(place)
    }

    /// Hands a mail over. It takes as long as the carrier's own time-outs allow, 15 s at most.
    pub(crate) async fn send(&self, mail: &Outgoing) -> Answer {
        let answer = match &self.0.carrier {
            Carrier::Folder(folder) => folder.send(mail).await,
            Carrier::Smtp(smtp) => smtp.send(mail).await,
            Carrier::SendGrid(sendgrid) => sendgrid.send(mail).await,
        };
        self.0.gate.heard(&answer, Instant::now());
        answer
    }
}

/// The longest text of a carrier that is kept, in characters.
const DETAIL_CHARS_MAX: usize = 300;

/// What a carrier said, on one line and without addresses.
fn redact(text: &str) -> String {
    let words = text.split_whitespace();
    let words = words.map(|word| {
        if word.contains('@') {
            "(address)"
        } else {
            word
        }
    });
    let line = words.collect::<Vec<_>>().join(" ");
    line.chars().take(DETAIL_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_carrier_said_is_kept_without_addresses() {
        let said = "550 5.1.1\r\n <ann@example.com>: unknown,  try bob@example.com";

        assert_eq!(redact(said), "550 5.1.1 (address) unknown, try (address)");
        assert_eq!(
            redact(&"a ".repeat(1_000)).chars().count(),
            DETAIL_CHARS_MAX
        );
    }
}
