//! Accounts, what they prove themselves with, and their sessions, on both databases.

use chrono::TimeDelta;
use models::{
    Address, Db, Error, Limit, OwnerId, SessionId, Tx, address_changes,
    address_changes::Confirmed,
    api_keys, contacts, credentials, on_both,
    registrations::{self, Registration},
    roles::{Permission, Role},
    sessions::{self, End, IMPERSONATION, LIFETIME, Origin, Refreshed},
    sql,
    sql::One,
    templates::Category,
    testing::TestResult,
    tokens::Proof,
    users::{self, Filter, NewUser, Preferences, User},
};
use uuid::Uuid;

async fn user(tx: &mut Tx, address: &str, now: chrono::DateTime<chrono::Utc>) -> TestResult<User> {
    let address = Address::parse(address)?;
    let new = NewUser {
        id: OwnerId::new(),
        address: &address,
        name: "Ada",
        language: "en",
        role: Role::Author,
    };
    Ok(users::create(tx, &new, now).await?)
}

fn registration(address: &str) -> TestResult<Registration> {
    Ok(Registration {
        user_id: OwnerId::new(),
        address: Address::parse(address)?,
        name: "Ada".to_owned(),
        language: "de".to_owned(),
        password_hash: "a hash".to_owned(),
    })
}

on_both! {
    async fn one_mailbox_is_one_account(db: &Db) -> TestResult {
        let (mut tx, now) = (db.begin().await?, db.now());
        let ada = user(&mut tx, "Ada@example.com", now).await?;

        let again = user(&mut tx, "ada@EXAMPLE.com", now).await;
        let found = users::find_by_address(&mut tx, &Address::parse("aDA@example.com")?).await?;
        let contact = contacts::find(&mut tx, ada.id).await?.ok_or("it is there")?;

        assert!(again.is_err_and(|error| error.to_string().contains("address_taken")));
        assert_eq!(found.as_ref(), Some(&ada));
        assert_eq!((contact.address, contact.name.as_deref()), (ada.address, Some("Ada")));
        let first = users::local(&mut tx, now).await?;
        assert_eq!(users::local(&mut tx, now).await?, first);
        assert_eq!((first.id, first.role), (OwnerId::LOCAL, Role::Author));
        Ok(())
    }

    async fn an_account_changes_in_place(db: &Db) -> TestResult {
        let (mut tx, now) = (db.begin().await?, db.now());
        let ada = user(&mut tx, "ada@example.com", now).await?;
        let preferences = Preferences { time_zone: Some("Europe/Lisbon".to_owned()), public: true };

        let named = users::update(&mut tx, ada.id, "Countess", "de", &preferences, now).await?;
        let granted = users::grant(&mut tx, ada.id, Role::Moderator, now).await?;
        let suspended = users::suspend(&mut tx, ada.id, true, now).await?;
        let restored = users::suspend(&mut tx, ada.id, false, now).await?;
        users::renew(&mut tx, ada.id, now).await?;

        assert_eq!((named.name.as_str(), &named.preferences), ("Countess", &preferences));
        assert_eq!(granted.role, Role::Moderator);
        assert_eq!((suspended.suspended_at, suspended.epoch), (Some(now), 2));
        assert_eq!((restored.suspended_at, restored.epoch), (None, 3));
        assert_eq!(users::get(&mut tx, ada.id).await?.epoch, 4);
        let contact = contacts::find(&mut tx, ada.id).await?.ok_or("it is there")?;
        assert_eq!((contact.name.as_deref(), contact.language.as_str()), (Some("Countess"), "de"));
        assert!(users::grant(&mut tx, OwnerId::new(), Role::Admin, now).await.is_err());
        users::delete(&mut tx, ada.id, now).await?;
        assert_eq!(users::find(&mut tx, ada.id).await?, None);
        assert_eq!(contacts::find(&mut tx, ada.id).await?, None);
        Ok(())
    }

    async fn what_was_proven_before_an_account_was_secured_proves_nothing(db: &Db) -> TestResult {
        let (mut tx, now) = (db.begin().await?, db.now());
        let ada = user(&mut tx, "ada@example.com", now).await?;

        assert_eq!(users::hold(&mut tx, ada.id).await?, ada);
        assert!(users::hold_as_read(&mut tx, &ada).await?);
        users::renew(&mut tx, ada.id, now).await?;
        assert!(!users::hold_as_read(&mut tx, &ada).await?);
        let ada = users::hold(&mut tx, ada.id).await?;
        users::suspend(&mut tx, ada.id, true, now).await?;
        assert!(!users::hold_as_read(&mut tx, &ada).await?);
        users::delete(&mut tx, ada.id, now).await?;
        assert!(!users::hold_as_read(&mut tx, &ada).await?);
        assert!(matches!(users::hold(&mut tx, ada.id).await, Err(Error::NotFound("user"))));
        Ok(())
    }

    async fn an_address_is_moved_to_once(db: &Db) -> TestResult {
        let (mut tx, now) = (db.begin().await?, db.now());
        let ada = user(&mut tx, "ada@example.com", now).await?;
        let bob = user(&mut tx, "bob@example.com", now).await?;
        let session = sessions::create(&mut tx, ada.id, &Origin::default(), now).await?;
        contacts::delete(&mut tx, bob.id).await?;
        tx.commit().await?;
        let [there, elsewhere] = ["ada@there.example", "bob@there.example"].map(Address::parse);

        let mut tx = db.begin().await?;
        let moved = users::move_to(&mut tx, ada.id, &there?, now).await?;
        users::move_to(&mut tx, bob.id, &elsewhere?, now).await?;
        tx.commit().await?;
        let mut tx = db.begin().await?;
        let taken = users::move_to(&mut tx, bob.id, &moved.address, now).await;
        drop(tx);

        assert_eq!((moved.address.as_str(), moved.epoch), ("ada@there.example", ada.epoch + 1));
        assert!(matches!(taken, Err(Error::Conflict("address_taken"))));
        let mut conn = db.conn().await?;
        assert_eq!(sessions::standing(&mut conn, ada.id, session.id, now).await?, None);
        let contact = contacts::find(&mut conn, ada.id).await?.map(|contact| contact.address);
        assert_eq!(contact, Some(moved.address));
        assert_eq!(contacts::find(&mut conn, bob.id).await?, None, "who wants no mail gets none");
        Ok(())
    }

    async fn an_account_that_retires_can_do_nothing_more(db: &Db) -> TestResult {
        let (mut tx, now) = (db.begin().await?, db.now());
        let ada = user(&mut tx, "ada@example.com", now).await?;
        let session = sessions::create(&mut tx, ada.id, &Origin::default(), now).await?;
        let scopes = [Permission::ReadTasks];
        let (key, _) = api_keys::create(&mut tx, ada.id, "ci", &scopes, None, now).await?;

        users::retire(&mut tx, ada.id, now).await?;

        assert_eq!(sessions::standing(&mut tx, ada.id, session.id, now).await?, None);
        assert!(api_keys::standing_of(&mut tx, key.id, now).await?.is_none());
        assert!(!users::hold_as_read(&mut tx, &ada).await?);
        Ok(())
    }

    async fn accounts_are_listed_and_searched(db: &Db) -> TestResult {
        let (mut tx, now) = (db.begin().await?, db.now());
        let ada = user(&mut tx, "ada_100%@example.com", now).await?;
        let bob = user(&mut tx, "bob@example.com", now + TimeDelta::seconds(1)).await?;
        users::suspend(&mut tx, bob.id, true, now).await?;
        let filter = |text: Option<&str>, role, suspended| Filter {
            text: text.map(str::to_owned), role, suspended,
        };
        let mut ids = async |filter: Filter| -> TestResult<Vec<OwnerId>> {
            let page = users::list(&mut tx, &filter, None, Limit::default()).await?;
            Ok(page.items.into_iter().map(|user| user.id).collect())
        };

        assert_eq!(ids(Filter::default()).await?, [bob.id, ada.id]);
        assert_eq!(ids(filter(Some("A_100%"), None, None)).await?, [ada.id]);
        assert_eq!(ids(filter(Some("a%e"), None, None)).await?, []);
        assert_eq!(ids(filter(None, Some(Role::Admin), None)).await?, []);
        assert_eq!(ids(filter(None, Some(Role::Author), Some(true))).await?, [bob.id]);
        assert_eq!(ids(filter(None, None, Some(false))).await?, [ada.id]);
        let first = users::list(&mut tx, &Filter::default(), None, Limit::new(1)?).await?;
        let second = users::list(&mut tx, &Filter::default(), first.next, Limit::new(1)?).await?;
        assert_eq!(second.items[0].id, ada.id);
        assert!(second.next.is_none());
        Ok(())
    }

    async fn a_password_is_found_and_upgraded_once(db: &Db) -> TestResult {
        let (mut tx, now) = (db.begin().await?, db.now());
        let ada = user(&mut tx, "ada@example.com", now).await?;
        let address = Address::parse("ADA@example.com")?;

        let none = credentials::find_by_address(&mut tx, &address).await?.ok_or("an account")?;
        credentials::put(&mut tx, ada.id, "old", now).await?;
        credentials::upgrade(&mut tx, ada.id, "old", "new").await?;
        credentials::upgrade(&mut tx, ada.id, "old", "newer").await?;
        let known = credentials::find_by_address(&mut tx, &address).await?.ok_or("an account")?;

        assert_eq!(none.hash, None);
        assert_eq!((known.user, known.hash.as_deref()), (ada.clone(), Some("new")));
        assert_eq!(credentials::find(&mut tx, ada.id).await?.as_deref(), Some("new"));
        let nobody = Address::parse("nobody@example.com")?;
        assert!(credentials::find_by_address(&mut tx, &nobody).await?.is_none());
        Ok(())
    }

    async fn the_first_registration_whose_link_is_followed_gets_the_address(db: &Db) -> TestResult {
        let (mut tx, now) = (db.begin().await?, db.now());
        let (first, second) = (registration("ada@example.com")?, registration("Ada@example.com")?);
        for each in [&first, &second] {
            registrations::create(&mut tx, each, now).await?;
        }
        assert_eq!(registrations::count(&mut tx, &first.address, now).await?, 2);
        assert_eq!(registrations::count(&mut tx, &first.address, now + TimeDelta::hours(2)).await?, 0);

        let made = registrations::redeem(&mut tx, second.user_id, now).await?.ok_or("made")?;

        assert_eq!((made.id, made.role), (second.user_id, registrations::ROLE));
        assert_eq!(credentials::find(&mut tx, made.id).await?.as_deref(), Some("a hash"));
        assert_eq!(registrations::redeem(&mut tx, first.user_id, now).await?, None, "too late");
        let third = registration("ada@example.com")?;
        registrations::create(&mut tx, &third, now).await?;
        let taken = registrations::redeem(&mut tx, third.user_id, now).await;
        assert!(matches!(taken, Err(Error::Conflict("address_taken"))));
        Ok(())
    }

    async fn an_account_moves_once_both_addresses_agree(db: &Db) -> TestResult {
        let (mut tx, now) = (db.begin().await?, db.now());
        let ada = user(&mut tx, "ada@example.com", now).await?;
        let there = Address::parse("ada@elsewhere.example")?;
        let proof = |recipient: &str, asked_at| Proof {
            email_id: models::EmailId::new(), owner_id: ada.id, recipient: recipient.to_owned(),
            category: Category::Account, asked_at,
        };
        let (old, new) = (proof("ada@example.com", now), proof("ada@elsewhere.example", now));
        assert_eq!(address_changes::confirm(&mut tx, &ada, &new, now).await?, Confirmed::Nothing);
        address_changes::begin(&mut tx, ada.id, &there, now).await?;

        let earlier = proof("ada@example.com", now - TimeDelta::hours(1));
        let stranger = proof("eve@example.com", now);
        for wrong in [earlier, stranger] {
            let answer = address_changes::confirm(&mut tx, &ada, &wrong, now).await?;
            assert_eq!(answer, Confirmed::Nothing);
        }
        let half = address_changes::confirm(&mut tx, &ada, &old, now).await?;
        let moved = address_changes::confirm(&mut tx, &ada, &new, now).await?;

        assert_eq!(half, Confirmed::Half);
        assert!(matches!(moved, Confirmed::Moved(user) if user.address == there));
        assert_eq!(address_changes::confirm(&mut tx, &ada, &new, now).await?, Confirmed::Nothing);
        Ok(())
    }

    async fn a_refresh_token_that_comes_twice_ends_its_session(db: &Db) -> TestResult {
        let (mut tx, now) = (db.begin().await?, db.now());
        let ada = user(&mut tx, "ada@example.com", now).await?;
        let session = sessions::create(&mut tx, ada.id, &Origin::default(), now).await?;
        let first = sessions::issue(&mut tx, session.id, now).await?;
        let later = now + TimeDelta::days(29);

        let Refreshed::Next(longer, second) = sessions::refresh(&mut tx, &first, later).await? else {
            return Err("the first token is good".into());
        };
        assert_eq!(longer.expires_at, later + LIFETIME);
        assert!(sessions::standing(&mut tx, ada.id, session.id, later).await?.is_some());
        let reused = sessions::refresh(&mut tx, &first, later).await?;
        let after = sessions::refresh(&mut tx, &second, later).await?;

        assert!(matches!(reused, Refreshed::Reused(_)));
        assert_eq!(after, Refreshed::Unknown, "the whole family is gone");
        assert_eq!(sessions::standing(&mut tx, ada.id, session.id, later).await?, None);
        assert_eq!(sessions::refresh(&mut tx, "nonsense", now).await?, Refreshed::Unknown);
        Ok(())
    }

    async fn a_session_that_goes_on_keeps_few_of_its_tokens(db: &Db) -> TestResult {
        let (mut tx, mut now) = (db.begin().await?, db.now());
        let ada = user(&mut tx, "ada@example.com", now).await?;
        let session = sessions::create(&mut tx, ada.id, &Origin::default(), now).await?;
        let mut token = sessions::issue(&mut tx, session.id, now).await?;
        for _ in 0..9 {
            now += TimeDelta::days(10);
            let Refreshed::Next(_, next) = sessions::refresh(&mut tx, &token, now).await? else {
                return Err("each token is good".into());
            };
            token = next;
        }

        let (kept,) = sql!(tx, fetch_one One<i64>, "select count(*) from refresh_tokens")?;

        assert_eq!(kept, 5, "those that were used in the last thirty days, and the next one");
        Ok(())
    }

    async fn who_acts_as_somebody_else_may_do_so_to_the_end(db: &Db) -> TestResult {
        let (mut tx, now) = (db.begin().await?, db.now());
        let ada = user(&mut tx, "ada@example.com", now).await?;
        let root = user(&mut tx, "root@example.com", now).await?;
        let origin = Origin { impersonator: Some(root.id), ..Origin::default() };
        let borrowed = sessions::create(&mut tx, ada.id, &origin, now).await?;
        let own = sessions::create(&mut tx, ada.id, &Origin::default(), now).await?;
        let stands = async |tx: &mut Tx, id| -> TestResult<bool> {
            Ok(sessions::standing(tx, ada.id, id, now).await?.is_some())
        };

        assert!(!stands(&mut tx, borrowed.id).await?, "an author may not");
        users::grant(&mut tx, root.id, Role::Admin, now).await?;
        assert!(stands(&mut tx, borrowed.id).await?);
        users::suspend(&mut tx, root.id, true, now).await?;
        assert!(!stands(&mut tx, borrowed.id).await?);
        users::suspend(&mut tx, root.id, false, now).await?;
        sessions::end_all(&mut tx, root.id, End::Everywhere, now).await?;
        assert!(!stands(&mut tx, borrowed.id).await?);
        assert!(stands(&mut tx, own.id).await?);
        Ok(())
    }

    async fn sessions_end_by_their_owner_alone_or_by_time(db: &Db) -> TestResult {
        let (mut tx, now) = (db.begin().await?, db.now());
        let ada = user(&mut tx, "ada@example.com", now).await?;
        let eve = user(&mut tx, "eve@example.com", now).await?;
        users::grant(&mut tx, eve.id, Role::Admin, now).await?;
        let origin = Origin { impersonator: Some(eve.id), ..Origin::default() };
        let own = sessions::create(&mut tx, ada.id, &Origin::default(), now).await?;
        let borrowed = sessions::create(&mut tx, ada.id, &origin, now).await?;

        let foreign = sessions::end(&mut tx, eve.id, own.id, End::Logout, now).await;
        let listed = sessions::list(&mut tx, ada.id, None, Limit::default(), now).await?;
        let others = sessions::list(&mut tx, eve.id, None, Limit::default(), now).await?;

        assert!(matches!(foreign, Err(Error::NotFound("session"))));
        assert_eq!(listed.items.len(), 2);
        assert!(others.items.is_empty());
        assert_eq!(borrowed.expires_at, now + IMPERSONATION);
        let standing = sessions::standing(&mut tx, ada.id, borrowed.id, now).await?;
        assert_eq!(standing.and_then(|standing| standing.impersonator_id), Some(eve.id));
        let gone = now + IMPERSONATION;
        assert_eq!(sessions::standing(&mut tx, ada.id, borrowed.id, gone).await?, None);
        assert_eq!(sessions::standing(&mut tx, eve.id, own.id, now).await?, None);
        users::suspend(&mut tx, ada.id, true, now).await?;
        assert_eq!(sessions::standing(&mut tx, ada.id, own.id, now).await?, None);
        users::suspend(&mut tx, ada.id, false, now).await?;
        sessions::end_all(&mut tx, ada.id, End::Everywhere, now).await?;
        let left = sessions::list(&mut tx, ada.id, None, Limit::default(), now).await?;
        assert!(left.items.is_empty());
        let later = now + TimeDelta::days(31);
        assert_eq!(sessions::prune(&mut tx, later, 1).await?, 1);
        assert_eq!(sessions::prune(&mut tx, later, 10).await?, 1);
        let unknown = SessionId::from(Uuid::now_v7());
        assert!(sessions::end(&mut tx, ada.id, unknown, End::Logout, now).await.is_err());
        Ok(())
    }
}
