//! Any mail server, by SMTP: encrypted, authenticated, over a pool of connections.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context, bail, ensure};
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Tokio1Executor,
    transport::smtp::{
        self, PoolConfig,
        client::{Certificate, Tls, TlsParameters},
        extension::ClientId,
        response::Response,
    },
};
use platform::config::Secret;
use reqwest::Url;
use tokio::time::timeout;

use super::{
    Answer, CALLS_MAX, MailConfig, Outgoing, Refusal,
    dkim::{self, Dkim},
    message::{Sender, build},
    redact,
};

/// How long the server may take for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the whole conversation may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// An unused connection is closed after this.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A client of a mail server.
#[derive(Debug)]
pub(super) struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Sender,
    dkim: Option<Dkim>,
}

impl Smtp {
    pub(super) fn new(url: &Secret, config: &MailConfig) -> anyhow::Result<Self> {
        // The URL has a password in it: no error may repeat it.
        let url = Url::parse(url.expose()).ok();
        let url = url.context("LYO_EMAIL is not a URL such as smtp://USER:PASSWORD@HOST:587")?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let encrypted = is_encrypted(&url)?;
        let mut address = url.clone();
        address.set_query((encrypted && url.scheme() == "smtp").then_some("tls=required"));
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(address.as_str());
        let mut transport = transport.ok().context("LYO_EMAIL names no mail server")?;
        if let Some(file) = &config.ca {
            let file = std::fs::read(file)
                .with_context(|| format!("LYO_EMAIL_CA cannot be read: {}", file.display()))?;
            let certificate = Certificate::from_pem(&file)
                .ok()
                .context("LYO_EMAIL_CA is not a certificate in PEM")?;
            let tls = TlsParameters::builder(host).add_root_certificate(certificate);
            let tls = tls.build()?;
            transport = transport.tls(match url.scheme() {
                "smtps" => Tls::Wrapper(tls),
                _ => Tls::Required(tls),
            });
        }
        let pool = PoolConfig::new()
            .max_size(CALLS_MAX)
            .idle_timeout(IDLE_TIMEOUT);
        let hello = ClientId::Domain(config.from.address.domain().to_owned());
        Ok(Self {
            transport: transport
                .hello_name(hello)
                .timeout(Some(ANSWER_TIMEOUT))
                .pool_config(pool)
                .build(),
            from: config.from.clone(),
            dkim: config.dkim.clone(),
        })
    }

    pub(super) async fn send(&self, mail: &Outgoing) -> Answer {
        let built = build(mail, &self.from)
            .and_then(|(envelope, bytes)| Ok((envelope, dkim::sign(self.dkim.as_ref(), bytes)?)));
        let (envelope, bytes) = match built {
            Ok(built) => built,
            Err(error) => return Answer::Refused(Refusal::permanent(error.to_string())),
        };
        match timeout(TIMEOUT, self.transport.send_raw(&envelope, &bytes)).await {
            Ok(Ok(response)) => Answer::Taken(queued_as(&response)),
            Ok(Err(error)) => understand(&error),
            Err(_) => Answer::Doubt("the conversation took too long".to_owned()),
        }
    }
}

/// Whether the conversation is encrypted. Only a server on this machine may do without.
fn is_encrypted(url: &Url) -> anyhow::Result<bool> {
    let mut options = url.query_pairs();
    let tls = options.next();
    ensure!(
        options.next().is_none(),
        "LYO_EMAIL has an option that is not known"
    );
    match (
        url.scheme(),
        tls.as_ref().map(|(key, value)| (&**key, &**value)),
    ) {
        ("smtps", None) | ("smtp", None | Some(("tls", "required"))) => Ok(true),
        ("smtp", Some(("tls", "none"))) => {
            let host = url.host_str().unwrap_or_default();
            let here = host.trim_matches(['[', ']']).parse::<IpAddr>();
            ensure!(
                host == "localhost" || here.is_ok_and(|ip| ip.is_loopback()),
                "mail leaves this machine encrypted only: leave tls=none out of LYO_EMAIL"
            );
            Ok(false)
        }
        _ => bail!("LYO_EMAIL must begin with smtp:// or smtps://, and may end with ?tls=none"),
    }
}

/// What a failed conversation says about the mail.
fn understand(error: &smtp::Error) -> Answer {
    let detail = error.to_string();
    if error.is_permanent() {
        return Answer::Refused(Refusal::permanent(detail));
    }
    if error.is_transient() {
        // 421: the server closes the conversation, whatever was said.
        let closing = error.status().is_some_and(|code| u16::from(code) == 421);
        return Answer::Refused(Refusal {
            outage: closing,
            ..Refusal::outage(detail)
        });
    }
    // The library tells a connection that was never made from one that broke by this text alone; a
    // test holds it to that.
    let never_made = detail.starts_with("Connection error");
    if never_made || error.is_tls() || error.is_client() || error.is_transport_shutdown() {
        return Answer::Refused(Refusal::outage(detail));
    }
    Answer::Doubt(redact(&detail))
}

/// What the server calls the mail, as far as it says.
fn queued_as(response: &Response) -> Option<String> {
    let line = redact(response.first_line()?);
    (!line.is_empty()).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailer::{Carriers, message::tests::outgoing};

    fn smtp(url: &str) -> anyhow::Result<Smtp> {
        let config = MailConfig {
            from: "Lyo <no-reply@lyo.example>".parse()?,
            ..MailConfig::folder("unused".into())
        };
        let secret: Secret = url.parse()?;
        assert!(!format!("{:?}", Carriers::Smtp(secret.clone())).contains("pass"));
        Smtp::new(&secret, &config)
    }

    #[tokio::test]
    async fn a_password_leaves_this_machine_encrypted_only_and_is_in_no_error() {
        for url in [
            "smtp://user:pass@mail.example",
            "smtp://user:pass@mail.example:587?tls=required",
            "smtps://user:pass@mail.example",
            "smtp://127.0.0.1:2525?tls=none",
            "smtp://localhost?tls=none",
        ] {
            assert!(smtp(url).is_ok(), "{url}");
        }
        for url in [
            "smtp://user:pass@mail.example?tls=none",
            "smtp://user:pass@127.0.0.1.mail.example?tls=none",
            "smtp://user:pass@mail.example?tls=opportunistic",
            "smtp://user:pass@mail.example?tls=required&tls=none",
            "http://user:pass@mail.example",
            "user:pass@mail.example",
        ] {
            let error = smtp(url).err().map(|error| format!("{error:#}"));
            assert!(error.is_some_and(|error| !error.contains("pass")), "{url}");
        }
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_was_told_nothing() -> anyhow::Result<()> {
        let gone = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await?
            .local_addr()?;

        let answer = smtp(&format!("smtp://{gone}?tls=none"))?
            .send(&outgoing()?)
            .await;

        assert!(
            matches!(&answer, Answer::Refused(refusal) if refusal.retryable && refusal.outage),
            "{answer:?}"
        );
        Ok(())
    }
}
