//! Mail and what hangs on it, on both databases.

use chrono::TimeDelta;
use models::{
    Address, Db, EmailId, Error, Limit, OwnerId, Tx, contacts,
    effects::{self, State},
    emails::{self, Attachment, Letter, MediaType, Status},
    on_both, preferences,
    suppressions::{self, Reason},
    templates::{Category, Template},
    testing::TestResult,
    tokens::{self, Purpose},
};
use serde_json::json;

fn letter(template: Template) -> TestResult<Letter> {
    let variables = json!({"name": "Ada"}).as_object().cloned();
    Ok(Letter {
        template,
        variables: variables.ok_or("an object")?,
        to: Address::parse("ada@example.com")?,
        name: Some("Ada".to_owned()),
        language: "de-AT".to_owned(),
        attachments: Vec::new(),
    })
}

async fn created(tx: &mut Tx, owner: OwnerId) -> TestResult<EmailId> {
    let now = "2026-11-21T12:00:00Z".parse()?;
    Ok(emails::create(tx, owner, &letter(Template::Welcome)?, now).await?)
}

#[test]
fn a_letter_names_the_field_that_is_wrong() -> TestResult {
    let refused = |change: &dyn Fn(&mut Letter)| -> TestResult<String> {
        let mut letter = letter(Template::Welcome)?;
        change(&mut letter);
        match letter.validate() {
            Err(Error::Invalid { field, .. }) => Ok(field),
            other => Ok(format!("{other:?}")),
        }
    };
    let file = |name: &str, base64: &str| Attachment {
        name: name.to_owned(),
        media_type: MediaType::Text,
        base64: base64.to_owned(),
    };

    assert_eq!(
        refused(&|letter| letter.variables.clear())?,
        "/variables/name"
    );
    assert_eq!(
        refused(&|letter| letter.name = Some("a\r\nb".to_owned()))?,
        "/name"
    );
    for language in [
        "",
        "e n",
        "en_US",
        "english-is-the-language-of-this-letter",
        "-",
    ] {
        assert_eq!(
            refused(&|letter| letter.language = language.to_owned())?,
            "/language"
        );
    }
    for name in [
        "",
        "../a.txt",
        "a/b",
        "a\\b",
        ".profile",
        "a\r\nb.txt",
        "a\"b.txt",
        "C:a.txt",
    ] {
        let wrong =
            refused(&|letter| letter.attachments = vec![file("a.txt", ""), file(name, "")])?;
        assert_eq!(wrong, "/attachments/1/name", "{name:?}");
    }
    let wrong = refused(&|letter| letter.attachments = vec![file("a.txt", "no base64")])?;
    assert_eq!(wrong, "/attachments/0/base64");
    let large = "AAAA".repeat(11_000);
    assert_eq!(
        refused(&|letter| letter.attachments = vec![file("a", &large)])?,
        "/attachments"
    );
    assert_eq!(
        refused(&|letter| letter.attachments = vec![file("a", ""); 6])?,
        "/attachments"
    );
    assert!(letter(Template::Welcome)?.validate().is_ok());
    Ok(())
}

on_both! {
    async fn a_mail_says_where_it_stands(db: &Db) -> TestResult {
        let now = db.now();
        let mut tx = db.begin().await?;
        let id = created(&mut tx, OwnerId::LOCAL).await?;
        let key = emails::key(id);

        let fresh = emails::get(&mut tx, OwnerId::LOCAL, id).await?;
        assert_eq!((fresh.status(), fresh.category), (Status::Failed, Category::Account));
        assert_eq!(fresh.recipient.as_str(), "ada@example.com");
        effects::intend(&mut tx, key, OwnerId::LOCAL, "folder", now).await?;
        let asked = emails::get_any(&mut tx, id).await?;
        assert_eq!((asked.status(), asked.provider.as_deref()), (Status::Sending, Some("folder")));
        effects::report(&mut tx, key, State::Delivered, Some("id"), None, now).await?;
        let arrived = emails::get_any(&mut tx, id).await?;
        assert_eq!((arrived.status(), arrived.provider_id.as_deref()), (Status::Delivered, Some("id")));
        Ok(())
    }

    async fn mail_of_others_is_not_there(db: &Db) -> TestResult {
        let other = OwnerId::from(uuid::Uuid::now_v7());
        let mut tx = db.begin().await?;
        let (mine, theirs) = (created(&mut tx, OwnerId::LOCAL).await?, created(&mut tx, other).await?);

        assert!(matches!(emails::get(&mut tx, OwnerId::LOCAL, theirs).await, Err(Error::NotFound(_))));
        let page = emails::list(&mut tx, OwnerId::LOCAL, None, Limit::default()).await?;
        assert_eq!(page.items.iter().map(|email| email.id).collect::<Vec<_>>(), [mine]);
        assert_eq!(page.next, None);
        Ok(())
    }

    async fn lists_are_paged(db: &Db) -> TestResult {
        let mut tx = db.begin().await?;
        for _ in 0..3 {
            created(&mut tx, OwnerId::LOCAL).await?;
        }

        let first = emails::list(&mut tx, OwnerId::LOCAL, None, Limit::new(2)?).await?;
        let second = emails::list(&mut tx, OwnerId::LOCAL, first.next, Limit::new(2)?).await?;

        assert_eq!((first.items.len(), second.items.len()), (2, 1));
        assert!(second.next.is_none());
        Ok(())
    }

    async fn a_token_is_good_once_for_one_thing_and_for_its_time(db: &Db) -> TestResult {
        let now = db.now();
        let mut tx = db.begin().await?;
        let id = created(&mut tx, OwnerId::LOCAL).await?;
        let void = tokens::issue(&mut tx, id, Purpose::Verify, now).await?;
        let token = tokens::issue(&mut tx, id, Purpose::Verify, now).await?;

        assert_eq!(tokens::redeem(&mut tx, &void, Purpose::Verify, now).await?, None, "it was replaced");
        assert_eq!(tokens::redeem(&mut tx, &token, Purpose::Reset, now).await?, None);
        assert_eq!(tokens::redeem(&mut tx, &token, Purpose::Verify, now + TimeDelta::days(3)).await?, None);
        assert_eq!(tokens::redeem(&mut tx, "", Purpose::Verify, now).await?, None);
        let proof = tokens::redeem(&mut tx, &token, Purpose::Verify, now).await?.ok_or("it is good")?;
        assert_eq!((proof.email_id, proof.recipient.as_str()), (id, "ada@example.com"));
        assert_eq!(tokens::redeem(&mut tx, &token, Purpose::Verify, now).await?, None, "it was used");

        let kept: Vec<(String,)> = models::sql!(tx, fetch_all models::sql::One<String>, "select digest from email_tokens")?;
        assert!(kept.iter().all(|(digest,)| digest.len() == 64 && *digest != token));
        Ok(())
    }

    async fn a_link_to_unsubscribe_works_as_often_as_somebody_likes(db: &Db) -> TestResult {
        let now = db.now();
        let mut tx = db.begin().await?;
        let id = created(&mut tx, OwnerId::LOCAL).await?;
        let token = tokens::issue(&mut tx, id, Purpose::Unsubscribe, now).await?;

        for _ in 0..2 {
            let proof = tokens::find(&mut tx, &token, Purpose::Unsubscribe, now).await?;
            assert_eq!(proof.map(|proof| proof.email_id), Some(id));
        }
        Ok(())
    }

    async fn a_suppressed_address_gets_nothing_but_what_its_account_needs(db: &Db) -> TestResult {
        let (ada, bob, now) = (Address::parse("ada@example.com")?, Address::parse("bob@example.com")?, db.now());
        let mut tx = db.begin().await?;

        assert_eq!(suppressions::find(&mut tx, &ada, Category::Digest).await?, None);
        suppressions::create(&mut tx, &ada, Reason::Complaint, now).await?;
        suppressions::create(&mut tx, &ada, Reason::Complaint, now).await?;
        assert_eq!(suppressions::find(&mut tx, &ada, Category::Digest).await?, Some(Reason::Complaint));
        assert_eq!(suppressions::find(&mut tx, &ada, Category::Account).await?, None);
        suppressions::create(&mut tx, &ada, Reason::Bounce, now).await?;
        assert_eq!(suppressions::find(&mut tx, &ada, Category::Account).await?, Some(Reason::Bounce));
        assert_eq!(suppressions::find(&mut tx, &bob, Category::Digest).await?, None);

        assert!(suppressions::delete(&mut tx, &ada).await?);
        assert!(!suppressions::delete(&mut tx, &ada).await?);
        assert_eq!(suppressions::find(&mut tx, &ada, Category::Account).await?, None);
        Ok(())
    }

    async fn what_nobody_decided_on_is_wanted(db: &Db) -> TestResult {
        let (ada, now) = (Address::parse("ada@example.com")?, db.now());
        let mut tx = db.begin().await?;

        assert!(preferences::wants(&mut tx, &ada, Category::Digest).await?);
        preferences::put(&mut tx, &ada, Category::Digest, true, now).await?;
        preferences::put(&mut tx, &ada, Category::Digest, false, now).await?;
        assert!(!preferences::wants(&mut tx, &ada, Category::Digest).await?);
        assert!(preferences::wants(&mut tx, &ada, Category::Courses).await?);
        assert!(preferences::put(&mut tx, &ada, Category::Account, false, now).await.is_err());
        let all = preferences::list(&mut tx, &ada).await?;
        assert_eq!(all.into_iter().collect::<Vec<_>>(), [(Category::Courses, true), (Category::Digest, false)]);
        Ok(())
    }

    async fn an_owner_is_reached_where_was_said_last(db: &Db) -> TestResult {
        let (ada, bob, now) = (Address::parse("ada@example.com")?, Address::parse("bob@example.com")?, db.now());
        let mut tx = db.begin().await?;

        assert_eq!(contacts::find(&mut tx, OwnerId::LOCAL).await?, None);
        contacts::put(&mut tx, OwnerId::LOCAL, &ada, None, "en", now).await?;
        contacts::put(&mut tx, OwnerId::LOCAL, &bob, Some("Bob"), "de", now).await?;
        let contact = contacts::find(&mut tx, OwnerId::LOCAL).await?.ok_or("it is there")?;
        assert_eq!((contact.address, contact.name.as_deref()), (bob, Some("Bob")));
        assert!(contacts::delete(&mut tx, OwnerId::LOCAL).await?);
        assert!(!contacts::delete(&mut tx, OwnerId::LOCAL).await?);
        Ok(())
    }
}
