//! Where the caller is reached, and the link that unsubscribes.

use models::{
    Address, Db, EmailId, OwnerId,
    emails::{self, Letter},
    on_both, preferences,
    templates::{Category, Template},
    testing::TestResult,
    tokens::{self, Purpose},
};
use poem::{Body, http::Method};
use serde_json::{Value, json};

use crate::harness::Api;

async fn link(db: &Db) -> TestResult<String> {
    let variables = json!({"name": "Ada", "period": "May", "items": ["A"], "path": "/"});
    let letter = Letter {
        template: Template::Digest,
        variables: variables.as_object().cloned().ok_or("an object")?,
        to: Address::parse("ada@example.com")?,
        name: None,
        language: "en".to_owned(),
        attachments: Vec::new(),
    };
    let (mut tx, now) = (db.begin().await?, db.now());
    let id: EmailId = emails::create(&mut tx, OwnerId::LOCAL, &letter, now).await?;
    let token = tokens::issue(&mut tx, id, Purpose::Unsubscribe, now).await?;
    tx.commit().await?;
    Ok(format!("/v1/unsubscribe?token={token}"))
}

async fn wants_digest(db: &Db) -> TestResult<bool> {
    let address = Address::parse("ada@example.com")?;
    Ok(preferences::wants(&mut db.conn().await?, &address, Category::Digest).await?)
}

on_both! {
    async fn reading_the_link_changes_nothing_and_one_click_unsubscribes(db: &Db) -> TestResult {
        let (api, link) = (Api::new(db), link(db).await?);

        let page = api.get_with(&link, &[("accept", "text/html")]).await?;
        assert_eq!((page.status.as_u16(), wants_digest(db).await?), (200, true));
        assert!(page.text.contains("<form method=\"post\">"), "{}", page.text);
        // As mail programs do it (RFC 8058, section 3.2): a form, no cookies, no `Accept`.
        let form = [("content-type", "application/x-www-form-urlencoded")];
        for _ in 0..2 {
            let body = Body::from_string("List-Unsubscribe=One-Click".to_owned());
            let done = api.send(Method::POST, &link, &form, body).await?;
            assert_eq!((done.status.as_u16(), wants_digest(db).await?), (200, false));
            assert!(done.header("content-type").starts_with("text/html"));
        }

        for wrong in ["/v1/unsubscribe?token=", "/v1/unsubscribe?token=nonsense"] {
            assert_eq!(api.get(wrong).await?.problem(), (404, "link_invalid".to_owned()));
        }
        assert_eq!(api.get("/v1/unsubscribe").await?.problem().0, 400);
        Ok(())
    }

    async fn a_contact_is_what_was_said_last(db: &Db) -> TestResult {
        let api = Api::new(db);
        let put = async |body: Value| api.put("/v1/contact", &body).await;
        let nobody = json!({"address": null, "name": null, "language": null, "wants": null});

        assert_eq!(api.get("/v1/contact").await?.json(), nobody);
        let said = put(json!({"address": "Ada@BÜCHER.example", "name": " Ada ", "wants": {"digest": false}})).await?;
        let known = json!({"address": "Ada@xn--bcher-kva.example", "name": "Ada", "language": "en",
            "wants": {"courses": true, "digest": false}});
        assert_eq!((said.status.as_u16(), said.json()), (200, known));
        let again = put(json!({"address": "Ada@bücher.example", "language": "de", "wants": {"courses": false}})).await?;
        assert_eq!(again.at("/wants"), json!({"courses": false, "digest": false}), "the rest stays");
        assert_eq!(api.get("/v1/contact").await?.json(), again.json());

        for (body, pointer) in [
            (json!({}), "/address"),
            (json!({"address": "a@аррӏе.com"}), "/address"),
            (json!({"address": "a@example.com\r\nBcc: b@example.com"}), "/address"),
            (json!({"address": "a@example.com", "name": "a\nb"}), "/name"),
            (json!({"address": "a@example.com", "language": "e n"}), "/language"),
            (json!({"address": "a@example.com", "wants": {"account": false}}), "/wants/account"),
        ] {
            let refused = put(body).await?;
            assert_eq!(refused.problem(), (422, "validation_failed".to_owned()));
            assert_eq!(refused.word("/errors/0/pointer"), pointer);
        }
        assert_eq!(put(json!({"address": null})).await?.json(), nobody);
        Ok(())
    }
}
