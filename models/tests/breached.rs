//! The list of breached passwords, in the forms in which it comes.

use std::fs;

use data_encoding::HEXUPPER;
use models::{Error, breached::Breached, testing::TestResult};
use sha1::{Digest as _, Sha1};
use tempfile::TempDir;

/// The digests of so many passwords, `stolen 0` and so on, in order, with the passwords.
fn digests(count: usize) -> Vec<(String, String)> {
    let mut digests: Vec<_> = (0..count)
        .map(|n| {
            let password = format!("stolen {n}");
            (HEXUPPER.encode(&Sha1::digest(&password)), password)
        })
        .collect();
    digests.sort();
    digests
}

/// A list with these lines.
fn list(folder: &TempDir, text: &str) -> TestResult<Breached> {
    let file = folder.path().join("list.txt");
    fs::write(&file, text)?;
    Ok(file.to_str().ok_or("a UTF-8 name")?.parse()?)
}

#[test]
fn every_password_of_a_list_is_refused_and_no_other() -> TestResult {
    let folder = TempDir::new()?;
    for count in [1, 2, 3, 1_000] {
        let digests = digests(count);
        // The numbers differ in length, so the lines do.
        let numbered = |(n, (digest, _)): (usize, &(String, String))| format!("{digest}:{}", n * n);
        let numbered: Vec<String> = digests.iter().enumerate().map(numbered).collect();
        let plain: Vec<String> = digests
            .iter()
            .map(|(digest, _)| digest.to_lowercase())
            .collect();
        for text in [
            numbered.join("\r\n"),
            numbered.join("\n") + "\n",
            plain.join("\n"),
        ] {
            let list = list(&folder, &text)?;
            for (_, password) in &digests {
                let refused = list.check(password);
                assert!(
                    matches!(&refused, Err(Error::Invalid { field, .. }) if field == "/password"),
                    "{password} of {count}: {refused:?}"
                );
            }
            for n in count..count + 200 {
                list.check(&format!("stolen {n}"))?;
            }
        }
    }
    Ok(())
}

#[test]
fn what_is_no_list_is_refused_with_what_to_do() -> TestResult {
    let folder = TempDir::new()?;
    let missing = "/nowhere/list.txt".parse::<Breached>();
    let said = missing.err().ok_or("there is no such file")?.to_string();
    assert!(
        said.contains("LYO_BREACHED_PASSWORDS") && said.contains("Downloader"),
        "{said}"
    );

    let mut backwards = digests(3);
    backwards.reverse();
    let backwards: Vec<String> = backwards.into_iter().map(|(digest, _)| digest).collect();
    let digest = &backwards[0];
    for text in [
        "",
        "\n",
        "password\n",
        &digest[1..],
        &format!("{digest}0"),
        &backwards.join("\n"),
    ] {
        assert!(list(&folder, text).is_err(), "{text:?}");
    }
    Ok(())
}

#[test]
fn a_list_that_goes_away_lets_no_password_pass() -> TestResult {
    let folder = TempDir::new()?;
    let (digest, _) = digests(1).remove(0);
    let list = list(&folder, &digest)?;
    fs::remove_file(folder.path().join("list.txt"))?;

    let failed = list.check("plankton wedding copper 47");

    assert!(matches!(failed, Err(Error::Database(_))), "{failed:?}");
    Ok(())
}
