//! The search for secrets in logs finds one that is there.

use e2e::{app::TestApp, canaries, everywhere};
use models::testing::TestResult;

everywhere! {
    async fn a_story_fails_when_a_secret_was_logged(stage: &Stage) -> TestResult {
        const PLANTED: &str = "canary-in-a-path-47";
        let app = TestApp::start(stage).await?;
        canaries::plant(PLANTED);

        // Paths are logged, so this is how not to send a secret.
        app.http.get(&format!("/v1/tasks/{PLANTED}")).await?;

        let error = app.close().await.err().ok_or("nothing was found")?;
        assert!(error.to_string().contains(PLANTED), "{error}");
        Ok(())
    }
}
