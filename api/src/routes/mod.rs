//! The operations, one file a noun. The name of a handler is the `operationId`, the first line of
//! its comment the summary.

pub(crate) mod accounts;
pub(crate) mod admin;
pub(crate) mod contact;
pub(crate) mod courses;
pub(crate) mod emails;
pub(crate) mod files;
pub(crate) mod health;
pub(crate) mod metrics;
pub(crate) mod problems;
pub(crate) mod schedules;
pub(crate) mod tasks;
pub(crate) mod unsubscribe;
pub(crate) mod webhooks;
pub(crate) mod ws;

use poem_openapi::Tags;

/// Every operation of the specification.
pub(crate) type Api = (
    (
        tasks::Tasks,
        tasks::batch::Batches,
        tasks::actions::Actions,
        tasks::events::Events,
    ),
    courses::Courses,
    courses::lessons::Lessons,
    courses::export::Exports,
    schedules::Schedules,
    admin::queues::Queues,
    admin::tasks::AllTasks,
    admin::workers::Workers,
    metrics::Metrics,
    (
        emails::Emails,
        emails::templates::Templates,
        contact::Contacts,
        unsubscribe::Unsubscribe,
        webhooks::Webhooks,
    ),
    (
        accounts::registrations::Registrations,
        accounts::sessions::Sessions,
        accounts::passwords::Passwords,
        accounts::second_factors::SecondFactors,
        accounts::me::Me,
        accounts::keys::ApiKeys,
        accounts::signing_keys::SigningKeys,
        admin::users::Users,
        admin::audit::Audit,
    ),
    (
        files::Files,
        files::content::Contents,
        files::links::Links,
        files::thumbnails::Thumbnails,
        files::uploads::Uploads,
        files::presigned::Presigned,
    ),
    health::Checks,
    problems::Problems,
);

/// The operations as values; they hold nothing.
pub(crate) const API: Api = (
    (
        tasks::Tasks,
        tasks::batch::Batches,
        tasks::actions::Actions,
        tasks::events::Events,
    ),
    courses::Courses,
    courses::lessons::Lessons,
    courses::export::Exports,
    schedules::Schedules,
    admin::queues::Queues,
    admin::tasks::AllTasks,
    admin::workers::Workers,
    metrics::Metrics,
    (
        emails::Emails,
        emails::templates::Templates,
        contact::Contacts,
        unsubscribe::Unsubscribe,
        webhooks::Webhooks,
    ),
    (
        accounts::registrations::Registrations,
        accounts::sessions::Sessions,
        accounts::passwords::Passwords,
        accounts::second_factors::SecondFactors,
        accounts::me::Me,
        accounts::keys::ApiKeys,
        accounts::signing_keys::SigningKeys,
        admin::users::Users,
        admin::audit::Audit,
    ),
    (
        files::Files,
        files::content::Contents,
        files::links::Links,
        files::thumbnails::Thumbnails,
        files::uploads::Uploads,
        files::presigned::Presigned,
    ),
    health::Checks,
    problems::Problems,
);

/// How the documentation groups the operations.
#[derive(Tags)]
pub(crate) enum Tag {
    /// Units of work: submit, watch, cancel, retry.
    Tasks,
    /// Courses and their lessons, also while they are being written.
    Courses,
    /// Tasks that are submitted again and again.
    Schedules,
    /// For operators: queues, workers and everybody's tasks.
    Admin,
    /// Accounts: register, sign in, and what people decide about their own.
    Accounts,
    /// Mail: what is sent to whom, and what became of it.
    Emails,
    /// Files, and what is made of pictures.
    Files,
    /// What other services tell us.
    Webhooks,
    /// Whether the service lives and can work.
    Health,
    /// What each problem code means, and what to do.
    Problems,
}
