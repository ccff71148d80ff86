//! What a mailer needs to know.

use std::{path::PathBuf, time::Duration};

use anyhow::ensure;
use clap::ValueEnum;
use platform::config::Secret;

use super::{dkim::Dkim, message::Sender};

/// What is done when nobody could say whether a mail was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Doubt {
    /// It is not sent again, and shown as unknown.
    Hold,
    /// It is sent once more: rather twice than not at all.
    Resend,
}

/// Who carries the mail.
#[derive(Clone, Debug)]
pub enum Carriers {
    /// A file a mail, in this folder.
    Folder(PathBuf),
    /// A mail server: `smtp://USER:PASSWORD@HOST:PORT` (STARTTLS) or `smtps://...`.
    Smtp(Secret),
    /// The provider SendGrid.
    SendGrid(SendGridConfig),
}

/// How to reach SendGrid.
#[derive(Clone, Debug)]
pub struct SendGridConfig {
    /// The key of the API.
    pub key: Secret,
    /// The address of the API, without the path.
    pub endpoint: String,
    /// How long one call may take.
    pub timeout: Duration,
}

/// What a mailer needs to know.
#[derive(Clone, Debug)]
pub struct MailConfig {
    /// Who carries the mail.
    pub carrier: Carriers,
    /// Who it is from.
    pub from: Sender,
    /// The public address of the site, which every link begins with; no slash at its end.
    pub site: String,
    /// What is done when nobody could say whether a mail was taken.
    pub doubt: Doubt,
    /// How long to wait for a provider to clear a doubt.
    pub doubt_wait: Duration,
    /// Mails a second at most, in this process.
    pub per_second: u32,
    /// A certificate to trust besides the public ones, for a mail server of one's own.
    pub ca: Option<PathBuf>,
    /// Signs what leaves by SMTP or into the folder.
    pub dkim: Option<Dkim>,
}

impl MailConfig {
    /// Mail into a folder, as on a laptop.
    pub fn folder(folder: PathBuf) -> Self {
        Self {
            carrier: Carriers::Folder(folder),
            from: Sender::default(),
            site: "http://127.0.0.1:8080".to_owned(),
            doubt: Doubt::Hold,
            doubt_wait: Duration::from_mins(10),
            per_second: 50,
            ca: None,
            dkim: None,
        }
    }

    /// Refuses what cannot work, before the first mail.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let web = self.site.starts_with("https://") || self.site.starts_with("http://");
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\'');
        ensure!(
            web && self.site.chars().all(plain) && !self.site.ends_with('/'),
            "LYO_PUBLIC_URL must be a web address without a slash at its end"
        );
        ensure!(
            matches!(self.carrier, Carriers::Folder(_)) || self.from != Sender::default(),
            "LYO_EMAIL_FROM must say who the mail is from"
        );
        ensure!(self.per_second > 0, "LYO_EMAIL_RATE must be at least 1");
        Ok(())
    }
}
