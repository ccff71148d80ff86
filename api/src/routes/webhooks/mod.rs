//! What other services tell us. Each proves itself by a signature, so no caller is asked for.

mod sendgrid;
mod signature;

use clap::Args;
use models::email_events;
use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi, param::Header};

use self::sendgrid::Events;
pub use self::signature::{KeyError, WebhookKey};
use super::Tag;
use crate::{
    app::App, body::Raw, caller::Public, codes, limits::EVENTS_AT_ONCE_MAX, problem::Problem,
};

/// The keys by which other services are known.
#[derive(Clone, Debug, Default, Args)]
pub struct WebhookArgs {
    /// The key by which events of `SendGrid` are known to be its own [default: none are taken]
    #[arg(
        long,
        help_heading = "Server",
        value_name = "KEY",
        env = "SENDGRID_WEBHOOK_KEY"
    )]
    pub sendgrid_webhook_key: Option<WebhookKey>,
}

/// The operations that other services call.
pub(crate) struct Webhooks;

#[OpenApi(tag = "Tag::Webhooks")]
impl Webhooks {
    /// Takes the events of SendGrid: delivered, bounced, called spam, unsubscribed.
    ///
    /// They must be signed with the key of `SENDGRID_WEBHOOK_KEY` within the last ten minutes. An
    /// event that was told before changes nothing.
    #[oai(
        path = "/v1/webhooks/sendgrid",
        method = "post",
        operation_id = "receive_sendgrid_events"
    )]
    async fn receive_sendgrid_events(
        &self,
        app: Data<&App>,
        _public: Public,
        /// ECDSA over the timestamp and the body, in base64.
        #[oai(name = "X-Twilio-Email-Event-Webhook-Signature")]
        signature: Header<Option<String>>,
        /// When it was signed, in seconds since 1970.
        #[oai(name = "X-Twilio-Email-Event-Webhook-Timestamp")]
        timestamp: Header<Option<String>>,
        body: Raw<Events>,
    ) -> Result<Received, Problem> {
        let now = app.db.now();
        let (signature, timestamp) = (
            signature.0.unwrap_or_default(),
            timestamp.0.unwrap_or_default(),
        );
        let key = app.sendgrid_key.as_ref();
        if !key.is_some_and(|key| key.verifies(&signature, &timestamp, &body.bytes, now)) {
            let code = &codes::SIGNATURE_INVALID;
            return Err(Problem::new(code, code.meaning));
        }
        // A delivery that fails half-way comes again as a whole, and what is known changes nothing.
        for some in sendgrid::read(&body.bytes, now)?.chunks(EVENTS_AT_ONCE_MAX) {
            let mut tx = app.begin().await?;
            for told in some {
                email_events::record(&mut tx, told, now).await?;
            }
            tx.commit().await?;
        }
        Ok(Received::Done)
    }
}

#[derive(ApiResponse)]
enum Received {
    /// They are known now.
    #[oai(status = 204)]
    Done,
}
