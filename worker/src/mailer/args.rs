//! How mail leaves, as the environment says.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;
use platform::config::Secret;

use super::{Carriers, Dkim, Doubt, MailConfig, SendGridConfig, Sender};

/// How long one call of a provider may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How mail leaves.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Mail")]
pub struct EmailArgs {
    /// `folder`, `folder:PATH`, `smtp://USER:PASSWORD@HOST:587`, `smtps://...` or `sendgrid`;
    /// `folder` is `mail` in the data folder.
    #[arg(
        long,
        value_name = "CARRIER",
        env = "LYO_EMAIL",
        default_value = "folder",
        hide_env_values = true
    )]
    pub email: Secret,

    /// Who mail is from: `NAME <ADDRESS>`; required unless mail goes into a folder.
    #[arg(long, value_name = "SENDER", env = "LYO_EMAIL_FROM")]
    pub email_from: Option<Sender>,

    /// The public address of this site, which the links in mail begin with.
    #[arg(
        long,
        value_name = "URL",
        env = "LYO_PUBLIC_URL",
        default_value = "http://127.0.0.1:8080"
    )]
    pub public_url: String,

    /// Mails a second at most, in this process.
    #[arg(
        long,
        value_name = "NUMBER",
        env = "LYO_EMAIL_RATE",
        default_value_t = 50,
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    pub email_rate: u32,

    /// What is done with a mail of which nobody knows whether it was sent.
    #[arg(long, value_enum, env = "LYO_EMAIL_DOUBT", default_value = "hold")]
    pub email_doubt: Doubt,

    /// How long to wait for a provider to tell whether it took a mail, in seconds.
    #[arg(
        long,
        value_name = "SECONDS",
        env = "LYO_EMAIL_DOUBT_WAIT",
        default_value_t = 600,
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    pub email_doubt_wait: u64,

    /// A certificate to trust besides the public ones, for a mail server of one's own.
    #[arg(long, value_name = "FILE", env = "LYO_EMAIL_CA")]
    pub email_ca: Option<PathBuf>,

    /// The API key of the provider `SendGrid`.
    #[arg(
        long,
        value_name = "KEY",
        env = "SENDGRID_API_KEY",
        hide_env_values = true
    )]
    pub sendgrid_api_key: Option<Secret>,

    /// The address of the API of `SendGrid`.
    #[arg(
        long,
        value_name = "URL",
        env = "SENDGRID_ENDPOINT",
        default_value = "https://api.sendgrid.com"
    )]
    pub sendgrid_endpoint: String,

    /// The domain that mail by SMTP is signed for with DKIM [default: not signed]
    #[arg(long, value_name = "DOMAIN", env = "LYO_DKIM_DOMAIN", requires_all = ["dkim_selector", "dkim_key"])]
    pub dkim_domain: Option<String>,

    /// The selector under which DNS has the public key.
    #[arg(long, value_name = "NAME", env = "LYO_DKIM_SELECTOR")]
    pub dkim_selector: Option<String>,

    /// The private key, RSA or Ed25519, in PEM.
    #[arg(long, value_name = "FILE", env = "LYO_DKIM_KEY")]
    pub dkim_key: Option<PathBuf>,
}

impl EmailArgs {
    /// How mail leaves, with the folder for it in the given data folder.
    ///
    /// # Errors
    /// When a part is missing or a file cannot be read.
    pub fn config(&self, data: &Path) -> anyhow::Result<MailConfig> {
        let usual = MailConfig::folder(data.join("mail"));
        Ok(MailConfig {
            carrier: self.carrier(usual.carrier)?,
            from: self.email_from.clone().unwrap_or(usual.from),
            site: self.public_url.trim_end_matches('/').to_owned(),
            doubt: self.email_doubt,
            doubt_wait: Duration::from_secs(self.email_doubt_wait),
            per_second: self.email_rate,
            ca: self.email_ca.clone(),
            dkim: self.dkim()?,
        })
    }

    fn carrier(&self, usual: Carriers) -> anyhow::Result<Carriers> {
        let named = self.email.expose();
        if let Some(folder) = named.strip_prefix("folder:") {
            return Ok(Carriers::Folder(folder.into()));
        }
        match named.split(':').next() {
            Some("folder") => Ok(usual),
            Some("smtp" | "smtps") => Ok(Carriers::Smtp(self.email.clone())),
            Some("sendgrid") => Ok(Carriers::SendGrid(SendGridConfig {
                key: self
                    .sendgrid_api_key
                    .clone()
                    .context("LYO_EMAIL=sendgrid needs SENDGRID_API_KEY")?,
                endpoint: self.sendgrid_endpoint.clone(),
                timeout: CALL_TIMEOUT,
            })),
            // The value may hold a password.
            _ => {
                bail!("LYO_EMAIL must be folder, folder:PATH, smtp://..., smtps://... or sendgrid")
            }
        }
    }

    fn dkim(&self) -> anyhow::Result<Option<Dkim>> {
        let (Some(domain), Some(selector), Some(file)) =
            (&self.dkim_domain, &self.dkim_selector, &self.dkim_key)
        else {
            return Ok(None);
        };
        let key = fs::read_to_string(file)
            .with_context(|| format!("LYO_DKIM_KEY cannot be read: {}", file.display()))?;
        let dkim = Dkim::new(domain, selector, &key).context("DKIM cannot sign")?;
        Ok(Some(dkim))
    }
}
