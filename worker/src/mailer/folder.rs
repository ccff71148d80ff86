//! Mail as files, so that everything works on a laptop: open them with any mail program.

use std::{io, path::PathBuf};

use tokio::fs;

use super::{
    Answer, MailConfig, Outgoing, Refusal,
    dkim::{self, Dkim},
    message::{Sender, build},
};

/// Writes a file a mail. The same mail is the same file, so writing it twice is writing it once.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    from: Sender,
    dkim: Option<Dkim>,
}

impl Folder {
    pub(super) fn new(path: &std::path::Path, config: &MailConfig) -> Self {
        Self {
            path: path.to_owned(),
            from: config.from.clone(),
            dkim: config.dkim.clone(),
        }
    }

    pub(super) async fn send(&self, mail: &Outgoing) -> Answer {
        let built = build(mail, &self.from);
        let bytes = match built.and_then(|(_, bytes)| dkim::sign(self.dkim.as_ref(), bytes)) {
            Ok(bytes) => bytes,
            Err(error) => return Answer::Refused(Refusal::permanent(error.to_string())),
        };
        let name = format!("{}.eml", mail.id);
        match self.write(&name, &bytes).await {
            Ok(()) => Answer::Taken(Some(name)),
            Err(error) => Answer::Refused(Refusal::outage(error.to_string())),
        }
    }

    /// Whoever looks into the folder sees whole mails only.
    async fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.path).await?;
        let draft = self.path.join(format!(".{name}.part"));
        fs::write(&draft, bytes).await?;
        fs::rename(draft, self.path.join(name)).await
    }
}

#[cfg(test)]
mod tests {
    use models::testing::TestResult;
    use tempfile::TempDir;

    use super::*;
    use crate::mailer::message::tests::outgoing;

    #[tokio::test]
    async fn the_same_mail_is_the_same_file() -> TestResult {
        let home = TempDir::new()?;
        let folder = Folder::new(
            &home.path().join("mail"),
            &MailConfig::folder(home.path().to_owned()),
        );
        let mail = outgoing()?;

        let first = folder.send(&mail).await;
        let second = folder.send(&mail).await;

        assert_eq!(first, Answer::Taken(Some(format!("{}.eml", mail.id))));
        assert_eq!(second, first);
        assert_eq!(std::fs::read_dir(home.path().join("mail"))?.count(), 1);
        Ok(())
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_is_an_outage() -> TestResult {
        let home = TempDir::new()?;
        let file = home.path().join("file");
        std::fs::write(&file, "")?;
        let folder = Folder::new(&file.join("mail"), &MailConfig::folder(file.clone()));

        let answer = folder.send(&outgoing()?).await;

        assert!(matches!(answer, Answer::Refused(refusal) if refusal.retryable && refusal.outage));
        Ok(())
    }
}
