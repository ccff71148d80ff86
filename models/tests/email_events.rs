//! Events of providers: each once, and what follows from them.

use models::{
    Address, Db, EmailId, OwnerId,
    effects::{self, State},
    email_events::{self, Event, Told},
    emails::{self, Letter},
    on_both,
    suppressions::{self, Reason},
    templates::{Category, Template},
    testing::TestResult,
};
use serde_json::json;

fn told(email_id: EmailId, event: Event) -> TestResult<Told> {
    Ok(Told {
        provider: "sendgrid",
        event_id: format!("{event}"),
        email_id,
        provider_id: None,
        event,
        detail: Some("a reason".to_owned()),
        occurred_at: "2026-11-21T12:00:00Z".parse()?,
    })
}

on_both! {
    async fn an_event_is_news_once_and_never_undoes_a_later_stage(db: &Db) -> TestResult {
        let (ada, now) = (Address::parse("ada@example.com")?, db.now());
        let variables = json!({"name": "Ada"});
        let letter = Letter {
            template: Template::Welcome,
            variables: variables.as_object().cloned().ok_or("an object")?,
            to: ada.clone(), name: None, language: "en".to_owned(), attachments: Vec::new(),
        };
        let mut tx = db.begin().await?;
        let id = emails::create(&mut tx, OwnerId::LOCAL, &letter, now).await?;
        let key = emails::key(id);
        effects::intend(&mut tx, key, OwnerId::LOCAL, "sendgrid", now).await?;
        effects::give_up(&mut tx, key, now).await?;

        for (event, news, state) in [
            (Event::Processed, true, State::Sent),
            (Event::Delivered, true, State::Delivered),
            (Event::Delivered, false, State::Delivered),
            (Event::Blocked, true, State::Bounced),
            (Event::Unsubscribed, true, State::Bounced),
            (Event::Complained, true, State::Complained),
            (Event::Bounced, true, State::Complained),
        ] {
            assert_eq!(email_events::record(&mut tx, &told(id, event)?, now).await?, news, "{event}");
            let effect = effects::find(&mut tx, key).await?.ok_or("it is there")?;
            assert_eq!(effect.state, state, "{event}");
        }

        let reasons = suppressions::find(&mut tx, &ada, Category::Account).await?;
        assert_eq!(reasons, Some(Reason::Bounce), "a mailbox that is none gets nothing");
        let stranger = told(EmailId::new(), Event::Delivered)?;
        assert!(!email_events::record(&mut tx, &stranger, now).await?, "no mail of ours");
        Ok(())
    }
}
