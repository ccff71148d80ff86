//! Accounts, from the machine that has the database.

use anyhow::Context as _;
use models::{Address, Db, DbOptions, second_factors, users};
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

#[tokio::test(flavor = "multi_thread")]
async fn a_second_factor_that_is_lost_is_turned_off_from_here() -> anyhow::Result<()> {
    let data = TempDir::new()?;
    let ada = "ada@example.com";
    let run = async |words: &[&str]| lyo(data.path()).args(words).output().await;
    let made = run(&["user", "create", ada]).await?;
    assert!(made.status.success(), "{made:?}");
    let disable = ["user", "disable-second-factor", ada];

    let none = run(&disable).await?;
    let url = format!("sqlite://{}", data.path().join("lyo.sqlite").display());
    let db = Db::connect(&url, &DbOptions::default()).await?;
    let mut tx = db.begin().await?;
    let user = users::find_by_address(&mut tx, &Address::parse(ada)?).await?;
    let user = user.context("it was made")?.id;
    second_factors::begin(&mut tx, user, db.now()).await?;
    tx.commit().await?;
    let disabled = run(&disable).await?;

    let message = String::from_utf8_lossy(&none.stderr);
    assert!(message.contains("no second factor"), "{message}");
    assert!(disabled.status.success(), "{disabled:?}");
    let mut tx = db.begin().await?;
    assert!(!second_factors::remove(&mut tx, user).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_passwords_that_is_not_there_is_an_error_at_the_start() -> anyhow::Result<()> {
    let data = TempDir::new()?;

    let output = lyo(data.path())
        .args(["dev", "--port", "0"])
        .env("LYO_BREACHED_PASSWORDS", "/nowhere/list.txt")
        .output()
        .await?;

    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("Downloader"), "what to do: {message}");
    Ok(())
}
