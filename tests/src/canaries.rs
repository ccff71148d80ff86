//! What must stand in no log: whatever is secret of what a story sends and is answered.
//!
//! Secrets are planted where they pass by: [`crate::app::send`] looks at every request and at every answer, and
//! [`crate::smtp::token`] at mails. When a story ends, every line that its processes have logged is searched
//! for all of them, and for whatever has the form of a secret.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use anyhow::{bail, ensure};
use serde_json::Value;
use tracing_subscriber::fmt;

/// The level at which a story's processes log: with statements, but without every byte on the wire.
pub const LEVEL: &str = "debug";
/// Shorter texts stand in a log by chance.
const CHARS_MIN: usize = 8;
/// The members of bodies whose texts are secret, whatever their form.
const MEMBERS: [&str; 9] = [
    "access_token",
    "key",
    "new",
    "old",
    "password",
    "recovery_codes",
    "refresh_token",
    "secret",
    "token",
];
/// The mailbox that the author of this machine does not have: a statement names it.
const NOBODYS: &str = "author@localhost.localdomain";
/// How secrets of this platform begin: keys of machines, refresh tokens, signatures of links.
const BEGINNINGS: [&str; 3] = ["lyo_key_", "lyo_refresh_", "signature="];

static SECRETS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
/// What this process has logged.
static MEMORY: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Remembers a text that no log may hold.
pub fn plant(secret: &str) {
    if secret.len() < CHARS_MIN {
        return;
    }
    let mut secrets = held(&SECRETS);
    if secret.contains('@') {
        secrets.insert(secret.replace('@', "%40"));
    }
    secrets.insert(secret.to_owned());
}

/// Remembers every secret of a body, by the name of its member or by its form.
pub fn plant_all(body: &Value) {
    match body {
        Value::Object(members) => {
            for (name, value) in members {
                if MEMBERS.contains(&name.as_str()) {
                    let texts = value
                        .as_array()
                        .map_or(std::slice::from_ref(value), Vec::as_slice);
                    texts.iter().filter_map(Value::as_str).for_each(plant);
                }
                plant_all(value);
            }
        }
        Value::Array(items) => items.iter().for_each(plant_all),
        Value::String(text) => words(text).filter(|word| is_secret(word)).for_each(plant),
        _ => {}
    }
}

/// The logs of a story. Dropping them searches them too, for a story that ends without [`Logs::search`].
#[derive(Debug)]
pub struct Logs {
    /// Where its processes write them; none when it plays in this one.
    folder: Option<PathBuf>,
    searched: bool,
}

impl Logs {
    /// What is written into this folder; without one, what this process logs from now on, at [`LEVEL`].
    pub fn start(folder: Option<&Path>) -> Self {
        if folder.is_none() {
            let subscriber = fmt()
                .with_env_filter(LEVEL)
                .with_writer(|| Memory)
                .with_ansi(false);
            // Whoever comes second in a process finds it started.
            let _ = subscriber.json().flatten_event(true).try_init();
        }
        Self {
            folder: folder.map(Path::to_owned),
            searched: false,
        }
    }

    /// Fails if a line holds a secret, or if there are no lines. Answers how many there are.
    pub fn search(mut self) -> anyhow::Result<usize> {
        self.searched = true;
        let lines = search(&self.text()?, &held(&SECRETS))?;
        ensure!(lines > 0, "nothing was logged");
        Ok(lines)
    }

    fn text(&self) -> io::Result<String> {
        let Some(folder) = &self.folder else {
            return Ok(String::from_utf8_lossy(&held(&MEMORY)).into_owned());
        };
        let mut text = String::new();
        for file in fs::read_dir(folder)? {
            text.push_str(&String::from_utf8_lossy(&fs::read(file?.path())?));
        }
        Ok(text)
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        if self.searched {
            return;
        }
        // The story broke off, or forgot to close: its worst lines say why, perhaps.
        let text = self.text().unwrap_or_default();
        let bad =
            |line: &&str| line.contains(r#""level":"WARN""#) || line.contains(r#""level":"ERROR""#);
        for line in text.lines().filter(bad) {
            eprintln!("{line}");
        }
        if let Err(error) = search(&text, &held(&SECRETS))
            && !thread::panicking()
        {
            panic!("{error}");
        }
    }
}

/// Looks for secrets in every line; answers how many lines there are.
fn search(text: &str, secrets: &BTreeSet<String>) -> anyhow::Result<usize> {
    for line in text.lines() {
        let planted = secrets.iter().find(|secret| line.contains(secret.as_str()));
        let found = planted
            .map(String::as_str)
            .or_else(|| words(line).find(|word| is_secret(word)));
        if let Some(found) = found {
            bail!("a log line holds a secret, {found}: {line}");
        }
    }
    Ok(text.lines().count())
}

/// The parts of a text that tokens, addresses and parameters of links can be.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let of_word = |c: char| c.is_ascii_alphanumeric() || "-._~+=@%".contains(c);
    text.split(move |c| !of_word(c))
}

/// Whether a word has the form of a secret: one of ours, a JWT, or a mail address.
fn is_secret(word: &str) -> bool {
    let ours = BEGINNINGS.iter().any(|beginning| word.contains(beginning));
    let mut parts = word.split('=');
    let jwt = parts.any(|part| part.starts_with("eyJ") && part.split('.').count() == 3);
    let mail = word.split_once('@').is_some_and(|(name, host)| {
        let top = host
            .trim_end_matches('.')
            .rsplit_once('.')
            .map(|(_, top)| top);
        !name.is_empty()
            && top.is_some_and(|top| top.len() > 1 && top.bytes().all(|b| b.is_ascii_alphabetic()))
    });
    ours || jwt || (mail && word != NOBODYS)
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes to [`MEMORY`].
struct Memory;

impl io::Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        held(&MEMORY).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tempfile::TempDir;

    use super::*;

    fn is_clean(line: &str, secrets: &[&str]) -> bool {
        let secrets = secrets.iter().map(|secret| (*secret).to_owned()).collect();
        search(&format!("fine\n{line}\nfine"), &secrets).is_ok()
    }

    #[test]
    fn a_planted_secret_is_found_wherever_it_stands() {
        let secrets = ["canary wedding copper 47"];

        assert!(!is_clean(
            r#"{"message":"with canary wedding copper 47"}"#,
            &secrets
        ));
        assert!(is_clean(
            r#"{"message":"with canary wedding copper 48"}"#,
            &secrets
        ));
    }

    #[test]
    fn what_has_the_form_of_a_secret_is_found_without_being_planted() {
        for line in [
            "for ada@example.com.",
            "Bearer eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJseW8ifQ.c2lnbmF0dXJl",
            "token=eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJseW8ifQ.c2lnbmF0dXJl",
            "key=lyo_key_abcdef",
            r#""lyo_refresh_abcdef""#,
            "/v1/files/1/signed?expires=1&signature=abcdef",
        ] {
            assert!(!is_clean(line, &[]), "{line}");
        }
        for line in [
            NOBODYS,
            "postgres://lyo@127.0.0.1:5432/lyo",
            "a @ b.c",
            "eyJ",
            "0.1.2 @media",
            "lyo_keys",
        ] {
            assert!(is_clean(line, &[]), "{line}");
        }
    }

    #[test]
    fn the_secrets_of_a_body_are_planted() {
        plant_all(&json!({
            "password": "first canary secret",
            "about": [{"recovery_codes": ["second-canary"], "text": "to third@canary.example"}],
            "url": "/v1/files/1?expires=1&signature=fourthcanary",
            "title": "no canary at all",
        }));

        let planted = held(&SECRETS).clone();
        for secret in [
            "first canary secret",
            "second-canary",
            "third@canary.example",
            "third%40canary.example",
            "signature=fourthcanary",
        ] {
            assert!(planted.contains(secret), "{secret} of {planted:?}");
        }
        assert!(!planted.contains("no canary at all"));
    }

    #[test]
    fn logs_that_hold_a_secret_fail_even_when_nobody_searches_them() -> anyhow::Result<()> {
        let folder = TempDir::new()?;
        fs::write(folder.path().join("a.log"), "to eve@canary.example\n")?;

        assert!(Logs::start(Some(folder.path())).search().is_err());
        let forgotten = Logs::start(Some(folder.path()));
        assert!(thread::spawn(move || drop(forgotten)).join().is_err());
        Ok(())
    }
}
