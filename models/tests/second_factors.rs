//! Second factors and their recovery codes, on both databases.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use models::{
    Address, Db, Error, OwnerId, Tx, on_both,
    roles::Role,
    second_factors::{self, CODES, ENROLMENT, Proof},
    sql,
    sql::One,
    testing::TestResult,
    totp::{STEP_SECONDS, Secret},
    users::{self, NewUser},
};

const STEP: TimeDelta = TimeDelta::seconds(STEP_SECONDS);

async fn user(tx: &mut Tx, address: &str, now: DateTime<Utc>) -> TestResult<OwnerId> {
    let address = Address::parse(address)?;
    let new = NewUser {
        id: OwnerId::new(),
        address: &address,
        name: "Ada",
        language: "en",
        role: Role::Author,
    };
    Ok(users::create(tx, &new, now).await?.id)
}

/// An account whose app was confirmed by the code of now.
async fn enrolled(
    tx: &mut Tx,
    address: &str,
    now: DateTime<Utc>,
) -> TestResult<(OwnerId, Secret, Vec<String>)> {
    let ada = user(tx, address, now).await?;
    let secret = second_factors::begin(tx, ada, now).await?;
    let codes = second_factors::confirm(tx, ada, &secret.code(now), now).await?;
    Ok((ada, secret, codes.ok_or("the code is right")?))
}

on_both! {
    async fn a_second_factor_is_on_once_a_code_was_confirmed(db: &Db) -> TestResult {
        let (mut tx, now) = (db.begin().await?, db.now());
        let ada = user(&mut tx, "ada@example.com", now).await?;

        let first = second_factors::begin(&mut tx, ada, now).await?;
        let second = second_factors::begin(&mut tx, ada, now).await?;
        let of_first = second_factors::confirm(&mut tx, ada, &first.code(now), now).await?;
        let late = now + ENROLMENT;
        let too_late = second_factors::confirm(&mut tx, ada, &second.code(late), late).await?;
        let unproven = second_factors::prove(&mut tx, ada, &second.code(now), now).await?;
        assert_eq!(second_factors::find(&mut tx, ada).await?, None);
        let codes = second_factors::confirm(&mut tx, ada, &second.code(now), now).await?;
        let again = second_factors::confirm(&mut tx, ada, &second.code(now), now).await?;

        assert_eq!((of_first, too_late, unproven), (None, None, None));
        let codes: BTreeSet<String> = codes.ok_or("the code is right")?.into_iter().collect();
        assert_eq!(codes.len(), CODES);
        assert!(codes.iter().all(|code| code.len() == 19), "80 bits in four groups: {codes:?}");
        assert_eq!(again, None);
        let standing = second_factors::find(&mut tx, ada).await?.ok_or("it is on")?;
        assert_eq!((standing.confirmed_at, standing.codes_left), (now, 10));
        let begun = second_factors::begin(&mut tx, ada, now).await;
        assert!(matches!(begun, Err(Error::Conflict("second_factor_on"))), "{begun:?}");
        Ok(())
    }

    async fn neither_a_code_nor_an_older_one_is_taken_twice(db: &Db) -> TestResult {
        let (mut tx, now) = (db.begin().await?, db.now());
        let (ada, secret, _) = enrolled(&mut tx, "ada@example.com", now).await?;
        let (bob, ..) = enrolled(&mut tx, "bob@example.com", now).await?;

        let mut prove = async |user, code: DateTime<Utc>, at: DateTime<Utc>| {
            second_factors::prove(&mut tx, user, &secret.code(code), at).await
        };

        assert_eq!(prove(ada, now, now).await?, None, "it has confirmed the app");
        assert_eq!(prove(ada, now - STEP, now).await?, None);
        assert_eq!(prove(bob, now + STEP, now).await?, None, "somebody else's");
        assert_eq!(prove(ada, now + STEP, now).await?, Some(Proof::App));
        assert_eq!(prove(ada, now + STEP, now + STEP).await?, None);
        let later = now + TimeDelta::hours(1);
        assert_eq!(prove(ada, later - STEP * 2, later).await?, None, "too old");
        assert_eq!(prove(ada, later - STEP, later).await?, Some(Proof::App));
        assert_eq!(prove(ada, later, later).await?, Some(Proof::App));
        assert_eq!(prove(ada, later - STEP, later).await?, None);
        Ok(())
    }

    async fn a_recovery_code_is_good_once_however_it_is_typed(db: &Db) -> TestResult {
        let (mut tx, now) = (db.begin().await?, db.now());
        let (ada, _, codes) = enrolled(&mut tx, "ada@example.com", now).await?;
        let (bob, _, others) = enrolled(&mut tx, "bob@example.com", now).await?;
        let typed = codes[0].to_uppercase().replace('-', " ");

        let mut prove = async |user, code: &str| second_factors::prove(&mut tx, user, code, now).await;
        assert_eq!(prove(ada, &others[0]).await?, None);
        assert_eq!(prove(ada, &typed).await?, Some(Proof::Recovery));
        assert_eq!(prove(ada, &codes[0]).await?, None);
        assert_eq!(prove(ada, "").await?, None);

        let left = second_factors::find(&mut tx, ada).await?.map(|standing| standing.codes_left);
        let renewed = second_factors::renew_codes(&mut tx, ada, now).await?;
        assert_eq!(left, Some(9));
        let mut prove = async |user, code: &str| second_factors::prove(&mut tx, user, code, now).await;
        assert_eq!(prove(ada, &codes[1]).await?, None, "void");
        assert_eq!(prove(ada, &renewed[1]).await?, Some(Proof::Recovery));
        assert_eq!(prove(bob, &others[0]).await?, Some(Proof::Recovery), "Bob's are his");
        Ok(())
    }

    async fn of_two_who_come_with_the_same_code_one_is_taken(db: &Db) -> TestResult {
        let (mut tx, now) = (db.begin().await?, db.now());
        let (ada, secret, codes) = enrolled(&mut tx, "ada@example.com", now).await?;
        tx.commit().await?;
        let prove = async |code: String| {
            let mut tx = db.begin().await?;
            let proof = second_factors::prove(&mut tx, ada, &code, now).await?;
            tx.commit().await?;
            TestResult::Ok(proof)
        };

        for (code, kind) in [(secret.code(now + STEP), Proof::App), (codes[0].clone(), Proof::Recovery)] {
            let (a, b) = tokio::try_join!(prove(code.clone()), prove(code))?;
            assert_eq!([a, b].into_iter().flatten().collect::<Vec<_>>(), [kind]);
        }
        Ok(())
    }

    async fn a_second_factor_goes_with_its_codes(db: &Db) -> TestResult {
        let (mut tx, now) = (db.begin().await?, db.now());
        let (ada, ..) = enrolled(&mut tx, "ada@example.com", now).await?;
        let (bob, ..) = enrolled(&mut tx, "bob@example.com", now).await?;

        assert!(second_factors::remove(&mut tx, ada).await?);
        assert!(!second_factors::remove(&mut tx, ada).await?);
        users::delete(&mut tx, bob, now).await?;

        assert_eq!(second_factors::find(&mut tx, ada).await?, None);
        let (left,) = sql!(tx, fetch_one One<i64>, "select count(*) from recovery_codes")?;
        assert_eq!(left, 0);
        second_factors::begin(&mut tx, ada, now).await?;
        Ok(())
    }
}
