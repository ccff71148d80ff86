//! The audit log and the keys of machines, on both databases.

use chrono::TimeDelta;
use models::{
    Address, Db, Error, Limit, OwnerId,
    api_keys::{self, KEYS_MAX},
    audit::{self, Action, Deed, Filter, Verdict},
    on_both,
    roles::{Permission, Permissions, Role},
    sql,
    sql::One,
    testing::TestResult,
    users::{self, NewUser},
};
use tokio::task::JoinSet;

fn deed(actor: OwnerId, action: Action) -> Deed {
    Deed {
        actor: Some(actor),
        impersonator: None,
        action,
        subject: format!("users/{actor}"),
        place: "192.0.2.1".to_owned(),
        request_id: Some("request".to_owned()),
    }
}

async fn add(db: &Db, deed: &Deed) -> TestResult {
    let mut tx = db.begin().await?;
    audit::append(&mut tx, deed, db.now()).await?;
    Ok(tx.commit().await?)
}

on_both! {
    async fn the_chain_is_whole_however_many_add_to_it(db: &Db) -> TestResult {
        let ada = OwnerId::new();
        let mut adding = JoinSet::new();
        for _ in 0..20 {
            let db = db.clone();
            adding.spawn(async move { add(&db, &deed(ada, Action::LoggedIn)).await });
        }
        while let Some(added) = adding.join_next().await {
            added??;
        }
        let mut tx = db.begin().await?;
        audit::append(&mut tx, &deed(ada, Action::LoggedOut), db.now()).await?;
        drop(tx);

        let mut conn = db.conn().await?;
        let verdict = audit::verify(&mut conn).await?;
        let last = audit::list(&mut conn, &Filter::default(), None, Limit::new(1)?).await?;

        assert_eq!(verdict, Verdict::Whole { entries: 20, hash: last[0].hash.clone() });
        assert_eq!(last.len(), 2, "one more than the limit");
        Ok(())
    }

    async fn a_changed_entry_and_a_missing_one_are_found(db: &Db) -> TestResult {
        let ada = OwnerId::new();
        for action in [Action::Registered, Action::LoggedIn, Action::Deleted] {
            add(db, &deed(ada, action)).await?;
        }
        let mut tx = db.begin().await?;
        sql!(tx, execute, "update audit_entries set place = 'elsewhere' where seq = 2")?;
        let changed = audit::verify(&mut tx).await?;
        sql!(tx, execute, "delete from audit_entries where seq = 2")?;
        let missing = audit::verify(&mut tx).await?;
        sql!(tx, execute, "delete from audit_entries where seq = 3")?;
        let cut = audit::verify(&mut tx).await?;

        assert!(matches!(changed, Verdict::Broken { seq: 2, .. }), "{changed:?}");
        assert!(matches!(missing, Verdict::Broken { seq: 2, .. }), "{missing:?}");
        assert!(matches!(cut, Verdict::Broken { seq: 2, .. }), "{cut:?}");
        drop(tx);
        assert!(matches!(audit::verify(&mut db.conn().await?).await?, Verdict::Whole { entries: 3, .. }));
        Ok(())
    }

    async fn entries_are_searched(db: &Db) -> TestResult {
        let (ada, eve) = (OwnerId::new(), OwnerId::new());
        add(db, &deed(ada, Action::LoggedIn)).await?;
        add(db, &deed(eve, Action::LoggedIn)).await?;
        add(db, &deed(eve, Action::KeyCreated)).await?;
        let mut conn = db.conn().await?;
        let mut seqs = async |filter: Filter, below| -> TestResult<Vec<i64>> {
            let entries = audit::list(&mut conn, &filter, below, Limit::default()).await?;
            Ok(entries.into_iter().map(|entry| entry.seq).collect())
        };
        let future = db.now() + TimeDelta::hours(1);

        assert_eq!(seqs(Filter::default(), None).await?, [3, 2, 1]);
        assert_eq!(seqs(Filter::default(), Some(3)).await?, [2, 1]);
        assert_eq!(seqs(Filter { actor: Some(eve), ..Filter::default() }, None).await?, [3, 2]);
        let action = Some(Action::LoggedIn.as_str().to_owned());
        assert_eq!(seqs(Filter { action, ..Filter::default() }, None).await?, [2, 1]);
        let subject = Some(format!("users/{ada}"));
        assert_eq!(seqs(Filter { subject: subject.clone(), ..Filter::default() }, None).await?, [1]);
        let action = Some(Action::KeyCreated.as_str().to_owned());
        let by_eve = Filter { actor: Some(eve), action: action.clone(), ..Filter::default() };
        assert_eq!(seqs(by_eve, None).await?, [3]);
        let to_ada = Filter { subject: subject.clone(), action, ..Filter::default() };
        assert_eq!(seqs(to_ada, None).await?, Vec::<i64>::new());
        let neither = Filter { actor: Some(eve), subject, ..Filter::default() };
        assert_eq!(seqs(neither, None).await?, Vec::<i64>::new());
        assert_eq!(seqs(Filter { after: Some(future), ..Filter::default() }, None).await?, Vec::<i64>::new());
        assert_eq!(seqs(Filter { before: Some(future), ..Filter::default() }, None).await?, [3, 2, 1]);
        Ok(())
    }

    async fn a_key_may_do_what_it_says_as_far_as_its_account_may(db: &Db) -> TestResult {
        let (mut tx, now) = (db.begin().await?, db.now());
        let address = Address::parse("ada@example.com")?;
        let new = NewUser {
            id: OwnerId::new(), address: &address, name: "Ada", language: "en", role: Role::Author,
        };
        let ada = users::create(&mut tx, &new, now).await?.id;
        let scopes = [Permission::ReadTasks, Permission::ReadQueues];
        let end = Some(now + TimeDelta::days(1));

        let (key, secret) = api_keys::create(&mut tx, ada, " ci ", &scopes, end, now).await?;
        let standing = api_keys::standing(&mut tx, &secret, now).await?.ok_or("it is good")?;

        assert_eq!((key.name.as_str(), key.scopes.as_slice()), ("ci", scopes.as_slice()));
        assert!(secret.starts_with(&key.prefix) && key.prefix.starts_with(api_keys::PREFIX));
        let tasks = Permissions::NONE.with(Permission::ReadTasks);
        assert_eq!((standing.user_id, standing.permissions()), (ada, tasks), "no author sees queues");
        assert!(standing.is_unused_lately(now));
        api_keys::touch(&mut tx, key.id, now).await?;
        let used = api_keys::standing(&mut tx, &secret, now).await?.ok_or("it is good")?;
        assert!(!used.is_unused_lately(now));
        let later = now + TimeDelta::days(1);
        assert!(api_keys::standing(&mut tx, &secret, later).await?.is_none(), "too old");
        assert!(api_keys::standing(&mut tx, "lyo_key_x", now).await?.is_none());
        users::suspend(&mut tx, ada, true, now).await?;
        assert!(api_keys::standing(&mut tx, &secret, now).await?.is_none(), "suspended");
        users::suspend(&mut tx, ada, false, now).await?;
        let foreign = api_keys::revoke(&mut tx, OwnerId::new(), key.id, now).await;
        assert!(matches!(foreign, Err(Error::NotFound("key"))));
        assert_eq!(api_keys::list(&mut tx, ada).await?.len(), 1);
        api_keys::revoke(&mut tx, ada, key.id, now).await?;
        assert!(api_keys::standing(&mut tx, &secret, now).await?.is_none(), "revoked");
        assert_eq!(api_keys::list(&mut tx, ada).await?, []);
        Ok(())
    }

    async fn keys_have_bounds(db: &Db) -> TestResult {
        let (mut tx, now) = (db.begin().await?, db.now());
        let local = users::local(&mut tx, now).await?.id;
        let read = [Permission::ReadTasks];
        let mut refused = async |name: &str, scopes: &[Permission], end| {
            match api_keys::create(&mut tx, local, name, scopes, end, now).await {
                Err(Error::Invalid { field, .. }) => field,
                other => format!("{other:?}"),
            }
        };

        assert_eq!(refused("", &read, None).await, "/name");
        assert_eq!(refused("a\nb", &read, None).await, "/name");
        assert_eq!(refused("ci", &[], None).await, "/scopes");
        assert_eq!(refused("ci", &[Permission::ReadTasks, Permission::WriteKeys], None).await, "/scopes/1");
        assert_eq!(refused("ci", &[Permission::ReadTasks; 2], None).await, "/scopes/1");
        assert_eq!(refused("ci", &read, Some(now)).await, "/expires_at");
        let later = now + TimeDelta::hours(1);
        let (first, _) = api_keys::create(&mut tx, local, "ci", &read, None, now).await?;
        api_keys::create(&mut tx, local, "ci", &read, Some(later), now).await?;
        for _ in 2..KEYS_MAX {
            api_keys::create(&mut tx, local, "ci", &read, None, now).await?;
        }
        let mut more = async |at| match api_keys::create(&mut tx, local, "ci", &read, None, at).await {
            Ok((_, secret)) => Ok(secret),
            Err(error) => Err(error.to_string().contains("too_many_keys")),
        };

        assert_eq!(more(now).await, Err(true));
        assert!(more(later).await.is_ok(), "one has ended by itself");
        assert_eq!(more(later).await, Err(true));
        api_keys::revoke(&mut tx, local, first.id, later).await?;
        let (last, secret) = api_keys::create(&mut tx, local, "ci", &read, None, later).await?;
        assert_eq!(api_keys::list(&mut tx, local).await?.len(), 50);
        let (rows,) = sql!(tx, fetch_one One<i64>, "select count(*) from api_keys")?;
        assert_eq!(rows, KEYS_MAX, "what is no good any more is forgotten");
        assert!(api_keys::standing_of(&mut tx, last.id, later).await?.is_some());
        api_keys::revoke_all(&mut tx, local, later).await?;
        assert!(api_keys::standing_of(&mut tx, last.id, later).await?.is_none());
        assert!(api_keys::standing(&mut tx, &secret, later).await?.is_none());
        assert_eq!(api_keys::list(&mut tx, local).await?, []);
        Ok(())
    }
}
