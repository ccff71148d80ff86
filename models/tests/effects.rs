//! The ledger of effects, on both databases.

use models::{
    Db, EmailId, OwnerId, Tx,
    effects::{self, State},
    emails, on_both,
    testing::TestResult,
};

async fn state(tx: &mut Tx, key: effects::Key) -> TestResult<Option<State>> {
    Ok(effects::find(tx, key).await?.map(|effect| effect.state))
}

on_both! {
    async fn a_call_is_intended_once_until_it_is_refused(db: &Db) -> TestResult {
        let (key, owner, now) = (emails::key(EmailId::new()), OwnerId::LOCAL, db.now());
        let mut tx = db.begin().await?;

        assert_eq!(effects::intend(&mut tx, key, owner, "smtp", now).await?, Some(1));
        assert_eq!(effects::intend(&mut tx, key, owner, "smtp", now).await?, None, "it may have been made");
        effects::refused(&mut tx, key, 1, "451 later", now).await?;
        let refused = effects::find(&mut tx, key).await?.ok_or("it is there")?;
        assert_eq!((refused.state, refused.detail.as_deref()), (State::Refused, Some("451 later")));
        assert_eq!(effects::intend(&mut tx, key, owner, "sendgrid", now).await?, Some(2));
        effects::refused(&mut tx, key, 1, "an old answer", now).await?;
        assert_eq!(state(&mut tx, key).await?, Some(State::Intent), "call 2 has not been answered");
        effects::sent(&mut tx, key, Some("id"), now).await?;
        effects::refused(&mut tx, key, 2, "too late", now).await?;

        let sent = effects::find(&mut tx, key).await?.ok_or("it is there")?;
        assert_eq!((sent.state, sent.calls, sent.provider.as_str()), (State::Sent, 2, "sendgrid"));
        assert_eq!((sent.provider_id.as_deref(), sent.detail), (Some("id"), None));
        assert_eq!(effects::intend(&mut tx, key, owner, "smtp", now).await?, None);
        Ok(())
    }

    async fn only_the_call_that_is_in_doubt_is_insisted_on(db: &Db) -> TestResult {
        let (key, now) = (emails::key(EmailId::new()), db.now());
        let mut tx = db.begin().await?;
        effects::intend(&mut tx, key, OwnerId::LOCAL, "smtp", now).await?;

        assert_eq!(effects::insist(&mut tx, key, 7, now).await?, None);
        assert_eq!(effects::insist(&mut tx, key, 1, now).await?, Some(2));
        assert_eq!(effects::insist(&mut tx, key, 1, now).await?, None, "somebody was first");
        effects::sent(&mut tx, key, None, now).await?;
        assert_eq!(effects::insist(&mut tx, key, 2, now).await?, None);
        Ok(())
    }

    async fn what_was_given_up_may_still_become_known(db: &Db) -> TestResult {
        let (key, now) = (emails::key(EmailId::new()), db.now());
        let mut tx = db.begin().await?;
        effects::give_up(&mut tx, key, now).await?;
        assert_eq!(state(&mut tx, key).await?, None, "nobody was asked");
        effects::intend(&mut tx, key, OwnerId::LOCAL, "smtp", now).await?;
        effects::give_up(&mut tx, key, now).await?;
        assert_eq!(state(&mut tx, key).await?, Some(State::Unknown));
        assert_eq!(effects::intend(&mut tx, key, OwnerId::LOCAL, "smtp", now).await?, None);

        effects::sent(&mut tx, key, None, now).await?;

        assert_eq!(state(&mut tx, key).await?, Some(State::Sent));
        effects::give_up(&mut tx, key, now).await?;
        assert_eq!(state(&mut tx, key).await?, Some(State::Sent), "it is known");
        Ok(())
    }

    async fn reports_come_in_any_order_and_never_go_back(db: &Db) -> TestResult {
        let (key, now) = (emails::key(EmailId::new()), db.now());
        let mut tx = db.begin().await?;
        effects::intend(&mut tx, key, OwnerId::LOCAL, "sendgrid", now).await?;
        let mut seen = Vec::new();

        for told in [State::Delivered, State::Sent, State::Complained, State::Bounced, State::Intent] {
            effects::report(&mut tx, key, told, Some("id"), None, now).await?;
            seen.push(state(&mut tx, key).await?.ok_or("it is there")?);
        }

        let (delivered, complained) = (State::Delivered, State::Complained);
        assert_eq!(seen, [delivered, delivered, complained, complained, complained]);
        effects::sent(&mut tx, key, None, now).await?;
        assert_eq!(state(&mut tx, key).await?, Some(complained), "the call's own answer is old news");
        Ok(())
    }

    async fn what_is_withheld_stays_withheld(db: &Db) -> TestResult {
        let (key, now) = (emails::key(EmailId::new()), db.now());
        let mut tx = db.begin().await?;

        effects::withhold(&mut tx, key, OwnerId::LOCAL, "suppressed: bounce", now).await?;
        effects::report(&mut tx, key, State::Delivered, None, None, now).await?;
        effects::sent(&mut tx, key, None, now).await?;

        assert_eq!(state(&mut tx, key).await?, Some(State::Withheld));
        assert_eq!(effects::intend(&mut tx, key, OwnerId::LOCAL, "smtp", now).await?, None);
        let asked = emails::key(EmailId::new());
        effects::intend(&mut tx, asked, OwnerId::LOCAL, "smtp", now).await?;
        effects::withhold(&mut tx, asked, OwnerId::LOCAL, "too late", now).await?;
        assert_eq!(state(&mut tx, asked).await?, Some(State::Intent));
        Ok(())
    }
}
