//! A short experiment of the kind that README.md tells how to make long.

use crate::process::lyo;
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn a_short_experiment_keeps_every_promise() -> anyhow::Result<()> {
    let data = TempDir::new()?;

    let run = lyo(data.path())
        .args(["chaos", "--seed", "7", "--tasks", "300", "--duration", "24"])
        .args(["--kill-every", "6", "--outage", "3", "--workers", "3"])
        .args(["--duplicates", "4", "--cancels", "4"])
        .output()
        .await?;

    let told = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&run.stderr)
    );
    assert!(told.contains("Every promise was kept."), "{told}");
    // The poison fails, and now and then one that was in its process each time.
    assert!(told.contains(" failed after their last attempt"), "{told}");
    assert!(
        !told.contains(" 0 failed after their last attempt"),
        "{told}"
    );
    Ok(())
}
