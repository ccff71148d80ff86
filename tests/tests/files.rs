//! Files as a browser uses them: bring a picture, wait for its thumbnails, link to one.

use anyhow::Context;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use e2e::{
    app::{TestApp, send},
    everywhere,
};
use models::testing::TestResult;
use reqwest::{Method, StatusCode};
use serde_json::json;

/// A PNG of 40 x 30 pixels.
const PICTURE: &str = "iVBORw0KGgoAAAANSUhEUgAAACgAAAAeCAIAAADRv8uKAAAAK0lEQVR42u3NMQ0AAAgDsElBCtKRhgw4mvRvputExGKxWCwWi8VisVj8N153RkZMTWy+WAAAAABJRU5ErkJggg==";

fn form() -> anyhow::Result<Vec<u8>> {
    let head = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n\r\n";
    let picture = STANDARD.decode(PICTURE)?;
    Ok([head.as_bytes(), &picture, b"\r\n--b--\r\n"].concat())
}

everywhere! {
    async fn a_picture_gets_thumbnails_that_a_link_shows(stage: &Stage) -> TestResult {
        let app = TestApp::start(stage).await?;
        let request = app
            .http
            .request(Method::POST, "/v1/files")
            .header("content-type", "multipart/form-data; boundary=b");

        let made = send(request.body(form()?)).await?;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        let task = made.body["links"]["task"].as_str().context("a task")?;
        let id = task.rsplit('/').next().context("an id")?;
        let ended = app.http.ended(id).await?;
        assert_eq!(ended["state"], "succeeded", "{ended}");

        let path = made.body["links"]["self"].as_str().context("a link")?;
        let file = app.http.get(path).await?.body;
        assert_eq!(file["picture"]["width"], 40, "{file}");
        assert_eq!(file["variants"].as_array().map(Vec::len), Some(6), "{file}");
        let link = app
            .http
            .post(&format!("{path}/links"), &json!({"variant": "avatar.webp"}))
            .await?;
        let shown = app.http.request(Method::GET, &link.text("url")?).send().await?;
        assert_eq!(shown.status(), StatusCode::OK);
        assert_eq!(shown.headers()["content-type"], "image/webp");
        assert!(shown.bytes().await?.starts_with(b"RIFF"));
        app.close().await?;
        Ok(())
    }
}
