//! Accounts, from the machine that has the database.

use tempfile::TempDir;

use crate::process::lyo;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_to_accounts_from_here_is_written_down() -> anyhow::Result<()> {
    let data = TempDir::new()?;
    let (ada, password) = ("ada@example.com", "plankton wedding copper 47");
    let commands: [&[&str]; 4] = [
        &["user", "create", ada, "--password", password],
        &["user", "grant", ada, "moderator"],
        &["user", "token", ada],
        &["audit", "verify"],
    ];
    let mut said = String::new();

    for words in commands {
        let output = lyo(data.path()).args(words).output().await?;
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {message}");
        said = String::from_utf8_lossy(&output.stdout).into_owned();
    }

    assert!(said.contains("whole: 3 entries"), "{said}");
    Ok(())
}
