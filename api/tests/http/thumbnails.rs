//! Thumbnails over HTTP: what is asked for, and what is made by itself.

use models::{
    blobs,
    file_variants::{self, Format, Variant},
    on_both,
    testing::TestResult,
};
use serde_json::{Value, json};

use crate::{
    files::{Stored, bring, form},
    harness::Answer,
};

async fn picture(stored: &Stored) -> TestResult<Answer> {
    let made = bring(&stored.api, &form("a.gif", "GIF89a..."), &[]).await?;
    assert_eq!(made.status, 201, "{}", made.text);
    Ok(made)
}

on_both! {
    async fn a_picture_gets_the_usual_thumbnails_by_itself(test: &TestDb) -> TestResult {
        let stored = Stored::new(test)?;
        let made = picture(&stored).await?;

        let task = stored.api.get(&made.word("/links/task")).await?;
        assert_eq!(task.word("/kind"), "image.thumbnail");
        assert_eq!(task.word("/queue"), "media");
        assert_eq!(task.word("/state"), "queued");
        assert_eq!(task.word("/links/subject"), made.word("/links/self"));
        let names: Vec<Value> = task
            .at("/payload/sizes")
            .as_array()
            .into_iter()
            .flatten()
            .map(|size| size["name"].clone())
            .collect();
        assert_eq!(names, ["avatar", "card", "cover"]);
        let text = bring(&stored.api, &form("a.txt", "text"), &[]).await?;
        assert_eq!(text.at("/links/task"), Value::Null);
        Ok(())
    }

    async fn other_sizes_are_asked_for_once(test: &TestDb) -> TestResult {
        let stored = Stored::new(test)?;
        let path = format!("{}/thumbnails", picture(&stored).await?.word("/links/self"));
        let api = &stored.api;
        let body = json!({
            "presets": ["card", "card"],
            "sizes": [{"width": 640, "height": 480, "fit": "cover"}, {"width": 1, "height": 2}]});
        let key = [("idempotency-key", "once")];

        let asked = api.post_with(&path, &body, &key).await?;
        let again = api.post_with(&path, &body, &key).await?;

        assert_eq!(asked.status, 202, "{}", asked.text);
        assert_eq!(again.word("/id"), asked.word("/id"));
        assert_eq!(asked.at("/payload/sizes"), json!([
            {"name": "1x2", "width": 1, "height": 2, "fit": "inside"},
            {"name": "640x480-cover", "width": 640, "height": 480, "fit": "cover"},
            {"name": "card", "width": 320, "height": 320, "fit": "inside"}]));
        for wrong in [
            json!({}),
            json!({"presets": ["huge"]}),
            json!({"sizes": [{"width": 0, "height": 1}]}),
            json!({"sizes": [{"width": 1, "height": 2_049}]}),
            json!({"sizes": (1..=9).map(|n| json!({"width": n, "height": n})).collect::<Vec<_>>()}),
            json!({"presets": ["card"], "formats": ["avif"]}),
        ] {
            let refused = api.post(&path, &wrong).await?;
            assert_eq!(refused.problem(), (422, "validation_failed".to_owned()), "{wrong}");
        }
        Ok(())
    }

    async fn variants_are_found_as_they_land(test: &TestDb) -> TestResult {
        let stored = Stored::new(test)?;
        let (api, db) = (&stored.api, &test.db);
        let made = picture(&stored).await?;
        let path = made.word("/links/self");
        let missing = api.get(&format!("{path}/variants/card.webp")).await?;
        assert_eq!(missing.problem(), (404, "not_found".to_owned()));

        let mut incoming = stored.storage.begin().await?;
        incoming.write(&b"RIFF".as_slice().into()).await?;
        let arrived = incoming.finish().await?;
        let digest = arrived.digest.to_string();
        let mut tx = db.begin().await?;
        blobs::reserve(&mut tx, &digest, 4, db.now()).await?;
        stored.storage.keep(&arrived).await?;
        let variant = Variant {
            file_id: made.word("/id").parse()?,
            name: "card".to_owned(),
            format: Format::Webp,
            width: 320,
            height: 200,
            digest,
            size_bytes: 4,
            created_at: db.now(),
        };
        file_variants::put(&mut tx, made.word("/id").parse()?, &[variant], db.now()).await?;
        tx.commit().await?;

        let found = api.get(&path).await?;
        assert_eq!(found.at("/variants/0/width"), 320);
        let content = api.get(&found.word("/variants/0/content")).await?;
        assert_eq!(content.text, "RIFF");
        assert_eq!(content.header("content-type"), "image/webp");
        let name = content.header("content-disposition");
        assert!(name.starts_with("inline; filename=\"a-card.webp\""), "{name}");
        for wrong in ["card.jpeg", "card", "card.png", "..%2fcard.webp", "x.webp"] {
            let refused = api.get(&format!("{path}/variants/{wrong}")).await?;
            assert_eq!(refused.status, 404, "{wrong}");
        }
        let link = api.post(&format!("{path}/links"), &json!({"variant": "card.webp"})).await?;
        assert_eq!(api.get(&link.word("/url")).await?.text, "RIFF");
        let plain = link.word("/url").replace("&variant=card.webp", "");
        assert_eq!(api.get(&plain).await?.status, 404, "another variant is another link");
        Ok(())
    }
}
