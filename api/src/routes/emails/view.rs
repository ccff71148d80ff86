//! A mail as clients see it.

use chrono::{DateTime, Utc};
use models::{
    emails::{Email, Status},
    templates::{Category, Template},
};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::routes::tasks::view::path as task_path;

/// A mail, with what became of it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Email")]
pub(crate) struct EmailView {
    /// A UUID of version 7: ids sort by the time they were made.
    id: Uuid,
    /// Where it stands.
    #[schemars(with = "EmailStatus")]
    status: Status,
    /// Why it was refused, withheld or bounced.
    detail: Option<String>,
    /// Which letter.
    #[schemars(with = "EmailTemplate")]
    template: Template,
    /// What it is about, which decides who may refuse it.
    #[schemars(with = "EmailCategory")]
    category: Category,
    /// The language that was asked for.
    language: String,
    /// Who gets it.
    to: String,
    /// How that person is called.
    name: Option<String>,
    /// Who was asked to carry it.
    provider: Option<String>,
    /// What the provider calls it.
    provider_id: Option<String>,
    /// When it was asked for.
    created_at: DateTime<Utc>,
    /// Where to go from here.
    links: EmailLinks,
}

/// Where to go from a mail.
#[derive(Debug, Serialize, JsonSchema)]
struct EmailLinks {
    /// The mail.
    #[serde(rename = "self")]
    itself: String,
    /// The task that sends it; null once that is forgotten.
    task: Option<String>,
}

impl EmailView {
    /// The view of a mail.
    pub(crate) fn of(email: Email) -> Self {
        Self {
            id: email.id.into(),
            status: email.status(),
            links: EmailLinks {
                itself: format!("/v1/emails/{}", email.id),
                task: email.task_id.map(task_path),
            },
            detail: email.detail,
            template: email.template,
            category: email.category,
            language: email.language,
            to: email.recipient.as_str().to_owned(),
            name: email.recipient_name,
            provider: email.provider,
            provider_id: email.provider_id,
            created_at: email.created_at,
        }
    }
}

macro_rules! describe {
    ($(#[$meta:meta])* $name:ident { $($(#[$about:meta])* $value:ident),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(JsonSchema)]
        #[serde(rename_all = "snake_case")]
        #[expect(dead_code, reason = "describes the words of `models` to clients")]
        pub(crate) enum $name { $($(#[$about])* $value),+ }
    };
}

describe! {
    /// Where a mail stands.
    EmailStatus {
        /// It will be sent.
        Queued,
        /// It is being sent, or was and nobody knows the answer yet.
        Sending,
        /// It is not sent: its receiver does not want it, or cannot be reached.
        Withheld,
        /// It will not be sent: the provider refused it, or its task ended before.
        Failed,
        /// The provider took it.
        Sent,
        /// It arrived.
        Delivered,
        /// It came back.
        Bounced,
        /// Its receiver called it spam.
        Complained,
        /// It may have been sent or not, and is not sent again.
        Unknown,
    }
}

describe! {
    /// What a mail is about.
    EmailCategory {
        /// The account itself: cannot be unsubscribed from.
        Account,
        /// Courses of the reader's own.
        Courses,
        /// Now and then, what is new.
        Digest,
    }
}

describe! {
    /// A letter that can be sent.
    EmailTemplate {
        /// Asks to confirm an address.
        VerifyEmail,
        /// Lets somebody choose a new password.
        ResetPassword,
        /// Asks whether an account may move to another address.
        ChangeAddress,
        /// Greets somebody new.
        Welcome,
        /// Tells an author that a course is written.
        CourseReady,
        /// Tells of something that matters for the safety of the account.
        SecurityNotice,
        /// Sums up what is new.
        Digest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::agreement::words;

    #[test]
    fn the_words_are_those_of_the_models() {
        let statuses = Status::ALL.iter().map(|word| word.as_str());
        words::<EmailStatus>(&statuses.collect::<Vec<_>>());
        let categories = Category::ALL.iter().map(|word| word.as_str());
        words::<EmailCategory>(&categories.collect::<Vec<_>>());
        let templates = Template::ALL.iter().map(|word| word.as_str());
        words::<EmailTemplate>(&templates.collect::<Vec<_>>());
    }
}
