//! SendGrid's mail API, version 3.
//!
//! The message is the `sendgrid` crate's; the call is made here, because the crate drops the headers
//! of a refusal, and with them how long to wait.

use std::{collections::HashMap, time::Duration};

use anyhow::Context;
use models::emails::Attachment as File;
use reqwest::{
    Client, Response, StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use sendgrid::v3::{
    Attachment, ClickTrackingSetting, Content, Email, Message, OpenTrackingSetting,
    Personalization, Sender as Api, SubscriptionTrackingSetting, TrackingSettings,
};
use serde_json::Value;

use super::{
    Answer, MailConfig, Outgoing, Refusal, SendGridConfig,
    message::{Sender, unsubscribe_headers},
};

/// Where mail is handed over, below the address of the API.
const PATH: &str = "/v3/mail/send";
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A provider that is busy and does not say for how long is left alone for this long.
const PAUSE: Duration = Duration::from_secs(10);
/// Bytes of a refusal that are read.
const REFUSAL_BYTES_MAX: usize = 4096;
/// The custom argument by which SendGrid's events name the mail.
pub(super) const EMAIL_ID: &str = "email_id";

/// A client of SendGrid.
#[derive(Debug)]
pub(super) struct SendGrid {
    client: Client,
    url: String,
    from: Sender,
}

impl SendGrid {
    pub(super) fn new(sendgrid: &SendGridConfig, config: &MailConfig) -> anyhow::Result<Self> {
        let headers = Api::get_headers(sendgrid.key.expose());
        let headers = headers.context("SENDGRID_API_KEY has a character that no key has")?;
        let url = format!("{}{PATH}", sendgrid.endpoint.trim_end_matches('/'));
        let local = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
        let local = local.iter().any(|start| url.starts_with(start));
        anyhow::ensure!(
            local || url.starts_with("https://"),
            "SENDGRID_ENDPOINT must be an https address"
        );
        let mut client = Client::builder()
            .default_headers(headers)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(sendgrid.timeout)
            // A redirect would be a second call.
            .redirect(reqwest::redirect::Policy::none());
        if local {
            client = client.no_proxy();
        }
        Ok(Self {
            client: client.build()?,
            url,
            from: config.from.clone(),
        })
    }

    pub(super) async fn send(&self, mail: &Outgoing) -> Answer {
        let body = match body(mail, &self.from) {
            Ok(body) => body,
            Err(error) => return Answer::Refused(Refusal::permanent(error.to_string())),
        };
        match self.client.post(&self.url).body(body).send().await {
            Ok(response) => understand(response).await,
            // Without a connection nothing was said.
            Err(error) if error.is_connect() || error.is_builder() => {
                Answer::Refused(Refusal::outage(reason(&error)))
            }
            Err(error) => Answer::Doubt(reason(&error)),
        }
    }
}

/// What went wrong, without the address that was called.
fn reason(error: &reqwest::Error) -> String {
    use std::error::Error as _;
    let kind = match error {
        error if error.is_timeout() => "it took too long",
        error if error.is_connect() => "no connection",
        _ => "the connection broke off",
    };
    let cause = error.source().map(ToString::to_string);
    cause.map_or_else(|| kind.to_owned(), |cause| format!("{kind}: {cause}"))
}

async fn understand(response: Response) -> Answer {
    let status = response.status();
    if status.is_success() {
        let id = response.headers().get("x-message-id");
        return Answer::Taken(id.and_then(|id| id.to_str().ok()).map(str::to_owned));
    }
    let pause = pause(response.headers());
    let detail = format!("{status}: {}", complaint(response).await);
    match status {
        StatusCode::TOO_MANY_REQUESTS => Answer::Refused(Refusal {
            pause: Some(pause.unwrap_or(PAUSE)),
            outage: false,
            ..Refusal::outage(detail)
        }),
        // It says itself that it serves nobody now.
        StatusCode::SERVICE_UNAVAILABLE => Answer::Refused(Refusal {
            pause,
            ..Refusal::outage(detail)
        }),
        // Anything may have happened before it failed.
        status if status.is_server_error() => Answer::Doubt(super::redact(&detail)),
        _ => Answer::Refused(Refusal::permanent(detail)),
    }
}

/// How long the provider asks to be left alone, in whole seconds (RFC 9110, section 10.2.3).
fn pause(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

/// The first reason that a refusal gives.
async fn complaint(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > REFUSAL_BYTES_MAX {
            break;
        }
    }
    let document: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let text = document
        .pointer("/errors/0/message")
        .and_then(Value::as_str);
    text.unwrap_or("it gave no reason").to_owned()
}

/// The mail as SendGrid takes it.
fn body(mail: &Outgoing, from: &Sender) -> serde_json::Result<Vec<u8>> {
    let id = mail.id.to_string();
    let headers = unsubscribe_headers(mail);
    let headers: HashMap<&str, &str> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let person = Personalization::new(email(mail.to.as_str(), mail.name.as_deref()))
        .add_custom_args(&HashMap::from([(EMAIL_ID, id.as_str())]));
    let person = if headers.is_empty() {
        person
    } else {
        person.add_headers(&headers)
    };
    let content = |form, text| Content::new().set_content_type(form).set_value(text);
    let mut message = Message::new(email(from.address.as_str(), from.name.as_deref()))
        .set_subject(&mail.content.subject)
        .add_category(mail.category.as_str())
        .set_tracking_settings(untracked())
        .add_content(content("text/plain", &mail.content.text))
        .add_content(content("text/html", &mail.content.html))
        .add_personalization(person);
    for File {
        name,
        media_type,
        base64,
    } in &mail.attachments
    {
        let attachment = Attachment::new()
            .set_filename(name)
            .set_base64_content(base64);
        message = message.add_attachment(attachment.set_mime_type(media_type.as_str()));
    }
    serde_json::to_vec(&message)
}

fn email<'m>(address: &'m str, name: Option<&'m str>) -> Email<'m> {
    let email = Email::new(address);
    match name {
        Some(name) => email.set_name(name),
        None => email,
    }
}

/// Readers are not watched, and links with tokens are not led through somebody else's server.
fn untracked() -> TrackingSettings<'static> {
    TrackingSettings {
        click_tracking: Some(ClickTrackingSetting {
            enable: Some(false),
            enable_text: Some(false),
        }),
        open_tracking: Some(OpenTrackingSetting {
            enable: Some(false),
            substitution_tag: None,
        }),
        subscription_tracking: Some(SubscriptionTrackingSetting {
            enable: Some(false),
        }),
    }
}
