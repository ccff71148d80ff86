//! Idempotency keys, on both databases.

use chrono::TimeDelta;
use models::{
    Db, Error, OwnerId,
    idempotency::{self, Claim, Key},
    on_both,
    testing::TestResult,
};
use serde_json::json;
use tokio::task::JoinSet;

const ROUTE: &str = "POST /v1/tasks";

fn key(key: &str) -> Key<'_> {
    Key {
        owner: OwnerId::LOCAL,
        route: ROUTE,
        key,
    }
}

on_both! {
    async fn a_repeated_request_is_answered_with_the_first_answer(db: &Db) -> TestResult {
        let response = json!({"items": [1, 2]});
        let mut tx = db.begin().await?;
        assert_eq!(idempotency::claim(&mut tx, key("a"), "f1", db.now()).await?, Claim::New);
        idempotency::answer(&mut tx, key("a"), None, Some(&response)).await?;
        tx.commit().await?;

        let mut tx = db.begin().await?;
        let replay = idempotency::claim(&mut tx, key("a"), "f1", db.now()).await?;
        let mismatch = idempotency::claim(&mut tx, key("a"), "f2", db.now()).await?;

        assert_eq!(replay, Claim::Replay { task_id: None, response: Some(response) });
        assert_eq!(mismatch, Claim::Mismatch);
        Ok(())
    }

    async fn keys_of_others_and_of_other_routes_are_other_keys(db: &Db) -> TestResult {
        let mut tx = db.begin().await?;
        let keys = [
            key("a"),
            key("b"),
            Key { route: "POST /v1/courses", ..key("a") },
            Key { owner: OwnerId::new(), ..key("a") },
        ];

        for key in keys {
            assert_eq!(idempotency::claim(&mut tx, key, "f1", db.now()).await?, Claim::New);
        }
        Ok(())
    }

    async fn a_request_that_was_rolled_back_never_was(db: &Db) -> TestResult {
        let mut tx = db.begin().await?;
        idempotency::claim(&mut tx, key("a"), "f1", db.now()).await?;
        drop(tx);

        let mut tx = db.begin().await?;

        assert_eq!(idempotency::claim(&mut tx, key("a"), "f2", db.now()).await?, Claim::New);
        Ok(())
    }

    async fn a_key_counts_as_new_after_a_day(db: &Db) -> TestResult {
        let now = db.now();
        let mut tx = db.begin().await?;
        idempotency::claim(&mut tx, key("a"), "f1", now).await?;

        let soon = now + idempotency::LIFETIME - TimeDelta::seconds(1);
        let early = idempotency::claim(&mut tx, key("a"), "f2", soon).await?;
        let day = now + idempotency::LIFETIME;
        let late = idempotency::claim(&mut tx, key("a"), "f2", day).await?;

        assert_eq!((early, late), (Claim::Mismatch, Claim::New));
        Ok(())
    }

    async fn of_requests_at_the_same_time_one_is_new(db: &Db) -> TestResult {
        let mut requests = JoinSet::new();
        for _ in 0..8 {
            let db = db.clone();
            requests.spawn(async move {
                let mut tx = db.begin().await?;
                let claim = idempotency::claim(&mut tx, key("a"), "f1", db.now()).await?;
                if claim == Claim::New {
                    let response = json!({"first": true});
                    idempotency::answer(&mut tx, key("a"), None, Some(&response)).await?;
                }
                tx.commit().await?;
                models::Result::<_>::Ok(claim)
            });
        }

        let claims = requests.join_all().await.into_iter().collect::<models::Result<Vec<_>>>()?;

        assert_eq!(claims.iter().filter(|claim| **claim == Claim::New).count(), 1);
        let answered = Claim::Replay { task_id: None, response: Some(json!({"first": true})) };
        assert_eq!(claims.iter().filter(|claim| **claim == answered).count(), 7);
        Ok(())
    }

    async fn only_a_claimed_key_can_be_answered(db: &Db) -> TestResult {
        let mut tx = db.begin().await?;

        let refused = idempotency::answer(&mut tx, key("a"), None, None).await;

        assert!(matches!(refused, Err(Error::NotFound("idempotency_key"))));
        Ok(())
    }

    async fn old_keys_are_forgotten_a_few_at_a_time(db: &Db) -> TestResult {
        let now = db.now();
        let mut tx = db.begin().await?;
        for name in ["a", "b", "c"] {
            idempotency::claim(&mut tx, key(name), "f1", now).await?;
        }
        idempotency::claim(&mut tx, key("d"), "f1", now + TimeDelta::seconds(1)).await?;
        let before = now + TimeDelta::milliseconds(1);

        let forgotten = [
            idempotency::prune(&mut tx, before, 2).await?,
            idempotency::prune(&mut tx, before, 2).await?,
            idempotency::prune(&mut tx, before, 2).await?,
        ];

        assert_eq!(forgotten, [2, 1, 0]);
        Ok(())
    }
}
