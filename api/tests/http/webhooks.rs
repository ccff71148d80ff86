//! Events of SendGrid: signed, fresh, each once.

use std::time::Duration;

use api::App;
use jobs::bell::Bell;
use models::{
    Address, Db, EmailId, effects, emails, on_both, sql,
    sql::One,
    suppressions::{self, Reason},
    templates::Category,
    testing::TestResult,
};
use platform::health::Health;
use poem::{Body, Route, http::Method};
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Api},
    signer::Signer,
};

fn api(db: &Db, signer: &Signer) -> TestResult<Api> {
    let mut app = App::new(db.clone(), Bell::in_process(), Health::default());
    app.sendgrid_key = Some(signer.key().parse()?);
    Ok(Api::with(app, Route::new()))
}

/// A delivery, signed so long ago.
async fn deliver(api: &Api, signer: &Signer, events: &Value, age: Duration) -> TestResult<Answer> {
    let signed_at = (api.app.db.now() - age).timestamp();
    let body = events.to_string();
    let proof = signer.headers(signed_at, &body);
    post(api, &proof[0].1, &proof[1].1, body).await
}

async fn post(api: &Api, signature: &str, timestamp: &str, body: String) -> TestResult<Answer> {
    let headers = [
        ("content-type", "application/json"),
        ("x-twilio-email-event-webhook-signature", signature),
        ("x-twilio-email-event-webhook-timestamp", timestamp),
    ];
    let path = "/v1/webhooks/sendgrid";
    api.send(Method::POST, path, &headers, Body::from_string(body))
        .await
}

/// A mail that the provider was asked to send, and whose answer nobody heard.
async fn doubtful(api: &Api) -> TestResult<EmailId> {
    let letter = json!({"template": "digest", "to": "ada@example.com",
        "variables": {"name": "Ada", "period": "May", "items": ["A"], "path": "/"}});
    let key = EmailId::new().to_string();
    let key = [("idempotency-key", key.as_str())];
    let task = api.post_with("/v1/emails", &letter, &key).await?;
    let id: EmailId = task.word("/payload/email_id").parse()?;
    let (db, now) = (&api.app.db, api.app.db.now());
    let mut tx = db.begin().await?;
    effects::intend(
        &mut tx,
        emails::key(id),
        models::OwnerId::LOCAL,
        "sendgrid",
        now,
    )
    .await?;
    tx.commit().await?;
    Ok(id)
}

async fn status(api: &Api, id: EmailId) -> TestResult<String> {
    Ok(api.get(&format!("/v1/emails/{id}")).await?.word("/status"))
}

const NOW: Duration = Duration::ZERO;

on_both! {
    async fn an_event_says_what_became_of_a_mail_and_counts_once(db: &Db) -> TestResult {
        let signer = Signer::new();
        let api = api(db, &signer)?;
        let id = doubtful(&api).await?;
        let event = |name: &str, event_id: &str| json!({
            "event": name, "sg_event_id": event_id, "sg_message_id": "m.filter", "email_id": id.to_string(),
            "email": "ada@example.com", "timestamp": 1_600_000_000, "reason": "550 <ada@example.com> unknown",
        });
        let others = json!({"event": "delivered", "sg_event_id": "x", "email_id": EmailId::new().to_string()});

        let taken = deliver(&api, &signer, &json!([event("processed", "1"), others]), NOW).await?;
        assert_eq!((taken.status.as_u16(), status(&api, id).await?.as_str()), (204, "sent"));
        // The end of the story comes before its middle: a later stage is not undone.
        deliver(&api, &signer, &json!([event("bounce", "3"), event("delivered", "2")]), NOW).await?;
        deliver(&api, &signer, &json!([event("bounce", "3"), event("processed", "1")]), NOW).await?;

        let mail = api.get(&format!("/v1/emails/{id}")).await?;
        assert_eq!((mail.word("/status"), mail.word("/provider_id")), ("bounced".to_owned(), "m".to_owned()));
        assert_eq!(mail.word("/detail"), "550 (address) unknown");
        let mut conn = db.conn().await?;
        let (events,) = sql!(conn, fetch_one One<i64>, "select count(*) from email_events")?;
        assert_eq!(events, 3);
        let address = Address::parse("ada@example.com")?;
        assert_eq!(suppressions::find(&mut conn, &address, Category::Account).await?, Some(Reason::Bounce));
        Ok(())
    }

    async fn a_forged_changed_or_old_delivery_changes_nothing(db: &Db) -> TestResult {
        let (signer, stranger) = (Signer::new(), Signer::new());
        let api = api(db, &signer)?;
        let id = doubtful(&api).await?;
        let events = json!([{"event": "delivered", "sg_event_id": "1", "email_id": id.to_string()}]);
        let [(_, signature), (_, now)] = signer.headers(db.now().timestamp(), &events.to_string());
        let refused = (403, "signature_invalid".to_owned());

        let other = json!([{"event": "bounce", "sg_event_id": "1", "email_id": id.to_string()}]);
        assert_eq!(post(&api, &signature, &now, other.to_string()).await?.problem(), refused);
        assert_eq!(post(&api, &signature, "1600000000", events.to_string()).await?.problem(), refused);
        assert_eq!(post(&api, "", "", events.to_string()).await?.problem(), refused);
        assert_eq!(deliver(&api, &stranger, &events, NOW).await?.problem(), refused);
        let replayed = deliver(&api, &signer, &events, Duration::from_mins(11)).await?;
        assert_eq!(replayed.problem(), refused);
        let keyless = Api::new(db);
        assert_eq!(deliver(&keyless, &signer, &events, NOW).await?.problem(), refused);
        assert_eq!(status(&api, id).await?, "sending");

        assert_eq!(post(&api, &signature, &now, events.to_string()).await?.status, 204);
        assert_eq!(status(&api, id).await?, "delivered");
        Ok(())
    }

    async fn a_delivery_of_many_events_is_taken_and_what_is_no_list_is_refused(db: &Db) -> TestResult {
        let signer = Signer::new();
        let api = api(db, &signer)?;
        let id = doubtful(&api).await?;
        let event = |n: usize| json!({"event": "delivered", "sg_event_id": n.to_string(), "email_id": id.to_string()});

        let many: Value = (0..250).map(event).collect();
        assert_eq!(deliver(&api, &signer, &many, NOW).await?.status, 204);
        let wrong = deliver(&api, &signer, &json!({"event": "delivered"}), NOW).await?;
        assert_eq!(wrong.problem(), (400, "malformed_json".to_owned()));
        let large = json!([{"event": "x".repeat(1024 * 1024)}]);
        let large = deliver(&api, &signer, &large, NOW).await?;
        assert_eq!(large.problem(), (413, "body_too_large".to_owned()));
        let (events,) = sql!(db.conn().await?, fetch_one One<i64>, "select count(*) from email_events")?;
        assert_eq!(events, 250);
        Ok(())
    }
}
